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
    if (result === undefined || (!underWay && clock.now() - at >= milliseconds)) {
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
