// A work queue that never runs one key twice at once.

import type { Clock } from "../clock.ts";

/**
 * Work by key: one key's work never runs twice at once, at most `concurrency` keys run together, and work asked for
 * while it runs is done once more afterwards. First come, first served, so no key starves another.
 */
export class KeyedQueue {
  readonly #clock: Clock;
  readonly #concurrency: number;
  readonly #work: (key: string) => Promise<void>;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  readonly #timers = new Map<string, () => void>();
  /** Keys whose work failed: until their time is up nothing but {@link bringForward} makes them work. */
  readonly #resting = new Set<string>();
  #stopped = false;
  #idle: (() => void)[] = [];

  /** @param work must handle its own errors */
  constructor(clock: Clock, concurrency: number, work: (key: string) => Promise<void>) {
    this.#clock = clock;
    this.#concurrency = concurrency;
    this.#work = work;
  }

  get size(): number {
    return this.#waiting.size + this.#running.size;
  }

  /** Asks for the key's work, now; forgets a later time that was asked for. A key that rests goes on resting. */
  enqueue(key: string): void {
    if (this.#stopped || this.#resting.has(key)) return;
    this.#cancelTimer(key);
    // A Set keeps the order of arrival; a key that waits already keeps its place.
    this.#waiting.add(key);
    this.#pump();
  }

  /** Asks for the key's work after a while, unless it is asked for before. One such time per key. */
  enqueueAfter(key: string, milliseconds: number): void {
    if (this.#stopped || this.#resting.has(key)) return;
    this.#cancelTimer(key);
    const cancel = this.#clock.after(milliseconds, () => this.bringForward(key));
    this.#timers.set(key, cancel);
  }

  /** Lets the key rest for so long: what asks for it meanwhile, or asked while it worked, does not count. */
  rest(key: string, milliseconds: number): void {
    if (this.#stopped) return;
    this.#resting.delete(key);
    this.#waiting.delete(key);
    this.enqueueAfter(key, milliseconds);
    this.#resting.add(key);
  }

  /** Asks for the key's work, now, also where it rests. */
  bringForward(key: string): void {
    this.#resting.delete(key);
    this.enqueue(key);
  }

  /** Takes no more work; resolves when what runs has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.clear();
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#resting.clear();
    if (this.#running.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #pump(): void {
    for (const key of this.#waiting) {
      if (this.#running.size >= this.#concurrency) return;
      if (this.#running.has(key)) continue;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    try {
      await this.#work(key);
    } finally {
      this.#running.delete(key);
      if (this.#running.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
      // Work that asks for itself again waits for a turn of the event loop: it can never shut everything else out.
      if (this.#waiting.has(key)) this.#clock.after(0, () => this.#pump());
      else this.#pump();
    }
  }

  #cancelTimer(key: string): void {
    this.#timers.get(key)?.();
    this.#timers.delete(key);
  }
}
