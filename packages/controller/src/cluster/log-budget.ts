// How much of an agent's output is kept: so many lines and bytes a minute, and one line that says how many were left out.
import type { Clock } from "../clock.ts";

const WINDOW_MS = 60_000;
/** A busy agent writes a line per answer; this is a hundred a second. */
export const LINES_PER_MINUTE = 6000;
export const BYTES_PER_MINUTE = 4 * 1024 * 1024;
/** Minutes that are counted apart. A log that is read late comes in order, so a few are enough for several replicas. */
const WINDOWS = 8;

export interface LogBudgetOptions {
  clock: Clock;
  maxLines?: number | undefined;
  maxBytes?: number | undefined;
}

interface Window {
  lines: number;
  bytes: number;
  /** Left out since it was last said. */
  dropped: number;
}

/** The lines of all replicas of one agent. */
export class LogBudget {
  readonly #options: LogBudgetOptions;
  readonly #windows = new Map<number, Window>();

  constructor(options: LogBudgetOptions) {
    this.#options = options;
  }

  /**
   * Counts a line in the minute in which it was written.
   * @param bytes how long it is
   * @param writtenAt when, by a clock that the agent cannot set, in milliseconds
   * @param say called once the minute is over in which lines were left out, with their number
   * @returns whether it is kept
   */
  admits(bytes: number, writtenAt: number, say: (dropped: number) => void): boolean {
    const { clock, maxBytes = BYTES_PER_MINUTE, maxLines = LINES_PER_MINUTE } = this.#options;
    const minute = Math.floor(writtenAt / WINDOW_MS);
    const window = this.#window(minute);
    window.lines += 1;
    window.bytes += bytes;
    if (window.lines <= maxLines && window.bytes <= maxBytes) return true;
    window.dropped += 1;
    if (window.dropped === 1) {
      // Of a minute that is over already, the rest comes in a moment.
      const left = (minute + 1) * WINDOW_MS - clock.now();
      clock.after(Math.min(Math.max(left, 1000), WINDOW_MS), () => {
        const { dropped } = window;
        window.dropped = 0;
        say(dropped);
      });
    }
    return false;
  }

  /** Whether nothing was written since this minute began. */
  idleSince(time: number): boolean {
    return [...this.#windows.keys()].every((minute) => (minute + 1) * WINDOW_MS < time);
  }

  #window(minute: number): Window {
    const known = this.#windows.get(minute);
    if (known !== undefined) return known;
    const window = { lines: 0, bytes: 0, dropped: 0 };
    this.#windows.set(minute, window);
    const [oldest] = this.#windows.keys();
    if (this.#windows.size > WINDOWS && oldest !== undefined) this.#windows.delete(oldest);
    return window;
  }
}

/** The budgets of all agents; one that was silent for minutes is forgotten. */
export class LogBudgets {
  readonly #options: LogBudgetOptions;
  readonly #budgets = new Map<string, LogBudget>();
  #swept = 0;

  constructor(options: LogBudgetOptions) {
    this.#options = options;
  }

  of(agentId: string): LogBudget {
    this.#sweep();
    const known = this.#budgets.get(agentId);
    if (known !== undefined) return known;
    const budget = new LogBudget(this.#options);
    this.#budgets.set(agentId, budget);
    return budget;
  }

  #sweep(): void {
    const now = this.#options.clock.now();
    if (Math.abs(now - this.#swept) < WINDOWS * WINDOW_MS) return;
    this.#swept = now;
    for (const [agentId, budget] of this.#budgets) {
      if (budget.idleSince(now - WINDOWS * WINDOW_MS)) this.#budgets.delete(agentId);
    }
  }
}

/** What stands in an agent's log in place of the lines that were left out. */
export function leftOut(dropped: number): { message: string; metadata: { dropped: number } } {
  const lines = dropped === 1 ? "1 line" : `${dropped} lines`;
  return {
    message: `${lines} left out: this agent wrote more than its share of a minute. Write less, or ask the operator for a larger share.`,
    metadata: { dropped },
  };
}
