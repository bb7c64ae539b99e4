// Installs and downloads of the plugin stores that are under way: each once however many ask, with words about how far it is.

/** Work by id. */
export class UnderWay<Result> {
  readonly #work = new Map<string, Promise<Result>>();
  readonly #progress = new Map<string, string>();
  readonly #stopping = new AbortController();

  /** Aborted by {@link close}. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  /** How many pieces of work are under way. */
  get size(): number {
    return this.#work.size;
  }

  has(id: string): boolean {
    return this.#work.has(id);
  }

  /** Does the work, or waits for the same work that is under way already. */
  once(id: string, work: () => Promise<Result>): Promise<Result> {
    const under = this.#work.get(id);
    if (under !== undefined) return under;
    const begun = work().finally(() => {
      this.#work.delete(id);
      this.#progress.delete(id);
    });
    this.#work.set(id, begun);
    return begun;
  }

  /** Notes in words how far the work is. */
  note(id: string, words: string): void {
    this.#progress.set(id, words);
  }

  /** How far the work is; undefined where none is under way. */
  progress(id: string): string | undefined {
    return this.#progress.get(id);
  }

  /** Aborts the work and waits for its end. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled(this.#work.values());
  }
}
