// Warns before the controller reaches its memory limit: beyond it the kernel ends the process without a word.
import { totalmem } from "node:os";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";

/** From this share of the limit on it is said; also in the chart's alert. */
const NEAR = 0.85;
const EVERY_MS = 30_000;
/** Said again after so long, while it lasts. */
const AGAIN_MS = 3_600_000;

/** The limit of this container in bytes; undefined when absent. */
export function memoryLimit(
  constrained = process.constrainedMemory(),
  total = totalmem(),
): number | undefined {
  return constrained > 0 && constrained < total ? constrained : undefined;
}

export interface MemoryWatchOptions {
  clock: Clock;
  log: Log;
  limit: number | undefined;
  /** Bytes in use now. */
  used(): number;
}

/** Looks now and then; does nothing without a limit. */
export class MemoryWatch {
  readonly #options: MemoryWatchOptions;
  #cancel: () => void = () => {};
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(options: MemoryWatchOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#options.limit !== undefined) this.#look(this.#options.limit);
  }

  stop(): void {
    this.#cancel();
  }

  #look(limit: number): void {
    const { clock, log, used } = this.#options;
    const now = used();
    if (now >= NEAR * limit && clock.now() - this.#saidAt >= AGAIN_MS) {
      this.#saidAt = clock.now();
      log.warn("memory is near its limit: raise resources.limits.memory of the controller", {
        usedMegabytes: Math.round(now / 1e6),
        limitMegabytes: Math.round(limit / 1e6),
      });
    }
    this.#cancel = clock.after(EVERY_MS, () => this.#look(limit));
  }
}
