// Plans one step of a rollout without a gap in service.

import type { ObservedReplica } from "./cluster.ts";

export interface RolloutPlan {
  /** How many replicas of the wanted template to start. */
  start: number;
  /** Replicas to end, by name. */
  stop: string[];
}

/** How many replicas beyond the wanted number an update may run: a quarter, at least one. */
export function surge(wanted: number): number {
  return Math.max(1, Math.ceil(wanted / 4));
}

/**
 * One step from what runs towards `wanted` replicas of `template`, without a gap: what serves is ended only when
 * enough others are ready. Applied after every change until it has nothing left to do.
 */
export function planRollout(
  wanted: number,
  template: string,
  replicas: readonly ObservedReplica[],
): RolloutPlan {
  const active = replicas.filter((replica) => replica.state !== "ending");
  const current = active.filter((replica) => replica.template === template);
  const old = active.filter((replica) => replica.template !== template);

  const surplus =
    current.length > wanted ? [...current].sort(leastUseful).slice(0, current.length - wanted) : [];
  const stop = surplus.map((replica) => replica.name);

  // Old replicas that serve nobody are no loss; of those that serve, only what the ready ones exceed.
  const kept = current.filter((replica) => !stop.includes(replica.name));
  let spare = [...kept, ...old].filter(isReady).length - wanted;
  for (const replica of [...old].sort(leastUseful)) {
    if (!isReady(replica)) stop.push(replica.name);
    else if (spare > 0) {
      spare -= 1;
      stop.push(replica.name);
    }
  }

  const serving = old.filter((replica) => !stop.includes(replica.name)).length;
  const allowed = serving > 0 ? wanted + surge(wanted) - serving - kept.length : wanted - kept.length;
  return { start: Math.max(0, Math.min(wanted - kept.length, allowed)), stop };
}

/** Whether nothing is left to do: exactly the wanted replicas, all ready. */
export function isComplete(wanted: number, template: string, replicas: readonly ObservedReplica[]): boolean {
  const active = replicas.filter((replica) => replica.state !== "ending");
  return (
    active.length === wanted && active.every((replica) => replica.template === template && isReady(replica))
  );
}

function isReady(replica: ObservedReplica): boolean {
  return replica.state === "ready";
}

const USE: Record<ObservedReplica["state"], number> = {
  ending: 0,
  waiting: 0,
  unready: 1,
  starting: 2,
  ready: 3,
};

/** Order in which replicas are given up: broken ones first, then the youngest. */
function leastUseful(a: ObservedReplica, b: ObservedReplica): number {
  return USE[a.state] - USE[b.state] || b.failures - a.failures || b.startedAt - a.startedAt;
}
