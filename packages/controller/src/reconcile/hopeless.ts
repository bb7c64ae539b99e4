// When replicas will not become ready by waiting, and the sentence that says why. Pure.
import type { Failure, ObservedReplica } from "../cluster/cluster.ts";
import type { Observation } from "./observe.ts";

export interface Limits {
  /** Without progress for this long, a rollout has failed. */
  readyMs: number;
  /** Exits in a row that make a crash loop. */
  crashLimit: number;
}

/** Whether waiting cannot bring the replica up. */
export function isHopeless(replica: ObservedReplica, limits: Limits): boolean {
  if (replica.state === "ready") return false;
  if (replica.exit?.fatal || replica.blocked?.fatal) return true;
  return replica.exit !== undefined && replica.failures >= limits.crashLimit;
}

/** Why it is hopeless, for the agent's owner. */
export function explain({ blocked, exit, failures, name }: ObservedReplica): Failure | undefined {
  if (blocked?.fatal) return { reason: blocked.reason, message: blocked.message };
  if (exit === undefined || exit.fatal) return exit && { reason: exit.reason, message: exit.message };
  return {
    // What kills each life is what a person must act on; any other end is told as the loop it makes.
    reason: exit.reason === "OOMKilled" ? "OOMKilled" : "CRASH_LOOP",
    message: `Replica ${name} ended ${failures} times in a row without staying up. ${exit.message}`,
  };
}

/** What a rollout waits for that has come to no good in time. */
export function findDelay({ members, workload }: Observation, limits: Limits): Failure | undefined {
  const within = `within ${Math.round(limits.readyMs / 1000)} s.`;
  const waiting = members.filter((replica) => replica.state !== "ready");
  const worst = waiting.find((replica) => replica.blocked !== undefined) ?? waiting[0];
  if (worst !== undefined) {
    const last = worst.exit === undefined ? "" : ` Its last end: ${worst.exit.message}`;
    const why = worst.blocked === undefined ? last : ` ${worst.blocked.message}`;
    return {
      reason: worst.blocked?.reason ?? "NEVER_READY",
      message: `Replica ${worst.name} was not ready ${within}${why}`,
    };
  }
  if (workload === undefined || members.length >= workload.wanted) return undefined;
  const made = `${members.length} of ${workload.wanted} replicas could be started ${within}`;
  if (workload.blocked !== undefined) {
    return { reason: workload.blocked.reason, message: `Only ${made} ${workload.blocked.message}` };
  }
  return members.length === 0 ? { reason: "NEVER_READY", message: `Only ${made}` } : undefined;
}
