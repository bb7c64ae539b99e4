// Judges whether an agent's replicas have been idle for its idle time. Pure.

import type { ReplicaSample } from "../cluster/cluster.ts";
import type { Claim } from "../contract.ts";
import type { Desired } from "../reconcile/decide.ts";
import type { Observation } from "../reconcile/observe.ts";

/** Whether the agent falls asleep on its own, and nothing is under way with it: only then its replicas are looked at. */
export function maySleep(claim: Pick<Claim, "idleSeconds" | "targetReplicas">, desired: Desired): boolean {
  return (
    claim.idleSeconds != null &&
    claim.targetReplicas > 0 &&
    desired.state === "running" &&
    desired.phase === "DEPLOYED" &&
    desired.observedGeneration === desired.generation
  );
}

/**
 * Whether every replica has had no work for that long. A replica that is not ready, was not sampled or does not tell counts
 * as working.
 */
export function isIdle(
  idleSeconds: number,
  observed: Pick<Observation, "workload">,
  samples: ReadonlyMap<string, Pick<ReplicaSample, "idleSeconds">>,
): boolean {
  const replicas = observed.workload?.replicas ?? [];
  return (
    replicas.length > 0 &&
    replicas.every(({ name, state }) => {
      const idle = samples.get(name)?.idleSeconds;
      return state === "ready" && idle != null && idle >= idleSeconds;
    })
  );
}
