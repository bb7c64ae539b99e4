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
import { agentConfig } from "../agent-config.ts";
import type { Workload } from "../cluster.ts";
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

/** Others may pass a folder, not list it: what they may read in it they know by name. */
const PASSED = 0o711;

/**
 * The cluster's files:
 * `database-id` the database that the folder was made for;
 * `agents/<agentId>/workload.json` the last complete workload, without secrets;
 * `agents/<agentId>/<replica>/agent.json` what the replica is told; `process.json` its process id and mark;
 * `agents/<agentId>/<replica>/data` its own folder; `cache` its compiled code;
 * `compile` as a replica's, while plugins are compiled.
 *
 * Where replicas have accounts of their own, the last two belong to the account, the configuration may be read by it,
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
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
    const mode = passed ? PASSED : 0o700;
    for (const folder of [this.#stateDir, this.#root]) chmodSync(folder, mode);
    for (const agentId of this.agents()) chmodSync(join(this.#root, agentId), mode);
  }

  exists(agentId: string): boolean {
    return existsSync(join(this.#root, agentId));
  }

  agents(): string[] {
    return list(this.#root);
  }

  /**
   * Makes a replica's folder and configuration; nobody else may read it.
   * @param account whose they become, where it has one of its own
   * @param caches folders of compiled code to start from
   */
  makeReplica(
    replica: string,
    workload: Workload,
    account?: Account,
    caches: readonly string[] = [],
  ): ReplicaPlace {
    const agent = join(this.#root, workload.agentId);
    mkdirSync(agent, { recursive: true, mode: 0o700 });
    const place = makePlace(join(agent, replica), agentConfig(workload), account, caches);
    if (account !== undefined) chmodSync(agent, PASSED);
    return place;
  }

  removeReplica(agentId: string, replica: string): void {
    rmSync(join(this.#root, agentId, replica), { recursive: true, force: true, maxRetries: 3 });
  }

  removeAgent(agentId: string): void {
    rmSync(join(this.#root, agentId), { recursive: true, force: true, maxRetries: 3 });
  }

  saveProcess(agentId: string, replica: string, pid: number, mark: string): void {
    saveProcess(join(this.#root, agentId, replica), pid, mark);
  }

  forgetProcess(agentId: string, replica: string): void {
    rmSync(join(this.#root, agentId, replica, "process.json"), { force: true });
  }

  /** Every process that an earlier controller wrote down. */
  leftovers(): Leftover[] {
    const places = this.agents().flatMap((agentId) =>
      list(join(this.#root, agentId)).map((replica) => ({
        agentId,
        replica,
        folder: join(this.#root, agentId, replica),
      })),
    );
    const compiling = { agentId: COMPILE, replica: COMPILE, folder: this.compileDir };
    return [...places, compiling].flatMap(({ agentId, replica, folder }) => {
      const { pid, mark } = (readJson(join(folder, "process.json")) ?? {}) as Partial<Leftover>;
      if (typeof pid !== "number" || typeof mark !== "string" || pid <= 1) return [];
      return [{ agentId, replica, pid, mark }];
    });
  }

  /** Where plugins are compiled (compile-run.ts). */
  get compileDir(): string {
    return join(this.#stateDir, COMPILE);
  }

  /** Removes the folders of replicas that no longer live. */
  sweep(agentId: string): void {
    for (const replica of list(join(this.#root, agentId))) this.removeReplica(agentId, replica);
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
 * @param account whose they become, where it has one of its own
 * @param caches folders of compiled code to start from; the first wins
 */
export function makePlace(
  folder: string,
  config: Record<string, unknown>,
  account?: Account,
  caches: readonly string[] = [],
): ReplicaPlace {
  const [configFile, dataDir, cacheDir] = [
    join(folder, "agent.json"),
    join(folder, "data"),
    join(folder, "cache"),
  ];
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  writeFileSync(configFile, JSON.stringify(config), { mode: 0o600 });
  const filled = caches.flatMap((shared) => fillCompileCache(shared, cacheDir, account?.uid));
  if (account !== undefined) {
    chmodSync(folder, PASSED);
    for (const own of new Set([dataDir, ...filled])) chownSync(own, account.uid, account.gid);
    chownSync(configFile, process.getuid?.() ?? 0, account.gid);
    chmodSync(configFile, 0o640);
  }
  return { configFile, dataDir, cacheDir };
}

/** Writes down a process, so that the next controller ends it where this one cannot. */
export function saveProcess(folder: string, pid: number, mark: string): void {
  writeAtomically(join(folder, "process.json"), JSON.stringify({ pid, mark }));
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
