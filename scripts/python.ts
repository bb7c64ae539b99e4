// Python for the Python SDK: an interpreter of this machine, and a virtual environment with pinned packages, kept in .cache.
//   node scripts/python.ts generate   writes what packages/sdk-python generates from the contract
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { glob, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = resolve(import.meta.dirname, "..");

export const SDK = join(root, "packages/sdk-python");

/** An interpreter. */
export interface Python {
  command: string;
  /** Such as 3.11.7. */
  version: string;
}

/**
 * Looks for interpreters of Python 3.10 or newer: on the PATH, and where pyenv keeps them.
 * @returns one of each minor version, newest first; none where the machine has none
 */
export async function findPythons(): Promise<Python[]> {
  const names = ["python3.13", "python3.12", "python3.11", "python3.10", "python3", "python"];
  const kept = await Array.fromAsync(glob(join(homedir(), ".pyenv/versions/3.1[0-9].*/bin/python")));
  const answers = await Promise.all([...names, ...kept].map(ask));
  const found = new Map<string, Python>();
  for (const python of answers) {
    if (python === undefined) continue;
    const [major, minor] = python.version.split(".").map(Number);
    if (major === 3 && minor! >= 10 && !found.has(`${minor}`)) found.set(`${minor}`, python);
  }
  return [...found.entries()].sort(([a], [b]) => Number(b) - Number(a)).map(([, python]) => python);
}

async function ask(command: string): Promise<Python | undefined> {
  try {
    const { stdout } = await run(command, ["-c", "import platform; print(platform.python_version())"]);
    return { command, version: stdout.trim() };
  } catch {
    return undefined; // not here, or a name that leads nowhere
  }
}

/**
 * A virtual environment with the packages that a file pins; made once for each interpreter and content of the file.
 * @param python the interpreter
 * @param requirements the file, below packages/sdk-python
 * @returns its interpreter
 */
export async function environment(python: Python, requirements: string): Promise<string> {
  const file = join(SDK, requirements);
  const hash = createHash("sha256")
    .update(python.version)
    .update(await readFile(file))
    .digest("hex")
    .slice(0, 16);
  const folder = join(root, ".cache/python", hash);
  const interpreter = join(folder, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  if (existsSync(join(folder, "complete"))) return interpreter;
  await mkdir(join(root, ".cache/python"), { recursive: true });
  await rm(folder, { recursive: true, force: true }); // an attempt that was broken off
  await run(python.command, ["-m", "venv", folder]);
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "-r", file];
  await run(interpreter, pip, { maxBuffer: 16 * 1024 * 1024 });
  await writeFile(join(folder, "complete"), "");
  return interpreter;
}

if (import.meta.main) {
  if (process.argv[2] !== "generate") {
    process.stderr.write("Usage: node scripts/python.ts generate\n");
    process.exit(2);
  }
  const python = (await findPythons()).find(({ version }) => !version.startsWith("3.10."));
  if (python === undefined) {
    process.stderr.write("Python 3.11 or newer is needed and was not found.\n");
    process.exit(1);
  }
  const interpreter = await environment(python, "requirements-dev.txt");
  await run(interpreter, ["tools/generate.py"], { cwd: SDK });
}
