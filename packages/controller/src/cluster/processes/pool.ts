// Runtimes that are started already and wait for an agent.

import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type HandOver, programInUse, WAITING, WAITS } from "@agent-launchpad/agent-runtime";
import { errorMessage, type Log } from "../../log.ts";
import { parseLine } from "../lines.ts";
import type { Account } from "./accounts.ts";
import { Child, type ChildListener } from "./child.ts";
import { processEnvironment } from "./environment.ts";
import { type Folders, makePlace, type ReplicaPlace, remove, saveProcess } from "./folders.ts";
import { heapMebibytes } from "./memory-limit.ts";
import { randomName } from "./names.ts";
import { processMark } from "./system.ts";

export interface PoolOptions {
  /** How many wait; 0: none. */
  size: number;
  command(place: ReplicaPlace): readonly string[];
  account: (() => Account) | undefined;
  /** Compiled code that they start from. */
  sharedCache: string;
  folders: Folders;
  log: Log;
  machineEnvironment: Record<string, string>;
  /** Whether replicas are starting: those of agents go first. */
  busy(): boolean;
  /** Names the runtime's code as it is now; undefined: none starts fast enough. */
  release?: () => string | undefined;
  /** New ones are started when no agent was for so long. */
  quietMs?: number;
  /** So long the agents' replicas go first; one that never becomes ready holds nobody up for longer. */
  busyMs?: number;
  /** One that has not loaded by then is ended. */
  startMs?: number;
}

/** A runtime that is an agent's from now on; its folder and its account are the replica's for all its lives. */
export interface Taken {
  place: ReplicaPlace;
  folder: string;
  account: Account | undefined;
  /**
   * Tells it what it is, and the replica of all that it says and does. Once.
   * @throws {Error} the second time
   */
  handOver(agentId: string, what: HandOver, listener: ChildListener): Child;
}

/** Of agents that say nothing of their memory. */
const USUAL_BYTES = 512 * 1024 * 1024;
const QUIET_MS = 500;
const BUSY_MS = 5000;
const START_MS = 30_000;
/** How long nothing is started after one did not come up; twice as long each time. */
const FAULT_MS = { first: 1000, most: 300_000 };

/**
 * Keeps runtimes waiting, each in a folder and under an account of its own, and hands each out once. It has nothing of
 * an agent or a provider until then. Their heaps are those that were asked for last: a heap is fixed when a process starts.
 */
