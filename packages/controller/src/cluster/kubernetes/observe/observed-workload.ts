// Turns an agent's Kubernetes objects into the workload that the controller sees.

import type { Failure, ObservedReplica, ObservedWorkload, ReplicaState } from "../../cluster.ts";
import { ANNOTATIONS, CONTAINER, FIELD_MANAGER, LABELS } from "../names.ts";
import { exitOf } from "./container-exit.ts";
import { exitsOf, failuresOf, readySince } from "./crashes.ts";
import {
  conditionOf,
  containerOf,
  type Deployment,
  type HorizontalPodAutoscaler,
  type Pod,
  timeOf,
} from "./objects.ts";
import { hindranceOf, shortageOf } from "./reasons.ts";
import { exposureOf } from "./route.ts";
import type { AgentObjects } from "./view.ts";

export interface ObserveOptions {
  /** Takes secrets out of what a replica said last. */
  redact?: <T>(value: T) => T;
  /** How a ready replica is, by the pod's uid. */
  health?: (podUid: string) => ObservedReplica["health"];
}

/**
 * What the objects of an agent say of its workload. Pure.
 * @returns undefined when there is nothing of the agent at all
 */
export function observeWorkload(
  objects: AgentObjects,
  now: number,
  options: ObserveOptions = {},
): ObservedWorkload | undefined {
  const { agentId, all, deployment, hpa, namespace, pods, replicaSets } = objects;
  if (all.length === 0) return undefined;
  const replicas = pods
    .filter(isAlive)
    .map((pod) => observePod(pod, objects, now, options))
    .sort((a, b) => a.startedAt - b.startedAt || (a.name < b.name ? -1 : 1));
  // A Deployment that is being deleted works towards nothing any more.
  const live = deployment?.metadata.deletionTimestamp === undefined ? deployment : undefined;
  const generation = Number(live?.metadata.annotations?.[ANNOTATIONS.generation] ?? 0) || 0;
  const template = live?.spec?.template?.metadata?.labels?.[LABELS.template] ?? "";
  const wanted = live === undefined ? 0 : wantedOf(live, hpa);
  const failure = failureOf(live, generation);
  const platform = live?.spec?.template?.metadata?.labels?.[LABELS.platform];
  const members = replicas.filter(
    (one) => one.state !== "ending" && one.template === template && one.platform === platform,
  );
  const current = replicaSets.find(
    ({ metadata, spec }) =>
      metadata.ownerReferences?.some(({ uid }) => uid === live?.metadata.uid) === true &&
      spec?.template?.metadata?.labels?.[LABELS.template] === template &&
      spec.template.metadata.labels[LABELS.platform] === platform,
  );
  const blocked =
    live !== undefined && members.length < wanted ? shortageOf(namespace, live, current) : undefined;
  const exposure = exposureOf(all);
  return {
    agentId,
    ...(isPaused(objects) ? { paused: true } : {}),
    generation,
    template,
    wanted,
    // Written only once its Service led to the controllers.
    ...(live?.metadata.annotations?.[ANNOTATIONS.asleep] === "true" && wanted === 0 ? { asleep: true } : {}),
    ...(exposure === undefined ? {} : { exposure }),
    ...(failure === undefined ? {} : { failure }),
    ...(blocked === undefined ? {} : { blocked }),
    replicas,
    progressedAt: progressedAt(live, pods, template),
  };
}

/** Whether a person has paused the agent, or all of its namespace. */
export function isPaused({ deployment, namespace }: Pick<AgentObjects, "deployment" | "namespace">): boolean {
  return [deployment, namespace].some((one) => one?.metadata.annotations?.[ANNOTATIONS.paused] === "true");
}

/** A pod that has ended for good (evicted, its node shut down) is replaced by another and only remembered. */
function isAlive(pod: Pod): boolean {
  const phase = pod.status?.phase;
  return phase !== "Failed" && phase !== "Succeeded";
}

/** An autoscaler writes into the Deployment how many it wants, but only once it has looked. */
function wantedOf({ spec }: Deployment, hpa: HorizontalPodAutoscaler | undefined): number {
  const replicas = spec?.replicas ?? 1;
  if (hpa === undefined || replicas === 0) return replicas;
  const least = hpa.spec?.minReplicas ?? 1;
  const most = hpa.spec?.maxReplicas ?? Number.POSITIVE_INFINITY;
  return Math.min(most, Math.max(least, replicas));
}

/** The failure that was noted for this generation. */
function failureOf(deployment: Deployment | undefined, generation: number): Failure | undefined {
  const text = deployment?.metadata.annotations?.[ANNOTATIONS.failure];
  if (text === undefined) return undefined;
  try {
    const noted = JSON.parse(text) as { generation?: unknown; reason?: unknown; message?: unknown };
    if (noted.generation !== generation) return undefined;
    return { reason: String(noted.reason ?? "FAILED"), message: String(noted.message ?? "") };
  } catch {
    return undefined;
  }
}

/** When the rollout began or last came forward: what was applied, pods that were made, and that became ready. */
function progressedAt(deployment: Deployment | undefined, pods: readonly Pod[], template: string): number {
  const times = [timeOf(deployment?.metadata.creationTimestamp)];
  for (const owner of deployment?.metadata.managedFields ?? []) {
    if (owner.manager === FIELD_MANAGER) times.push(timeOf(owner.time));
  }
  times.push(timeOf(conditionOf(deployment?.status?.conditions, "Progressing")?.lastUpdateTime));
  for (const pod of pods) {
    if (pod.metadata.labels?.[LABELS.template] !== template) continue;
    times.push(timeOf(pod.metadata.creationTimestamp), readySince(pod));
  }
  return Math.max(0, ...times.filter((time) => time !== undefined));
}

function observePod(
  pod: Pod,
  { stable, warnings }: AgentObjects,
  now: number,
  { health, redact = (value) => value }: ObserveOptions,
): ObservedReplica {
  const { labels, name, uid = "" } = pod.metadata;
  const state = stateOf(pod);
  const running = containerOf(pod, CONTAINER)?.state?.running;
  const exit = exitOf(pod, warnings, redact);
  const blocked = state === "ready" || state === "ending" ? undefined : hindranceOf(pod, warnings);
  const well = state === "ready" ? health?.(uid) : undefined;
  return {
    name,
    template: labels?.[LABELS.template] ?? "",
    ...(labels?.[LABELS.platform] === undefined ? {} : { platform: labels[LABELS.platform] }),
    state,
    failures: failuresOf(pod, stable.get(uid), now),
    startedAt: timeOf(running?.startedAt) ?? timeOf(pod.metadata.creationTimestamp) ?? now,
    ...(exit === undefined ? {} : { exit }),
    ...(blocked === undefined ? {} : { blocked }),
    ...(well === undefined ? {} : { health: well }),
  };
}

function stateOf(pod: Pod): ReplicaState {
  if (pod.metadata.deletionTimestamp !== undefined) return "ending";
  if (readySince(pod) !== undefined) return "ready";
  const state = containerOf(pod, CONTAINER)?.state;
  if (state?.running === undefined) return exitsOf(pod) > 0 ? "waiting" : "starting";
  // Not ready, though it was in this very life: the condition turned after the container had started.
  const turned = timeOf(conditionOf(pod.status?.conditions, "Ready")?.lastTransitionTime) ?? 0;
  return turned > (timeOf(state.running.startedAt) ?? 0) ? "unready" : "starting";
}
