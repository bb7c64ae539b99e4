// Small tools that limit how much work runs at once, how often and for how long.

import type { Clock } from "../../../clock.ts";

/** Lets a number of works through at once; others wait their turn, first come first served. */
export class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  /** Waits for a place; returns what gives it back, once, however often it is called. */
  async enter(): Promise<() => void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    };
  }
}

/** Lets so many through each second, first come first served: a burst at once, the others at their time. */
export class Pace {
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #burst: number;
  /** When the next one's turn is, if there were no burst. */
  #next = Number.NEGATIVE_INFINITY;
  #asked = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock;
    this.#everyMs = 1000 / perSecond;
    this.#burst = burst;
  }

  /** Waits for its turn, or until the signal ends the wait: the turn is then not used. */
  async turn(signal: AbortSignal): Promise<void> {
    const now = this.#clock.now();
    // The machine's clock was set back: so are the turns.
    if (now < this.#asked) this.#next -= this.#asked - now;
    this.#asked = now;
    const turn = Math.max(this.#next, now);
    this.#next = turn + this.#everyMs;
    const wait = turn - now - (this.#burst - 1) * this.#everyMs;
    if (wait <= 0 || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        cancel();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const cancel = this.#clock.after(wait, done);
      signal.addEventListener("abort", done);
    });
  }
}

/** Does the work for each item, so many at once, and resolves when all is done. */
export async function forEach<T>(
  items: Iterable<T>,
  together: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: together }, worker));
}

/** Does the work at most once in a while, and once at a time: in between, its last result stands. */
export function kept<T>(clock: Clock, milliseconds: number, work: () => Promise<T>): () => Promise<T> {
  let at = Number.NEGATIVE_INFINITY;
  let result: Promise<T> | undefined;
  let underWay = false;
  return () => {
    // Counted both ways: the machine's clock may be set back.
    if (result === undefined || (!underWay && Math.abs(clock.now() - at) >= milliseconds)) {
      at = clock.now();
      underWay = true;
      result = work().finally(() => {
        underWay = false;
      });
    }
    return result;
  };
}

/** What the work comes to; what `otherwise` says where that takes longer than the limit. */
export async function within<T>(
  clock: Clock,
  milliseconds: number,
  work: Promise<T>,
  otherwise: () => T,
): Promise<T> {
  const { promise: late, resolve } = Promise.withResolvers<T>();
  const cancel = clock.after(milliseconds, () => resolve(otherwise()));
  try {
    return await Promise.race([work, late]);
  } finally {
    cancel();
  }
}