export class Pool {
  readonly counts = { warm: 0, cold: 0 };
  readonly #options: PoolOptions;
  readonly #members = new Set<Member>();
  /** What the last agents needed, the newest first, as many as wait. */
  readonly #asked: number[];
  #askedAt = 0;
  #release: string | undefined;
  #faults = 0;
  #timer: NodeJS.Timeout | undefined;
  #running = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#asked = Array.from({ length: options.size }, () => USUAL_BYTES);
  }

  /** Once the runtime's code is bundled and compiled. */
  start(): void {
    this.#running = this.#options.size > 0;
    this.#askedAt = performance.now();
    this.#refill();
  }

  /** Ends those that wait, at once: they hold nothing. Resolves when they have ended. */
  async stop(): Promise<void> {
    this.#running = false;
    clearTimeout(this.#timer);
    await this.#empty();
  }

  /** How many could be handed out now. */
  get waiting(): number {
    return [...this.#members].filter(({ loaded }) => loaded).length;
  }

  /** A runtime with the heap that fits the memory, where one waits. It is nobody else's from here on. */
  take(memoryBytes: number): Taken | undefined {
    if (!this.#running) return undefined;
    this.#askedAt = performance.now();
    this.#asked.unshift(memoryBytes);
    this.#asked.length = this.#options.size;
    if (this.#release !== this.#nowReleased()) void this.#empty();
    const fits = [...this.#members].find((one) => one.loaded && one.heap === heapMebibytes(memoryBytes));
    this.counts[fits === undefined ? "cold" : "warm"] += 1;
    this.#later();
    if (fits === undefined) return undefined;
    this.#members.delete(fits);
    return fits;
  }

  #nowReleased(): string | undefined {
    return (this.#options.release ?? (() => releaseOf(programInUse())))();
  }

  async #empty(): Promise<void> {
    const ended = [...this.#members].map((member) => member.end());
    this.#members.clear();
    await Promise.all(ended);
  }

  #later(milliseconds = this.#options.quietMs ?? QUIET_MS): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refill(), milliseconds);
    this.#timer.unref();
  }

  #refill(): void {
    if (!this.#running) return;
    const { busy, busyMs = BUSY_MS } = this.#options;
    if (busy() && performance.now() - this.#askedAt < busyMs) {
      this.#later();
      return;
    }
    // A release that is not bundled yet starts slowly and from many files; the next replica asks again.
    const release = this.#nowReleased();
    if (release !== this.#release) void this.#empty();
    this.#release = release;
    if (release === undefined) return;
    const lacking = [...this.#asked];
    for (const member of this.#members) {
      const place = lacking.findIndex((bytes) => heapMebibytes(bytes) === member.heap);
      if (place >= 0) lacking.splice(place, 1);
      else this.#drop(member);
    }
    const starting = [...this.#members].filter(({ loaded }) => !loaded).length;
    const room = Math.max(0, 2 * availableParallelism() - starting);
    for (const memoryBytes of lacking.slice(0, room)) if (!this.#begin(memoryBytes)) return;
  }

  #begin(memoryBytes: number): boolean {
    try {
      const member: Member = new Member(memoryBytes, this.#options, {
        loaded: () => {
          this.#faults = 0;
          this.#refill();
        },
        ended: (why) => {
          if (this.#members.delete(member)) this.#failed(why);
        },
      });
      this.#members.add(member);
      return true;
    } catch (error) {
      this.#failed(errorMessage(error));
      return false;
    }
  }

  #drop(member: Member): void {
    this.#members.delete(member);
    void member.end();
  }

  #failed(why: string): void {
    if (!this.#running) return;
    const waitMs = Math.min(FAULT_MS.most, FAULT_MS.first * 2 ** this.#faults);
    this.#faults += 1;
    this.#options.log.warn("a runtime that waited for an agent ended; agents start from the beginning", {
      reason: why,
      nextStartMs: waitMs,
    });
    this.#later(waitMs);
  }
}

/** Names a bundle as it is on disk; undefined where agents run from the sources. */
export function releaseOf(program: string): string | undefined {
  const stat = program.endsWith(".mjs") ? statSync(program, { throwIfNoEntry: false }) : undefined;
  return stat && `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
}

/** One process of the pool. */
class Member implements Taken {
  readonly folder: string;
  readonly account: Account | undefined;
  readonly place: ReplicaPlace;
  readonly heap: number;
  #loaded = false;
  #handed = false;
  #last = "it said nothing";
  readonly #log: Log;
  readonly #child: Child;
  readonly #mark: string | undefined;
  readonly #ended = Promise.withResolvers<void>();
  readonly #timer: NodeJS.Timeout;

  constructor(
    memoryBytes: number,
    { account, command, folders, log, machineEnvironment, sharedCache, startMs = START_MS }: PoolOptions,
    tell: { loaded(): void; ended(why: string): void },
  ) {
    this.#log = log;
    this.heap = heapMebibytes(memoryBytes);
    this.folder = folders.ofWaiting(randomName());
    this.account = account?.();
    this.place = makePlace(this.folder, undefined, this.account, [sharedCache]);
    const { cacheDir, dataDir } = this.place;
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
        if (source !== "runtime" || message !== WAITING || this.#loaded) return;
        this.#loaded = true;
        clearTimeout(this.#timer);
        tell.loaded();
      },
      onErrorOutput: (line) => {
        this.#last = line;
      },
      onExit: ({ failed }) => {
        clearTimeout(this.#timer);
        this.#remove();
        this.#ended.resolve();
        tell.ended(failed ?? this.#last);
      },
    });
    this.#timer = setTimeout(() => this.#child.kill(), startMs);
    this.#timer.unref();
    const { pid } = this.#child;
    this.#mark = pid === undefined ? undefined : processMark(pid);
    this.#record();
  }

  get loaded(): boolean {
    return this.#loaded && this.#child.lives;
  }

  handOver(agentId: string, what: HandOver, listener: ChildListener): Child {
    if (this.#handed) throw new Error("this runtime is an agent's already");
    this.#handed = true;
    this.#child.tell(listener);
    this.#child.send(JSON.stringify(what));
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
      // Without the record its end of stdin still ends it when the controller dies.
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
