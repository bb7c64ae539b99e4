// Decides an agent's next action and report from what is wanted and observed. Pure.

import { type Failure, type ObservedWorkload, REFUSALS, TERMINATING } from "../cluster/cluster.ts";
import { isComplete } from "../cluster/rollout.ts";
import type { Condition, DeploymentReport } from "../contract.ts";
import type { Provision } from "../plugins/provision.ts";
import { applicationOf, asleepConditions, conditionsOf, stoppedConditions } from "./conditions.ts";
import { explain, findDelay, isHopeless, type Limits } from "./hopeless.ts";
import type { Observation } from "./observe.ts";
import { platformReport } from "./platform.ts";

/** What is wanted, and what the database knows of it. */
export interface Desired {
  state: "running" | "asleep" | "stopped" | "absent";
  generation: number;
  observedGeneration: number;
  phase: string;
  /** The address that the database shows, as it was claimed; left out: none. */
  url?: string;
  /** Why it is FAILED, where it is. */
  reason?: string;
  /** The id of what operators decided of its replicas. */
  platform?: string;
}

export type Action =
  | { do: "apply" }
  | { do: "sleep" }
  | { do: "revert"; failure: Failure }
  | { do: "remove"; keep: boolean };

export interface Decision {
  actions: Action[];
  report?: DeploymentReport;
  /** When to look again, should nothing happen before. */
  wakeAt?: number;
  /** Nothing is left to do or to learn: the agent need not be kept in mind once the report is accepted. */
  finished: boolean;
}

export interface Situation {
  desired: Desired;
  observed: Observation;
  /** The conditions last reported: a condition keeps its time while its status stays. */
  conditions: readonly Condition[];
  url: string;
  limits: Limits;
  /** How far its plugins are, where the generation is not applied yet; left out: nothing keeps it. */
  provision?: Provision | undefined;
}

/** How soon it is looked whether a place that is being deleted is gone. */
const AGAIN_MS = 15_000;

/** How soon it is looked how far an install is. */
const PROGRESS_MS = 2000;

/** Phases in which the database already says that the generation is being worked on. */
const UNDER_WAY = new Set(["DEPLOYING", "SCALING", "UPDATING", "RESTARTING", "WAKING"]);

/**
 * The controller's judgement: what to do about one agent, and what to say of it. Pure: the same situation at the same
 * time always gives the same decision, and deciding again after acting leads to nothing more.
 */
export function decide(situation: Situation, now: number): Decision {
  if (situation.observed.workload?.paused) {
    return { actions: [], report: status(situation, undefined, now), finished: false };
  }
  switch (situation.desired.state) {
    case "absent":
      return decideAbsent(situation);
    case "stopped":
      return decideStopped(situation, now);
    case "asleep":
      return decideAsleep(situation, now);
    case "running":
      return decideRunning(situation, now);
  }
}

function decideAbsent({ desired, observed }: Situation): Decision {
  if (observed.workload !== undefined && !observed.workload.gone) {
    return { actions: [{ do: "remove", keep: false }], finished: false };
  }
  const settled = isSettled(desired, "DELETED");
  return {
    actions: [],
    ...(settled ? {} : { report: { phase: "DELETED", ...counts(observed) } as DeploymentReport }),
    finished: true,
  };
}

function decideStopped(situation: Situation, now: number): Decision {
  const { desired, observed } = situation;
  const workload = observed.workload;
  // Also what was scaled to nothing, or given up: it is still there to be changed by others.
  if (
    workload !== undefined &&
    !workload.gone &&
    (workload.replicas.length > 0 || isWanted(workload) || workload.generation !== 0)
  ) {
    return { actions: [{ do: "remove", keep: true }], finished: false };
  }
  const settled = isSettled(desired, "STOPPED");
  return {
    actions: [],
    ...(settled
      ? {}
      : {
          report: {
            phase: "STOPPED",
            ...counts(observed),
            conditions: stoppedConditions(situation.conditions, now),
          } satisfies DeploymentReport,
        }),
    finished: true,
  };
}

