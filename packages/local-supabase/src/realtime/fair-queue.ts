// Turns at the database: work of one owner waits for that owner's earlier work, not for everybody's.
import type { Owner } from "./owners.ts";

/** Runs work with a bound on how much runs at once, and gives each owner's work its turn. */
export class FairQueue {
  readonly #places: number;
  readonly #placesPerOwner: number;
  /** Owners with waiting work, in the order of their turns. */
  readonly #waiting = new Map<Owner, (() => void)[]>();
  readonly #running = new Map<Owner, number>();
  #taken = 0;

  constructor(places: number, placesPerOwner: number) {
    this.#places = places;
    this.#placesPerOwner = placesPerOwner;
  }

  /** Runs `work` when it is its owner's turn; gives what it gives, throws what it throws. */
  async run<T>(owner: Owner, work: () => Promise<T>): Promise<T> {
    if (this.#taken >= this.#places || this.#countOf(owner) >= this.#placesPerOwner) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const line = this.#waiting.get(owner);
      if (line) line.push(resolve);
      else this.#waiting.set(owner, [resolve]);
      await promise; // whoever called us has taken the place for us
    } else {
      this.#take(owner);
    }
    try {
      return await work();
    } finally {
      this.#leave(owner);
    }
  }

  #countOf(owner: Owner): number {
    return this.#running.get(owner) ?? 0;
  }

  #take(owner: Owner): void {
    this.#taken += 1;
    this.#running.set(owner, this.#countOf(owner) + 1);
  }

  #leave(owner: Owner): void {
    this.#taken -= 1;
    const left = this.#countOf(owner) - 1;
    if (left > 0) this.#running.set(owner, left);
    else this.#running.delete(owner);
    for (const [next, line] of this.#waiting) {
      if (this.#countOf(next) >= this.#placesPerOwner) continue;
      const call = line.shift();
      this.#waiting.delete(next);
      if (line.length > 0) this.#waiting.set(next, line); // to the end of the turns
      this.#take(next);
      call?.();
      return;
    }
  }
}
