// The files and folders of the processes cluster.

import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { StableWorkload } from "../replica-set.ts";
import type { Account } from "./accounts.ts";
import { fillCompileCache } from "./compile-cache.ts";

/** A process that was started and perhaps still lives. */
export interface Leftover {
  agentId: string;
  replica: string;
  pid: number;
  mark: string;
}

/** Where a replica's files are. */
export interface ReplicaPlace {
  configFile: string;
  dataDir: string;
  cacheDir: string;
  /** What else it reads: the folder of its plugins. */
  readable?: readonly string[];
}

const COMPILE = "compile";
const POOL = "pool";

/** Others may pass a folder, not list it: what they may read in it they know by name. */
const PASSED = 0o711;

/**
 * The cluster's files:
 * `database-id` the database that the folder was made for;
 * `agents/<agentId>/workload.json` the last complete workload, without secrets;
 * `agents/<agentId>/<replica>/agent.json` what the replica is told; `process.json` its process id and mark;
 * `agents/<agentId>/<replica>/data` its own folder; `cache` its compiled code;
 * `pool/<name>` as a replica's: of a runtime that waits for its agent, and of that agent's replica from then on;
 * `compile` as a replica's, while plugins are compiled.
 *
 * Where replicas have accounts of their own, `data` and `cache` belong to the account, the configuration may be read by it,
 * and everything else stays closed to it.
 */
export class Folders {
  readonly #root: string;
  readonly #stateDir: string;
  readonly #mark: string;
  #database: string | undefined;

  constructor(stateDir: string) {
    this.#stateDir = stateDir;
    this.#root = join(stateDir, "agents");
    this.#mark = join(stateDir, "database-id");
    this.#database = readText(this.#mark);
  }

  /** The database that the folder was made for; none in a new folder. */
  marks(): Map<string, number> {
    return new Map(this.#database === undefined ? [] : [[this.#database, 1]]);
  }

  /** Writes down that the folder is this database's from now on. */
  mark(databaseId: string): void {
    if (this.#database === databaseId) return;
    writeAtomically(this.#mark, `${databaseId}\n`);
    this.#database = databaseId;
  }

  /**
   * @param passed whether accounts of their own must get through to their folders
   * @throws {Error} when the folder cannot be made
   */
  prepare(passed = false): void {
    const pool = join(this.#stateDir, POOL);
    for (const folder of [this.#root, pool]) mkdirSync(folder, { recursive: true, mode: 0o700 });
    const mode = passed ? PASSED : 0o700;
    for (const folder of [this.#stateDir, this.#root, pool]) chmodSync(folder, mode);
    for (const agentId of this.agents()) chmodSync(join(this.#root, agentId), mode);
  }

  exists(agentId: string): boolean {
    return existsSync(join(this.#root, agentId));
  }

  agents(): string[] {
    return list(this.#root);
  }

  /** Where a replica's files are, unless it was handed a runtime that waited. */
  ofReplica(agentId: string, replica: string): string {
    return join(this.#root, agentId, replica);
  }

  /** Where a waiting runtime's files are. */
  ofWaiting(name: string): string {
    return join(this.#stateDir, POOL, name);
  }

  /**
   * An agent is known by its folder, whether or not its replicas' files are in it.
   * @param passed whether accounts of their own must get through to their folders
   */
  makeAgent(agentId: string, passed: boolean): void {
    const agent = join(this.#root, agentId);
    mkdirSync(agent, { recursive: true, mode: 0o700 });
    if (passed) chmodSync(agent, PASSED);
  }

  removeAgent(agentId: string): void {
    remove(join(this.#root, agentId));
  }

  /** Every process that an earlier controller wrote down. */
  leftovers(): Leftover[] {
    const places = this.agents().flatMap((agentId) =>
      list(join(this.#root, agentId)).map((replica) => ({
        agentId,
        replica,
        folder: this.ofReplica(agentId, replica),
      })),
    );
    const waiting = this.#pool().map((name) => ({
      agentId: POOL,
      replica: name,
      folder: this.ofWaiting(name),
    }));
    const compiling = { agentId: COMPILE, replica: COMPILE, folder: this.compileDir };
    return [...places, ...waiting, compiling].flatMap(({ agentId, replica, folder }) => {
      const written = (readJson(join(folder, "process.json")) ?? {}) as Partial<Leftover>;
      const { pid, mark } = written;
      if (typeof pid !== "number" || typeof mark !== "string" || pid <= 1) return [];
      return [{ agentId: written.agentId ?? agentId, replica, pid, mark }];
    });
  }

  /** Where plugins are compiled (compile-run.ts). */
  get compileDir(): string {
    return join(this.#stateDir, COMPILE);
  }

  /** Removes the folders of replicas and waiting runtimes, none of which lives. */
  sweep(): void {
    for (const agentId of this.agents())
      for (const replica of list(join(this.#root, agentId))) remove(this.ofReplica(agentId, replica));
    for (const name of this.#pool()) remove(this.ofWaiting(name));
  }

  #pool(): string[] {
    return list(join(this.#stateDir, POOL));
  }

  saveStable(agentId: string, workload: StableWorkload | undefined): void {
    const file = join(this.#root, agentId, "workload.json");
    if (workload === undefined) rmSync(file, { force: true });
    else writeAtomically(file, JSON.stringify(workload));
  }

  readStable(agentId: string): StableWorkload | undefined {
    const stable = readJson(join(this.#root, agentId, "workload.json")) as
      | Partial<StableWorkload>
      | undefined;
    if (typeof stable?.template !== "string" || typeof stable.replicas !== "number") return undefined;
    return stable.spec === undefined ? undefined : (stable as StableWorkload);
  }
}

/**
 * Makes the files that the runtime is started with.
 * @param config undefined: it is handed over later, by another way
 * @param account whose they become, where it has one of its own
 * @param caches folders of compiled code to start from; the first wins
 */
export function makePlace(
  folder: string,
  config: Record<string, unknown> | undefined,
  account?: Account,
  caches: readonly string[] = [],
): ReplicaPlace {
  const [configFile, dataDir, cacheDir] = [
    join(folder, "agent.json"),
    join(folder, "data"),
    join(folder, "cache"),
  ];
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  if (config !== undefined) writeFileSync(configFile, JSON.stringify(config), { mode: 0o600 });
  const filled = caches.flatMap((shared) => fillCompileCache(shared, cacheDir, account?.uid));
  if (account !== undefined) {
    chmodSync(folder, PASSED);
    for (const own of new Set([dataDir, ...filled])) chownSync(own, account.uid, account.gid);
    if (config !== undefined) {
      chownSync(configFile, process.getuid?.() ?? 0, account.gid);
      chmodSync(configFile, 0o640);
    }
  }
  return { configFile, dataDir, cacheDir };
}

/**
 * Writes down a process, so that the next controller ends it where this one cannot.
 * @param agentId whose it is, where the folder does not say so
 */
export function saveProcess(folder: string, pid: number, mark: string, agentId?: string): void {
  writeAtomically(join(folder, "process.json"), JSON.stringify({ pid, mark, agentId }));
}

/** It has ended. */
export function forgetProcess(folder: string): void {
  rmSync(join(folder, "process.json"), { force: true });
}

/** Removes a folder with everything in it. */
export function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}

/** The folders in a folder; none when it does not exist. */
function list(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    );
  } catch {
    return [];
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim() || undefined;
  } catch {
    return undefined;
  }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** A reader sees the old text or the new one, never a part. */
function writeAtomically(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