/** No replica, and the address leads to who wakes it. It stays held: what comes there is this controller's to answer. */
function decideAsleep(situation: Situation, now: number): Decision {
  const { desired, observed } = situation;
  const workload = observed.workload;
  if (workload?.asleep !== true) return { actions: [{ do: "sleep" }], finished: false };
  if (workload.replicas.length > 0) return { actions: [], finished: false };
  if (isSettled(desired, "ASLEEP")) {
    // Another port, another domain: what its owner is shown would lead nowhere until it wakes.
    const moved = desired.url !== undefined && desired.url !== situation.url;
    return { actions: [], ...(moved ? { report: { url: situation.url } } : {}), finished: false };
  }
  return {
    actions: [],
    report: {
      phase: "ASLEEP",
      url: situation.url,
      ...counts(observed),
      conditions: asleepConditions(situation.conditions, now),
    },
    finished: false,
  };
}

function decideRunning(situation: Situation, now: number): Decision {
  const { desired, observed, limits } = situation;
  const workload = observed.workload;
  const failedBefore = isSettled(desired, "FAILED");
  const refusedBefore = failedBefore && REFUSALS.has(desired.reason ?? "");

  if (workload?.blocked?.reason === TERMINATING && !isRollingOut(desired)) {
    return decideHomeless(situation, failedBefore, now);
  }
  if (workload === undefined || workload.generation < desired.generation) {
    // Nothing is said before it works: a refusal that goes on would fill the history.
    if (refusedBefore) return { actions: [{ do: "apply" }], finished: false };
    // A generation that failed is not tried again; but what served before it may serve on.
    if (failedBefore) {
      const failure = {
        reason: "FAILED_BEFORE",
        message: "This generation failed before; a change starts a new one.",
      };
      return { actions: [{ do: "revert", failure }], finished: false };
    }
    const begins = desired.generation > desired.observedGeneration && !UNDER_WAY.has(desired.phase);
    const { provision } = situation;
    if (provision?.state === "failed") {
      const { failure } = provision;
      const report = failed(situation, failure, failedBefore, now);
      return { actions: [{ do: "revert", failure }], report, finished: false };
    }
    if (provision?.state === "pending") return decideInstalling(situation, provision.message, begins, now);
    return {
      actions: [{ do: "apply" }],
      ...(begins
        ? { report: { phase: "DEPLOYING", url: situation.url, ...counts(observed) } as DeploymentReport }
        : provision?.state === "ready" && provision.told
          ? { report: { ...counts(observed), reason: null, message: null } }
          : {}),
      finished: false,
    };
  }

  // Hands other than ours were on it: told, and put back. A generation that was given up is left as it is.
  if (workload.failure === undefined && workload.drift !== undefined && workload.drift.length > 0) {
    const report = { ...status(situation, undefined, now), corrections: workload.drift };
    return { actions: [{ do: "apply" }], report, finished: false };
  }

  if (workload.failure !== undefined) {
    const { failure, retryAt } = workload;
    const report = failed(situation, failure, failedBefore, now);
    return { actions: [], report, ...(retryAt === undefined ? {} : { wakeAt: retryAt }), finished: false };
  }
  // What was refused is taken now: from here on it is a rollout like any other.
  if (refusedBefore) {
    const report = { phase: "DEPLOYING", url: situation.url, ...counts(observed) } as DeploymentReport;
    return { actions: [], report, wakeAt: now, finished: false };
  }
  // What operators decided of its replicas has changed: no generation, and no phase.
  const { platform, refusedPlatform } = workload;
  const isRefused = refusedPlatform !== undefined && refusedPlatform.id === desired.platform;
  if (
    platform !== undefined &&
    desired.platform !== undefined &&
    platform !== desired.platform &&
    !isRefused
  ) {
    return { actions: [{ do: "apply" }], finished: false };
  }
  const failure = findFailure(situation, now);
  if (failure !== undefined) {
    return {
      actions: [{ do: "revert", failure }],
      report: failed(situation, failure, failedBefore, now),
      finished: false,
    };
  }

  const report = status(situation, undefined, now);
  if (!isRollingOut(desired)) {
    const judgedAt = workload.progressedAt + limits.readyMs;
    const judges = report.platform?.state === "updating" && judgedAt > now;
    const wakeAt = isRefused ? refusedPlatform.retryAt : judges ? judgedAt : undefined;
    const wake = wakeAt === undefined ? {} : { wakeAt };
    return { actions: [], report, ...wake, finished: false };
  }
  if (isComplete(workload.wanted, workload.template, workload.replicas)) {
    return { actions: [], report: { phase: "DEPLOYED", ...report }, finished: false };
  }
  // When its time is up and nothing waits, only a change can bring it on, and a change wakes on its own.
  const wakeAt = workload.progressedAt + limits.readyMs;
  const wake = wakeAt > now ? { wakeAt } : {};
  // That it has begun is said already; with nothing ready and nothing broken there is no more to say yet.
  const begun = desired.phase === "DEPLOYING";
  const broken = observed.members.some((replica) => (replica.exit ?? replica.blocked) !== undefined);
  if (begun && observed.ready === 0 && !broken && workload.blocked === undefined) {
    return { actions: [], ...wake, finished: false };
  }
  return { actions: [], report, ...wake, finished: false };
}

