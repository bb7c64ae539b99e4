// One runtime of the pool: a process that has started and waits for its agent.

import { randomUUID } from "node:crypto";
import { type HandOver, WAITING, WAITS } from "@agent-launchpad/agent-runtime";
import { errorMessage, type Log } from "../../log.ts";
import { parseLine } from "../lines.ts";
import type { Account } from "./accounts.ts";
import { Child, type ChildListener } from "./child.ts";
import { processEnvironment } from "./environment.ts";
import { type Folders, makePlace, type ReplicaPlace, remove, saveProcess } from "./folders.ts";
import { heapMebibytes } from "./memory-limit.ts";
import { processMark } from "./system.ts";

export interface WaitingOptions {
  command(place: ReplicaPlace): readonly string[];
  account: (() => Account) | undefined;
  /** Compiled code that it starts from. */
  sharedCache: string;
  folders: Folders;
  log: Log;
  machineEnvironment: Record<string, string>;
  /** One that has not loaded by then is killed. */
  startMs?: number;
}

/** A runtime that belongs to one agent from now on; its folder and its account stay the replica's for all its lives. */
export interface Taken {
  readonly place: ReplicaPlace;
  readonly folder: string;
  readonly account: Account | undefined;
  /**
   * Sends it the agent's configuration and variables; the listener gets all that it writes from then on. Once.
   * @throws {Error} the second time
   */
  handOver(agentId: string, what: HandOver, listener: ChildListener): Child;
  /** Kills it, and resolves when it has ended; after the hand-over at once. */
  end(): Promise<void>;
}

const START_MS = 30_000;

/** Holds nothing of an agent or a provider until it is handed over. */
export class WaitingRuntime implements Taken {
  readonly folder: string;
  readonly account: Account | undefined;
  readonly place: ReplicaPlace;
  /** Fixed when the process starts, in MiB. */
  readonly heap: number;
  #loadedAt: number | undefined;
  #handed = false;
  #last = "it printed nothing";
  readonly #log: Log;
  readonly #child: Child;
  readonly #mark: string | undefined;
  readonly #ended = Promise.withResolvers<void>();

  /**
   * Starts it.
   * @throws {Error} when its folder cannot be made
   */
  constructor(
    memoryBytes: number,
    { account, command, folders, log, machineEnvironment, sharedCache, startMs = START_MS }: WaitingOptions,
    on: { loaded(): void; ended(why: string): void },
  ) {
    this.#log = log;
    this.heap = heapMebibytes(memoryBytes);
    // Long: a name that comes twice would give one agent the files of another.
    this.folder = folders.ofWaiting(randomUUID());
    this.account = account?.();
    try {
      this.place = makePlace(this.folder, undefined, this.account, [sharedCache]);
    } catch (error) {
      this.#remove();
      throw error;
    }
    const { cacheDir, dataDir } = this.place;
    const timer = setTimeout(() => this.#child.kill(), startMs);
    timer.unref();
    this.#child = new Child({
      command: command(this.place),
      environment: {
        ...machineEnvironment,
        ...processEnvironment({ memoryBytes, stateDir: dataDir }),
        NODE_COMPILE_CACHE: cacheDir,
        [WAITS]: "1",
      },
      directory: dataDir,
      account: this.account,
      onOutput: (line) => {
        const { message, source } = parseLine(line, { source: "stdout", level: "INFO" });
        this.#last = message;
        if (source !== "runtime" || message !== WAITING || this.#loadedAt !== undefined) return;
        this.#loadedAt = performance.now();
        clearTimeout(timer);
        on.loaded();
      },
      onErrorOutput: (line) => {
        this.#last = line;
      },
      onExit: ({ failed }) => {
        clearTimeout(timer);
        this.#remove();
        this.#ended.resolve();
        on.ended(failed ?? this.#last);
      },
    });
    const { pid } = this.#child;
    this.#mark = pid === undefined ? undefined : processMark(pid);
    this.#record();
  }

  /** Whether it can be handed out now. */
  get loaded(): boolean {
    return this.#loadedAt !== undefined && this.#child.lives;
  }

  /** For how long it has been loaded, in milliseconds. */
  get waitedMs(): number {
    return this.#loadedAt === undefined ? 0 : performance.now() - this.#loadedAt;
  }

  handOver(agentId: string, what: HandOver, listener: ChildListener): Child {
    if (this.#handed) throw new Error("this runtime belongs to an agent already");
    const line = JSON.stringify(what);
    this.#handed = true;
    this.#ended.resolve();
    this.#child.listen(listener);
    this.#child.send(line);
    this.#record(agentId);
    return this.#child;
  }

  async end(): Promise<void> {
    this.#child.kill();
    await this.#ended.promise;
  }

  #record(agentId?: string): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#mark === undefined) return;
    try {
      saveProcess(this.folder, pid, this.#mark, agentId);
    } catch (error) {
      // Without the record the end of its stdin still stops it when the controller dies.
      this.#log.warn("a process could not be written down", { pid, error: errorMessage(error) });
    }
  }

  #remove(): void {
    try {
      remove(this.folder);
    } catch (error) {
      this.#log.warn("the folder of a waiting runtime could not be removed", { error: errorMessage(error) });
    }
  }
}
