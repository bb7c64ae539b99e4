// Derives an agent's conditions from what is observed. Pure.

import type { Failure } from "../cluster/cluster.ts";
import { isComplete } from "../cluster/rollout.ts";
import type { Condition, DeploymentReport } from "../contract.ts";
import type { Situation } from "./decide.ts";
import type { Observation } from "./observe.ts";

type Statement = Omit<Condition, "lastTransitionTime">;

/** What is true of the agent, in the form of Kubernetes conditions. */
export function conditionsOf(situation: Situation, failure: Failure | undefined, now: number): Condition[] {
  const { observed } = situation;
  const exposure = observed.workload?.exposure;
  return dated(
    [
      available(observed, failure),
      progressing(situation, failure),
      broken(observed),
      ...(exposure === undefined ? [] : [{ type: "Exposed", ...exposure }]),
      ...(observed.workload?.paused ? [PAUSED] : []),
    ],
    situation.conditions,
    now,
  );
}

/** What is true of an agent that is stopped because that is wanted. */
export function stoppedConditions(before: readonly Condition[], now: number): Condition[] {
  return restingConditions("STOPPED", "The agent is stopped", before, now);
}

/** What is true of an agent that is asleep. */
export function asleepConditions(before: readonly Condition[], now: number): Condition[] {
  return restingConditions(
    "ASLEEP",
    "The agent is asleep until a request, a message or its owner wakes it",
    before,
    now,
  );
}

function restingConditions(
  reason: string,
  message: string,
  before: readonly Condition[],
  now: number,
): Condition[] {
  return dated(
    [
      { type: "Available", status: "False", reason, message },
      { type: "Progressing", status: "True", reason: "COMPLETE", message },
      { type: "ReplicaFailure", status: "False", reason: "NONE", message: "" },
    ],
    before,
    now,
  );
}

const PAUSED: Statement = {
  type: "Paused",
  status: "True",
  reason: "PAUSED",
  message: "An operator paused this agent in the cluster; changes wait until it is resumed",
};

/** Statements with the time of their last change. */
function dated(statements: readonly Statement[], before: readonly Condition[], now: number): Condition[] {
  return statements.map((statement) => {
    const known = before.find((condition) => condition.type === statement.type);
    const kept = known?.status === statement.status ? known.lastTransitionTime : undefined;
    return { ...statement, lastTransitionTime: kept ?? new Date(now).toISOString() };
  });
}

/** The application's own health: of the replicas that serve, and of those that should. */
export function applicationOf(observed: Observation): DeploymentReport["application"] {
  const workload = observed.workload;
  if (workload === undefined || observed.current === 0) return undefined;
  const ready = workload.replicas.filter((replica) => replica.state === "ready");
  const first = ready.map((replica) => replica.startedAt).sort((a, b) => a - b)[0];
  const times = ready.flatMap((replica) => (replica.health ? [replica.health.responseTimeMs] : []));
  const whole =
    ready.length >= workload.wanted && ready.every((replica) => replica.health?.status !== "degraded");
  return {
    status: ready.length === 0 ? "UNHEALTHY" : whole ? "HEALTHY" : "DEGRADED",
    startedAt: first === undefined ? null : new Date(first).toISOString(),
    responseTimeMs:
      times.length === 0 ? null : Math.round((times.reduce((a, b) => a + b, 0) / times.length) * 10) / 10,
  };
}

function available(observed: Observation, failure: Failure | undefined): Statement {
  const wanted = observed.workload?.wanted ?? 0;
  if (wanted === 0 && (failure !== undefined || observed.workload === undefined)) {
    return {
      type: "Available",
      status: "False",
      reason: "NO_REPLICA_READY",
      message: "No replica was started",
    };
  }
  if (wanted === 0) {
    return {
      type: "Available",
      status: "False",
      reason: "NO_REPLICA_WANTED",
      message: "Scaled to 0 replicas",
    };
  }
  return observed.ready > 0
    ? {
        type: "Available",
        status: "True",
        reason: "REPLICAS_READY",
        message: `${observed.ready} of ${wanted} ready`,
      }
    : { type: "Available", status: "False", reason: "NO_REPLICA_READY", message: `0 of ${wanted} ready` };
}

function progressing({ observed }: Situation, failure: Failure | undefined): Statement {
  if (failure !== undefined) return { type: "Progressing", status: "False", ...failure };
  const workload = observed.workload;
  if (workload !== undefined && isComplete(workload.wanted, workload.template, workload.replicas)) {
    return {
      type: "Progressing",
      status: "True",
      reason: "COMPLETE",
      message: "Every replica is up to date and ready",
    };
  }
  return { type: "Progressing", status: "True", reason: "ROLLING_OUT", message: "Replicas are on their way" };
}

/** The replica that is worst off, by name, so that a person finds it in the logs; else why there is none to be. */
function broken(observed: Observation): Statement {
  const replicas = observed.workload?.replicas.filter((replica) => replica.state !== "ending") ?? [];
  const [worst] = replicas
    .filter((replica) => replica.state !== "ready" && (replica.exit ?? replica.blocked) !== undefined)
    .sort((a, b) => b.failures - a.failures);
  const why = worst?.blocked ?? worst?.exit ?? observed.workload?.blocked;
  if (why === undefined) return { type: "ReplicaFailure", status: "False", reason: "NONE", message: "" };
  const times = (worst?.failures ?? 0) > 1 ? ` (${worst?.failures} times in a row)` : "";
  const who = worst === undefined ? "" : `${worst.name}${times}: `;
  return {
    type: "ReplicaFailure",
    status: "True",
    reason: why.reason,
    message: `${who}${why.message}`.slice(0, 1000),
  };
}