/** Its packages are on their way: what runs of it runs on, and how far they are is told. */
function decideInstalling(
  situation: Situation,
  message: string | undefined,
  begins: boolean,
  now: number,
): Decision {
  const { desired, observed, url } = situation;
  const told = message === undefined ? {} : { reason: "INSTALLING", message };
  const phase = begins && desired.phase !== "STOPPING" ? { phase: "DEPLOYING" as const, url } : {};
  const isNew = begins || message !== undefined;
  return {
    actions: [],
    ...(isNew ? { report: { ...phase, ...counts(observed), ...told } } : {}),
    wakeAt: now + PROGRESS_MS,
    finished: false,
  };
}

/** In a place that is being deleted nothing is wanted any more but by the agent's owner. */
function isWanted({ blocked, wanted }: ObservedWorkload): boolean {
  return wanted > 0 && blocked?.reason !== TERMINATING;
}

/**
 * It worked, and its place is being deleted: nothing can be put back until that is gone. What is left of it is told; with
 * nothing ready for as long as a rollout may take it is FAILED, until the place is gone and it is made again.
 */
function decideHomeless(situation: Situation, failedBefore: boolean, now: number): Decision {
  const { observed, limits } = situation;
  const { blocked, progressedAt = now } = observed.workload ?? {};
  const failsAt = progressedAt + limits.readyMs;
  const isOver = blocked !== undefined && observed.ready === 0 && now >= failsAt;
  const report = isOver ? failed(situation, blocked, failedBefore, now) : status(situation, undefined, now);
  // Nothing tells that the place is gone.
  const wakeAt = Math.min(now + AGAIN_MS, now < failsAt ? failsAt : Number.POSITIVE_INFINITY);
  return { actions: [], ...(failedBefore ? {} : { report }), wakeAt, finished: false };
}

/**
 * Whether the generation cannot work. While it rolls out, one hopeless replica is enough. Later, when it has worked,
 * only if nothing serves any more: a single broken replica is a condition, not a failure.
 */
function findFailure({ desired, observed, limits }: Situation, now: number): Failure | undefined {
  const workload = observed.workload;
  if (workload === undefined) return undefined;
  const rollingOut = isRollingOut(desired);
  const hopeless = observed.members.filter((replica) => isHopeless(replica, limits));
  const worst = hopeless[0];
  if (
    worst !== undefined &&
    (rollingOut || (observed.ready === 0 && hopeless.length === observed.members.length))
  ) {
    return explain(worst);
  }
  if (rollingOut && now >= workload.progressedAt + limits.readyMs) return findDelay(observed, limits);
  return undefined;
}

function failed(
  situation: Situation,
  failure: Failure,
  failedBefore: boolean,
  now: number,
): DeploymentReport {
  const report = status(situation, failure, now);
  if (failedBefore) return report;
  return { phase: "FAILED", ...report, reason: failure.reason, message: failure.message };
}

function status(situation: Situation, failure: Failure | undefined, now: number): DeploymentReport {
  const { observed } = situation;
  const application = applicationOf(observed);
  const platform = platformReport(situation, now);
  return {
    ...counts(observed),
    url: situation.url,
    conditions: conditionsOf(situation, failure, now),
    ...(application === undefined ? {} : { application }),
    ...(platform === undefined ? {} : { platform }),
  };
}

function counts(observed: Observation): { currentReplicas: number; readyReplicas: number } {
  return { currentReplicas: observed.current, readyReplicas: observed.ready };
}

/** Also a generation that had failed and is on its way again. */
function isRollingOut(desired: Desired): boolean {
  return desired.generation > desired.observedGeneration || UNDER_WAY.has(desired.phase);
}

function isSettled(desired: Desired, phase: string): boolean {
  return desired.phase === phase && desired.observedGeneration >= desired.generation;
}
