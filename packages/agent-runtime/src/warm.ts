// Fills the compile cache that replicas start from: they may read it and never write it (ADR 132).
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { constants, setPriority } from "node:os";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { codeStamp } from "./code-stamp.ts";
import { FRAMEWORKS } from "./config.ts";
import { compileCacheDir, modelCacheOf } from "./paths.ts";
import { programInUse } from "./permissions.ts";
import { installedEngine } from "./prefilled.ts";
import { signed } from "./signature.ts";

/**
 * Runs each engine and provider once, without an agent's code, so that all of the runtime is in the compile cache. Each is sent a
 * message, which costs nothing: what answers is loaded then.
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
  await warmModelCache(signal, scratch, folder);
  if (signal.aborted) return;
  // After the others, whose code is in its own folder: elizaOS's flags (memory.ts) make V8 reject what was compiled without them.
  if (installedEngine()) {
    await runOnce({ framework: "openai", plugins: ["@elizaos/plugin-bootstrap"] }, folder, scratch, signal);
    if (signal.aborted) return;
  }
  openToAll(folder);
  writeFileSync(file, stamp);
}

/**
 * The part of agents without plugins: in a folder of its own ({@link modelCacheOf}), and linked into the cache.
 * @throws Error when a folder cannot be written
 */
export async function warmModelCache(signal: AbortSignal, scratch: string, cache: string): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const draft = mkdtempSync(join(cache, "draft-"));
  try {
    await importAll(draft, signal);
    for (const framework of FRAMEWORKS) {
      if (signal.aborted) return;
      await runOnce({ framework, plugins: [] }, draft, scratch, signal);
    }
    if (signal.aborted) return;
    openToAll(draft);
    linkAll(draft, cache);
    replace(modelCacheOf(cache), draft);
  } finally {
    rmSync(draft, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** A file that exists is replaced, not written: replicas have links to it. */
function linkAll(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      linkAll(source, target);
      continue;
    }
    rmSync(target, { force: true });
    unlessDoneBeside(() => linkSync(source, target));
  }
}

/** Other accounts read it: replicas have accounts of their own where the controller is root. */
function openToAll(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    unlessDoneBeside(() => chmodSync(path, entry.isDirectory() ? 0o755 : 0o644));
  }
  chmodSync(folder, 0o755);
}

/** Code of an older release goes: each replica would get a link to it. */
function replace(folder: string, made: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  unlessDoneBeside(() => renameSync(made, folder));
}

/** Another controller of the same checkout may do the same at this moment. */
function unlessDoneBeside(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!["EEXIST", "ENOTEMPTY", "ENOENT"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
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
    const child = spawn(process.execPath, [programInUse()], {
      env: {
        ...Object.fromEntries(keys),
        OPENAI_BASE_URL: "http://127.0.0.1:9",
        AGENT_MESSAGE_KEY: KEY,
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
      if (!line.includes('"message":"listening"')) continue;
      const { metadata } = JSON.parse(line) as { metadata: { port: number } };
      await sendMessage(metadata.port, signal).catch(() => undefined);
      child.stdin.end();
    }
    await ended;
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
}

/** What the message is signed with. */
const KEY = "k".repeat(64);

async function sendMessage(port: number, signal: AbortSignal): Promise<void> {
  const body = Buffer.from(JSON.stringify({ text: "hello", history: [] }));
  await fetch(`http://127.0.0.1:${port}/message`, {
    method: "POST",
    headers: { "content-type": "application/json", ...signed(KEY, body, Date.now()) },
    body,
    signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
  });
}

/** All parts of the bundle, also those that no message reaches: tools, plugins. */
async function importAll(cache: string, signal: AbortSignal): Promise<void> {
  const program = programInUse();
  if (!program.endsWith(".mjs") || signal.aborted) return;
  const imports = readdirSync(dirname(program))
    .filter((name) => name.endsWith(".mjs") && name !== basename(program))
    .map((name) => `await import(${JSON.stringify(pathToFileURL(join(dirname(program), name)).href)});`);
  const child = spawn(process.execPath, ["--input-type=module", "--eval", imports.join("\n")], {
    env: { NODE_COMPILE_CACHE: cache },
    stdio: "ignore",
    signal,
  });
  child.on("error", () => {});
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
  await once(child, "close");
}
