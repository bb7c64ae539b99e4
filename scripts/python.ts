// Python for the Python SDK: an interpreter of this machine, and a virtual environment with pinned packages, kept in .cache.
//   node scripts/python.ts generate   writes what packages/sdk-python generates from the contract
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { glob, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
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
 * A virtual environment with the packages that a file pins; made once for each interpreter and content of the file. It is made
 * aside and renamed, so that runs at the same time neither wait for nor disturb each other.
 * @param python the interpreter
 * @param requirements the file, below packages/sdk-python
 * @param cache where environments are kept
 * @returns its interpreter
 */
export async function environment(
  python: Python,
  requirements: string,
  cache = join(root, ".cache/python"),
): Promise<string> {
  const file = join(SDK, requirements);
  const hash = createHash("sha256")
    .update(python.version)
    .update(await readFile(file))
    .digest("hex")
    .slice(0, 16);
  const folder = join(cache, hash);
  const inside = process.platform === "win32" ? "Scripts/python.exe" : "bin/python";
  const isComplete = () => existsSync(join(folder, "complete"));
  if (isComplete()) return join(folder, inside);
  await mkdir(cache, { recursive: true });
  await removeAbandoned(cache);
  drafts += 1;
  const draft = join(cache, `${hash}.${process.pid}.${drafts}`);
  try {
    await run(python.command, ["-m", "venv", draft]);
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "-r", file];
    await run(join(draft, inside), pip, { maxBuffer: 16 * 1024 * 1024 });
    await readdress(dirname(join(draft, inside)), draft, folder);
    await writeFile(join(draft, "complete"), "");
    await rename(draft, folder).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
      if (isComplete()) return; // another run was faster
      await rm(folder, { recursive: true, force: true });
      await rename(draft, folder);
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return join(folder, inside);
}

let drafts = 0;

/** Rewrites the folder's name in an environment's scripts: their first lines name the interpreter by its whole path. */
async function readdress(scripts: string, from: string, to: string): Promise<void> {
  for (const entry of await readdir(scripts, { withFileTypes: true })) {
    const path = join(scripts, entry.name);
    if (!entry.isFile()) continue;
    const bytes = await readFile(path);
    if (!bytes.includes(0) && bytes.includes(from)) await writeFile(path, `${bytes}`.replaceAll(from, to));
  }
}

/** Removes what ended processes left half made. */
async function removeAbandoned(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    const pid = Number(/^[0-9a-f]{16}\.(\d+)\./.exec(name)?.[1] ?? Number.NaN);
    if (!Number.isNaN(pid) && !isRunning(pid)) await rm(join(cache, name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
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
