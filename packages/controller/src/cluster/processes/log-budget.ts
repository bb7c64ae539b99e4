// How much of one agent's output is kept: so many lines and bytes a minute, and one line that says how many were not.
import type { Clock } from "../../clock.ts";

const WINDOW_MS = 60_000;
/** A busy agent writes a line per answer; this is a hundred a second. */
export const LINES_PER_MINUTE = 6000;
export const BYTES_PER_MINUTE = 4 * 1024 * 1024;

/** The lines of all replicas of one agent. */
export class LogBudget {
  readonly #clock: Clock;
  readonly #maxLines: number;
  readonly #maxBytes: number;
  #until = 0;
  #lines = 0;
  #bytes = 0;
  #dropped = 0;

  constructor(clock: Clock, maxLines: number = LINES_PER_MINUTE, maxBytes: number = BYTES_PER_MINUTE) {
    this.#clock = clock;
    this.#maxLines = maxLines;
    this.#maxBytes = maxBytes;
  }

  /**
   * Counts a line.
   * @param say called once at the end of a minute in which lines were not kept, with their number
   * @returns whether it is kept
   */
  admits(bytes: number, say: (dropped: number) => void): boolean {
    const now = this.#clock.now();
    // After a clock that was set back the minute begins again, too.
    if (now >= this.#until || this.#until - now > WINDOW_MS) {
      this.#until = now + WINDOW_MS;
      this.#lines = 0;
      this.#bytes = 0;
    }
    this.#lines += 1;
    this.#bytes += bytes;
    if (this.#lines <= this.#maxLines && this.#bytes <= this.#maxBytes) return true;
    this.#dropped += 1;
    if (this.#dropped === 1) {
      this.#clock.after(this.#until - now, () => {
        const dropped = this.#dropped;
        this.#dropped = 0;
        say(dropped);
      });
    }
    return false;
  }
}
