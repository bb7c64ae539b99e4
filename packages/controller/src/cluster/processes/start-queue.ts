// Lets few processes start at once: more than the cores can carry slow each other down, and all are ready late.

/** Places for processes that start; the others begin in the order in which they came. */
export class StartQueue {
  readonly #limitMs: number;
  readonly #waiting = new Set<() => void>();
  #free: number;

  /**
   * @param places how many start at once
   * @param limitMs one that takes longer keeps no place any more: a slow or stuck start must not hold up the others
   */
  constructor(places: number, limitMs: number) {
    this.#free = places;
    this.#limitMs = limitMs;
  }

  /**
   * Begins at once where a place is free, else as soon as one is.
   * @returns gives the place back, or up before it was given; calling it again changes nothing
   */
  enter(begin: () => void): () => void {
    let timer: NodeJS.Timeout | undefined;
    let left = false;
    const start = () => {
      this.#free -= 1;
      timer = setTimeout(leave, this.#limitMs);
      timer.unref();
      begin();
    };
    const leave = () => {
      if (left) return;
      left = true;
      if (this.#waiting.delete(start)) return;
      clearTimeout(timer);
      this.#free += 1;
      this.#next();
    };
    this.#waiting.add(start);
    this.#next();
    return leave;
  }

  #next(): void {
    for (const start of this.#waiting) {
      if (this.#free <= 0) return;
      this.#waiting.delete(start);
      start();
    }
  }
}
