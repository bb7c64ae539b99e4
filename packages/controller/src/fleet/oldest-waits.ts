// How long the oldest agent has waited for what its user asked for, by phase: what the alert on a single stuck agent reads.
import { TERMINATING } from "../cluster/cluster.ts";
import type { Held } from "../reconcile/leased-agent.ts";

/** By phase, in seconds. */
export type Waits = Readonly<Record<string, number>>;

/**
 * The database counts agents whose newest change is not carried out, whoever holds them. Only the holder sees that a
 * deployed agent has lost every replica: under its phase (`DEPLOYED`, or `FAILED` where its namespace is stuck) it counts
 * from when the last one was ready.
 * @example oldestWaits({ QUEUED: 12.5 }, [], Date.now()) // { QUEUED: 12.5 }
 */
export function oldestWaits(
  database: Waits,
  held: Iterable<Pick<Held, "desired" | "conditions">>,
  now: number,
): Waits {
  const waits: Record<string, number> = { ...database };
  for (const { conditions, desired } of held) {
    const { phase, reason } = desired;
    const isLost = phase === "DEPLOYED" || (phase === "FAILED" && reason === TERMINATING);
    if (!isLost || desired.generation > desired.observedGeneration) continue;
    if (conditions.some(({ status, type }) => type === "Paused" && status === "True")) continue;
    const down = conditions.find(({ reason, type }) => type === "Available" && reason === "NO_REPLICA_READY");
    if (down === undefined) continue;
    const seconds = Math.max(0, (now - Date.parse(down.lastTransitionTime)) / 1000);
    waits[phase] = Math.max(waits[phase] ?? 0, seconds);
  }
  return waits;
}
