/** Work that waits in the database: claimed in turn whenever somebody wakes it, carried out side by side. */
export class ClaimedWork {
  readonly #claim: () => Promise<boolean>;
  readonly #running = new Set<Promise<void>>();
  #claiming: Promise<void> | undefined;
  #again = false;

  /**
   * @param claim claims once and starts what it got; returns whether to claim again. Must not throw
   */
  constructor(claim: () => Promise<boolean>) {
    this.#claim = claim;
  }

  /** How many pieces are being worked on. */
  get size(): number {
    return this.#running.size;
  }

  /** Looks for work; returns when all it found, here or meanwhile, is done. Never throws. */
  async wake(): Promise<void> {
    this.#again = true;
    this.#claiming ??= this.#claimAll().finally(() => {
      this.#claiming = undefined;
    });
    await this.#claiming;
    while (this.#running.size > 0) await this.oneEnds();
  }

  /**
   * Counts a piece of work until it ends.
   * @param work must not reject
   * @param ended called when it is no longer counted
   */
  start(work: Promise<void>, ended?: () => void): void {
    const counted = work.finally(() => {
      this.#running.delete(counted);
      ended?.();
    });
    this.#running.add(counted);
  }

  /** Resolves when any piece ends. */
  async oneEnds(): Promise<void> {
    await Promise.race(this.#running);
  }

  async #claimAll(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      if (await this.#claim()) this.#again = true;
    }
  }
}
