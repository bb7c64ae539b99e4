// Things that wait in the name of somebody: everybody gets a turn, however many things another one has waiting.

/** Waiting things by owner. Owners take turns; the things of one come in their order. */
export class Turns<T> {
  /** The owner who waits longest for a turn comes first. */
  readonly #waiting = new Map<string, Set<T>>();

  /** Adds a thing behind the owner's others; one that waits already keeps its place. */
  add(owner: string, thing: T): void {
    const own = this.#waiting.get(owner);
    if (own === undefined) this.#waiting.set(owner, new Set([thing]));
    else own.add(thing);
  }

  delete(owner: string, thing: T): void {
    const own = this.#waiting.get(owner);
    if (own?.delete(thing) === true && own.size === 0) this.#waiting.delete(owner);
  }

  /** How many things of the owner wait. */
  of(owner: string): number {
    return this.#waiting.get(owner)?.size ?? 0;
  }

  /** Takes out the next thing, and puts its owner behind the others. @param except owners who have no turn now */
  next(except: ReadonlySet<string>): T | undefined {
    for (const [owner, own] of this.#waiting) {
      if (except.has(owner)) continue;
      const [thing] = own;
      if (thing === undefined) continue;
      own.delete(thing);
      this.#waiting.delete(owner);
      if (own.size > 0) this.#waiting.set(owner, own);
      return thing;
    }
    return undefined;
  }
}
