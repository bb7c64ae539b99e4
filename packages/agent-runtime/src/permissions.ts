// What a replica may do to the machine it runs on, in the terms of Node's permission model: read its own code and its own
// files, write its own folder, and nothing else. No child processes, workers, addons or WASI: neither engine needs them.
import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { runtimeProgram, sharedCode } from "./paths.ts";

/** The files of one replica; its own code is added to what it reads. */
export interface ReplicaFiles {
  /** AGENT_CONFIG_FILE. Read. */
  readonly configFile: string;
  /** AGENT_STATE_DIR, HOME and TMPDIR. Read and written. */
  readonly stateDir: string;
  /** NODE_COMPILE_CACHE. Read; the program gives up the right to write before it loads what the agent named. */
  readonly cacheDir: string;
  /** Further folders or files that are read. */
  readonly readable?: readonly string[];
}

/**
 * The space for young objects stays small, and V8 returns no memory of it: it grows to 64 MB while elizaOS loads. A size is the one kind
 * of V8's flags that leaves Node's own compiled code valid. After 150 messages an agent has 13 MB more than at its start, with 4 MB 17, with
 * 1 MB 11, at the same CPU.
 */
export const YOUNG_SPACE = "--max-semi-space-size=2";

let program = runtimeProgram;

/** The program that {@link permittedCommand} runs from now on. */
export function runFrom(file: string): void {
  program = file;
}

/** The program that replicas run: the bundle where it was made, else the sources. */
export const programInUse = (): string => program;

/**
 * The command that runs a replica under Node's permission model.
 * @example spawn(...permittedCommand({ configFile, stateDir, cacheDir }))
 * @throws Error for a path with `*`, which the model would read as a pattern
 */
export function permittedCommand({
  configFile,
  stateDir,
  cacheDir,
  readable = [],
}: ReplicaFiles): [string, ...string[]] {
  const reads = [...codeFolders(), ...sharedCode, configFile, stateDir, cacheDir, ...readable].flatMap(
    withRealPath,
  );
  const writes = [stateDir, cacheDir].flatMap(withRealPath);
  const pattern = [...reads, ...writes].find((path) => path.includes("*"));
  if (pattern !== undefined)
    throw new Error(`Agents cannot run below a folder with * in its name: ${pattern}`);
  return [
    process.execPath,
    "--permission",
    // node:sqlite opens files past the permission model; SIGUSR1 would open a debugger.
    "--no-experimental-sqlite",
    "--disable-sigusr1",
    YOUNG_SPACE,
    ...reads.map((path) => `--allow-fs-read=${path}`),
    ...writes.map((path) => `--allow-fs-write=${path}`),
    program,
  ];
}

/** The folders that the runtime's code is loaded from: its package, and every node_modules from there upwards. */
export function codeFolders(): string[] {
  const own = dirname(dirname(runtimeProgram));
  const folders = [own];
  for (let folder = own; ; folder = dirname(folder)) {
    const modules = join(folder, "node_modules");
    if (folder !== own && existsSync(modules)) folders.push(modules);
    if (folder === dirname(folder)) return folders;
  }
}

/** A path as it is written and as it is without links: the model compares texts. */
function withRealPath(path: string): string[] {
  try {
    const real = realpathSync(path);
    return real === path ? [path] : [path, real];
  } catch {
    return [path];
  }
}
