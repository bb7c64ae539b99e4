// Fills the compile cache that replicas start from: they may read it and never write it (ADR 132).
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { constants, setPriority } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { FRAMEWORKS } from "./config.ts";
import { compileCacheDir, defaultElizaDir, runtimeProgram } from "./paths.ts";
import { codeFolders } from "./permissions.ts";
import { installedEngine } from "./prefilled.ts";

/**
 * Runs each engine and provider once, without an agent's code, so that all of the runtime is in the compile cache.
 * Does nothing where nothing has changed since the last time. Takes a few seconds, at the lowest priority.
 * @param scratch a folder that is made, used and removed
 * @throws Error when a folder cannot be written
 */
export async function warmCompileCache(
  signal: AbortSignal,
  scratch: string,
  folder: string = compileCacheDir,
): Promise<void> {
  const file = join(folder, "warmed-with");
  const stamp = codeStamp();
  if (existsSync(file) && readFileSync(file, "utf8") === stamp) return;
  const configs = [
    ...FRAMEWORKS.map((framework) => ({ framework, plugins: [] as string[] })),
    ...(installedEngine() ? [{ framework: "openai", plugins: ["@elizaos/plugin-bootstrap"] }] : []),
  ];
  for (const config of configs) {
    if (signal.aborted) return;
    await runOnce(config, folder, scratch, signal);
  }
  if (signal.aborted) return;
  // Other accounts read them: replicas have accounts of their own where the controller is root.
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
  }
  chmodSync(folder, 0o755);
  writeFileSync(file, stamp);
}

async function runOnce(config: object, cache: string, state: string, signal: AbortSignal): Promise<void> {
  mkdirSync(state, { recursive: true, mode: 0o700 });
  try {
    const file = join(state, "agent.json");
    writeFileSync(file, JSON.stringify({ agentId: "warm", name: "warm", ...config }));
    const keys = ["OPENAI", "ANTHROPIC", "GOOGLE_GENERATIVE_AI"].map((name) => [
      `${name}_API_KEY`,
      "not-a-key",
    ]);
    const child = spawn(process.execPath, [runtimeProgram], {
      env: {
        ...Object.fromEntries(keys),
        OPENAI_BASE_URL: "http://127.0.0.1:9",
        NODE_COMPILE_CACHE: cache,
        AGENT_CONFIG_FILE: file,
        AGENT_STATE_DIR: join(state, "data"),
        HOME: state,
        TMPDIR: state,
      },
      stdio: ["pipe", "pipe", "ignore"],
      signal,
    });
    child.on("error", () => {});
    if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
    const ended = once(child, "close");
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.includes('"message":"listening"')) child.stdin.end();
    }
    await ended;
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
}

/** Changes with Node and with the code: sizes and times of the sources, and of what npm installed. */
function codeStamp(): string {
  const sources = readdirSync(dirname(runtimeProgram), { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => join(dirname(runtimeProgram), name));
  const installed = [...codeFolders(), defaultElizaDir].flatMap((folder) => [
    join(folder, ".package-lock.json"),
    join(folder, "node_modules", ".package-lock.json"),
  ]);
  const hash = createHash("sha256").update(`${process.version} ${process.arch}`);
  for (const file of [...sources, ...installed]) {
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat?.isFile()) hash.update(`${file} ${stat.size} ${stat.mtimeMs}\n`);
  }
  return hash.digest("hex");
}
