/**
 * Whether this controller may still act. Its leases last while its heartbeat is younger than the lease; counted from
 * when the heartbeat was *sent*, so that the controller stops acting before the database gives its agents to another.
 * Where the machine's clock was set back since, nobody knows how old the heartbeat is: then the lease has lapsed, until the next one.
 */
export class Lease {
  readonly #milliseconds: number;
  #renewedAt = Number.NEGATIVE_INFINITY;

  constructor(leaseSeconds: number) {
    this.#milliseconds = leaseSeconds * 1000;
  }

  /**
   * @param sentAt when the heartbeat that succeeded was sent
   * @param now when it was answered: an answer may come after that to a later one
   */
  renewed(sentAt: number, now: number): void {
    const setBack = now < this.#renewedAt;
    this.#renewedAt = setBack ? sentAt : Math.max(this.#renewedAt, sentAt);
  }

  lapsed(now: number): boolean {
    return now < this.#renewedAt || now - this.#renewedAt >= this.#milliseconds;
  }

  /** Milliseconds since the last renewal; infinite before the first. */
  age(now: number): number {
    return now - this.#renewedAt;
  }
}
