// Runtimes that have started already and wait for an agent.

import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { programInUse } from "@agent-launchpad/agent-runtime";
import { errorMessage } from "../../log.ts";
import { heapMebibytes } from "./memory-limit.ts";
import { type Taken, type WaitingOptions, WaitingRuntime } from "./waiting-runtime.ts";

export interface PoolOptions extends WaitingOptions {
  /** How many wait; 0: none. */
  size: number;
  /** Whether there is an agent at all, awake or asleep: without one none wait. */
  wanted(): boolean;
  /** Whether replicas are starting: those of agents go first. */
  busy(): boolean;
  /** Names the runtime's code as it is now; undefined: none starts fast enough. */
  release?: () => string | undefined;
  /** New ones start when no agent has started for this long. */
  quietMs?: number;
  /** They start after this long in any case: agents that keep coming, or one that never becomes ready, must not keep the pool empty. */
  dueMs?: number;
  /** The pause after one that ended while it waited; it doubles each time. */
  faultMs?: number;
}

/** Of agents whose definition names no memory. */
const USUAL_BYTES = 512 * 1024 * 1024;
const QUIET_MS = 500;
const DUE_MS = 2000;
const FAULT_MS = 1000;
const LONGEST_PAUSE_MS = 300_000;
/** One that ended after it had waited for this long shows no fault of the release or the machine. */
const SOUND_MS = 60_000;

/**
 * Keeps runtimes waiting, each in a folder and under an account of its own, and hands each out once. Their heaps are
 * those of the agents that started or fell asleep last, since a heap is fixed when a process starts.
 */
export class Pool {
  /** Starts of agents that a waiting runtime fits: with one, and without. */
  readonly counts = { warm: 0, cold: 0 };
  readonly #options: PoolOptions;
  readonly #members = new Set<WaitingRuntime>();
  /** What the last agents needed that started or fell asleep, the newest first, as many as wait. */
  readonly #asked: number[];
  /** When it is filled in any case, by performance.now(); undefined: nothing was asked for since it was. */
  #dueAt: number | undefined;
  #release: string | undefined;
  #faults = 0;
  /** Nothing starts before, by performance.now(). */
  #pausedUntil = 0;
  #timer: NodeJS.Timeout | undefined;
  #running = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#asked = Array.from({ length: options.size }, () => USUAL_BYTES);
  }

  /** Once the runtime's code is bundled and compiled. */
  start(): void {
    this.#running = this.#options.size > 0;
    this.#refill();
  }

  /** An agent with this memory may ask soon: it sleeps. */
  expect(memoryBytes: number): void {
    this.#ask(memoryBytes);
    if (this.#running) this.#later();
  }

  /** Kills those that wait: they hold nothing. Resolves when they have ended. */
  async stop(): Promise<void> {
    this.#running = false;
    clearTimeout(this.#timer);
    await this.#empty();
  }

  /** How many could be handed out now. */
  get waiting(): number {
    return [...this.#members].filter(({ loaded }) => loaded).length;
  }

  /** Takes out a runtime whose heap fits the memory, where one waits. */
  take(memoryBytes: number): Taken | undefined {
    this.#ask(memoryBytes);
    if (!this.#running) return undefined;
    this.#dueAt ??= performance.now() + (this.#options.dueMs ?? DUE_MS);
    if (this.#release !== this.#nowReleased()) void this.#empty();
    const fits = [...this.#members].find((one) => one.loaded && one.heap === heapMebibytes(memoryBytes));
    this.counts[fits === undefined ? "cold" : "warm"] += 1;
    this.#later();
    if (fits === undefined) return undefined;
    this.#faults = 0;
    this.#members.delete(fits);
    return fits;
  }

  #ask(memoryBytes: number): void {
    this.#asked.unshift(memoryBytes);
    this.#asked.length = this.#options.size;
  }

  #nowReleased(): string | undefined {
    return (this.#options.release ?? (() => releaseOf(programInUse())))();
  }

  async #empty(): Promise<void> {
    const ended = [...this.#members].map((member) => member.end());
    this.#members.clear();
    await Promise.all(ended);
  }

  #later(): void {
    clearTimeout(this.#timer);
    const { quietMs = QUIET_MS } = this.#options;
    const now = performance.now();
    const dueMs = Math.max(0, (this.#dueAt ?? Number.POSITIVE_INFINITY) - now);
    const pauseMs = Math.max(Math.min(quietMs, dueMs), this.#pausedUntil - now);
    this.#timer = setTimeout(() => this.#refill(), pauseMs);
    this.#timer.unref();
  }

  #refill(): void {
    if (!this.#running) return;
    const { busy, dueMs = DUE_MS, wanted } = this.#options;
    if (!wanted()) {
      void this.#empty();
      return;
    }
    const now = performance.now();
    const first = busy();
    if (first) this.#dueAt ??= now + dueMs;
    if (now < this.#pausedUntil || (first && now < (this.#dueAt ?? now))) {
      this.#later();
      return;
    }
    this.#dueAt = undefined;
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
      const member: WaitingRuntime = new WaitingRuntime(memoryBytes, this.#options, {
        loaded: () => this.#refill(),
        ended: (why) => {
          if (this.#members.delete(member)) this.#failed(why, member.waitedMs);
        },
      });
      this.#members.add(member);
      return true;
    } catch (error) {
      this.#failed(errorMessage(error));
      return false;
    }
  }

  #drop(member: WaitingRuntime): void {
    this.#members.delete(member);
    void member.end();
  }

  #failed(why: string, waitedMs = 0): void {
    const now = performance.now();
    // Those that end together, by the machine's want of memory perhaps, are one fault.
    if (!this.#running || now < this.#pausedUntil) return;
    if (waitedMs > SOUND_MS) this.#faults = 0;
    const { faultMs = FAULT_MS, log } = this.#options;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, faultMs * 2 ** this.#faults);
    this.#faults += 1;
    this.#pausedUntil = now + pauseMs;
    log.warn("a runtime ended while it waited for an agent; agents start from the beginning", {
      reason: why,
      nextStartMs: pauseMs,
    });
    this.#later();
  }
}

/** Names a bundle as it is on disk; undefined where agents run from the sources. */
export function releaseOf(program: string): string | undefined {
  const stat = program.endsWith(".mjs") ? statSync(program, { throwIfNoEntry: false }) : undefined;
  return stat && `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
}
