import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentConfig } from "../agent-config.ts";
import type { Workload } from "../cluster.ts";
import type { StableWorkload } from "../replica-set.ts";

/** A process that was started and perhaps still lives. */
export interface Leftover {
  agentId: string;
  replica: string;
  pid: number;
  mark: string;
}

/**
 * The cluster's files:
 * `agents/<agentId>/workload.json` the last complete workload, without secrets;
 * `agents/<agentId>/<replica>/agent.json` what the replica is told; `process.json` its process id and mark;
 * `agents/<agentId>/<replica>/data` its own folder.
 */
export class Folders {
  readonly #root: string;

  constructor(stateDir: string) {
    this.#root = join(stateDir, "agents");
  }

  /** @throws {Error} when the folder cannot be made */
  prepare(): void {
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
  }

  exists(agentId: string): boolean {
    return existsSync(join(this.#root, agentId));
  }

  agents(): string[] {
    return list(this.#root);
  }

  /** Makes a replica's folder and configuration; nobody else may read it. */
  makeReplica(replica: string, workload: Workload): { configFile: string; dataDir: string } {
    const folder = join(this.#root, workload.agentId, replica);
    const dataDir = join(folder, "data");
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const configFile = join(folder, "agent.json");
    writeFileSync(configFile, JSON.stringify(agentConfig(workload)), { mode: 0o600 });
    return { configFile, dataDir };
  }

  removeReplica(agentId: string, replica: string): void {
    rmSync(join(this.#root, agentId, replica), { recursive: true, force: true, maxRetries: 3 });
  }

  removeAgent(agentId: string): void {
    rmSync(join(this.#root, agentId), { recursive: true, force: true, maxRetries: 3 });
  }

  saveProcess(agentId: string, replica: string, pid: number, mark: string): void {
    writeAtomically(join(this.#root, agentId, replica, "process.json"), JSON.stringify({ pid, mark }));
  }

  forgetProcess(agentId: string, replica: string): void {
    rmSync(join(this.#root, agentId, replica, "process.json"), { force: true });
  }

  /** Every process that an earlier controller wrote down. */
  leftovers(): Leftover[] {
    return this.agents().flatMap((agentId) =>
      list(join(this.#root, agentId)).flatMap((replica) => {
        const record = readJson(join(this.#root, agentId, replica, "process.json"));
        const { pid, mark } = (record ?? {}) as Partial<Leftover>;
        if (typeof pid !== "number" || typeof mark !== "string" || pid <= 1) return [];
        return [{ agentId, replica, pid, mark }];
      }),
    );
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
