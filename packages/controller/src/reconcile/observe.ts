// Counts an observed workload's replicas for the decision. Pure.

import type { ObservedReplica, ObservedWorkload } from "../cluster/cluster.ts";

/** What decide looks at, counted once. */
export interface Observation {
  /** Undefined: the cluster has nothing of the agent. */
  workload: ObservedWorkload | undefined;
  /** Replicas that are not being ended. */
  current: number;
  ready: number;
  /** Those that are still ending. */
  ending: number;
  /** The replicas of the template that is wanted now, not counting ending ones. */
  members: ObservedReplica[];
}

/** Counts a workload as the cluster tells it. */
export function observe(workload: ObservedWorkload | undefined): Observation {
  const replicas = workload?.replicas ?? [];
  const active = replicas.filter((replica) => replica.state !== "ending");
  return {
    workload,
    current: active.length,
    ready: active.filter((replica) => replica.state === "ready").length,
    ending: replicas.length - active.length,
    members: active.filter((replica) => replica.template === workload?.template),
  };
}
