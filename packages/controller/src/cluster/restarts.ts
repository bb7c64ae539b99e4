// Decides how long to wait before a replica starts again.

import { backoff } from "../clock.ts";

export interface RestartLimits {
  baseMs: number;
  capMs: number;
  /** Ready for this long: the next exit counts as the first again. */
  stableMs: number;
}

export const RESTARTS: RestartLimits = { baseMs: 500, capMs: 60_000, stableMs: 10_000 };

/**
 * What follows a replica's exit.
 * @param failures exits in a row before this one
 * @param readyAt when this life became ready, if it did
 * @param fatal whether the exit said that starting again cannot help
 * @returns the exits in a row now, and how long to wait before the next start
 */
export function afterExit(
  failures: number,
  readyAt: number | undefined,
  now: number,
  fatal: boolean,
  limits: RestartLimits = RESTARTS,
): { failures: number; delayMs: number } {
  const stable = readyAt !== undefined && now - readyAt >= limits.stableMs;
  const count = stable ? 1 : failures + 1;
  return { failures: count, delayMs: fatal ? limits.capMs : backoff(count, limits.baseMs, limits.capMs) };
}
