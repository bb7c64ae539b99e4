// Spaces corrections of an object that somebody keeps changing.

import type { Clock } from "../../clock.ts";

const FIRST_MS = 1000;
const LONGEST_MS = 300_000;

/**
 * Puts back what others change, at once the first time; but where somebody changes it again and again, less and less
 * often: two that undo each other's work must not do so without pause.
 */
export class CorrectionBackoff {
  readonly #clock: Clock;
  readonly #again: (key: string) => void;
  readonly #keys = new Map<string, { until: number; wait: number; cancel?: () => void }>();

  /** @param again called when the time is up for a key that was not allowed */
  constructor(clock: Clock, again: (key: string) => void) {
    this.#clock = clock;
    this.#again = again;
  }

  /** Whether it may be done now; asking counts as doing. */
  allows(key: string): boolean {
    const now = this.#clock.now();
    const known = this.#keys.get(key);
    if (known !== undefined && now < known.until) {
      known.cancel ??= this.#clock.after(known.until - now, () => {
        delete known.cancel;
        this.#again(key);
      });
      return false;
    }
    // Quiet for as long as it last had to wait, twice over: it counts as the first time again.
    const repeated = known !== undefined && now < known.until + 2 * known.wait;
    const wait = repeated ? Math.min(LONGEST_MS, known.wait * 2) : FIRST_MS;
    this.#keys.set(key, { until: now + wait, wait });
    return true;
  }

  forget(key: string): void {
    this.#keys.get(key)?.cancel?.();
    this.#keys.delete(key);
  }
}
