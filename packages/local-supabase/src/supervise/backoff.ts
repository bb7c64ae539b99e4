/** How restarts are spaced. */
export interface BackoffPolicy {
  firstMs: number;
  maxMs: number;
  /** A life at least this long counts as healthy: the next failure is a first one again. */
  healthyMs: number;
}

export const RESTART_POLICY: BackoffPolicy = { firstMs: 250, maxMs: 10_000, healthyMs: 30_000 };

/**
 * The restart after a failure: how long to wait and how many failures now count in a row.
 * Takes the failures so far and how long the last life lasted (0 when the start itself failed).
 */
export function nextRestart(
  failures: number,
  livedMs: number,
  policy: BackoffPolicy = RESTART_POLICY,
): { delayMs: number; failures: number } {
  const count = livedMs >= policy.healthyMs ? 1 : failures + 1;
  return { delayMs: Math.min(policy.firstMs * 2 ** (count - 1), policy.maxMs), failures: count };
}
