// Judges whether an agent's replicas have been idle for its idle time. Pure.

import type { ReplicaSample } from "../cluster/cluster.ts";
import type { Held } from "../reconcile/leased-agent.ts";
import type { Observation } from "../reconcile/observe.ts";

/**
 * Whether the agent falls asleep on its own, and nothing has been under way with it for its idle time: a change ends replicas,
 * and with them the knowledge of what they worked on last.
 */
export function maySleep({ claim, desired, heldAt }: Sleeper, now: number): boolean {
  return (
    claim.idleSeconds != null &&
    // Counted both ways: a clock that is set back keeps nothing awake. What replicas say is measured by theirs that only go on.
    Math.abs(now - heldAt) >= claim.idleSeconds * 1000 &&
    claim.targetReplicas > 0 &&
    desired.state === "running" &&
    desired.phase === "DEPLOYED" &&
    desired.observedGeneration === desired.generation
  );
}

/** What is looked at of an agent that is held. */
export type Sleeper = Pick<Held, "desired" | "heldAt"> & {
  claim: Pick<Held["claim"], "idleSeconds" | "targetReplicas">;
};

/**
 * Whether every replica has had no work for that long. A replica that is not ready, was not sampled or does not tell counts
 * as working.
 * @param samples of this agent
 */
export function isIdle(
  idleSeconds: number,
  observed: Pick<Observation, "workload">,
  samples: readonly Pick<ReplicaSample, "idleSeconds" | "replica">[],
): boolean {
  const replicas = observed.workload?.replicas ?? [];
  const sampled = new Set(samples.map(({ replica }) => replica));
  return (
    replicas.length > 0 &&
    replicas.every(({ name, state }) => state === "ready" && sampled.has(name)) &&
    // Also those that have ended since.
    samples.every((sample) => sample.idleSeconds !== null && sample.idleSeconds >= idleSeconds)
  );
}
