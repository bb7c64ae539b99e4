// Samples CPU, memory and request counters of each replica.

import { type Clock, systemClock } from "../../../clock.ts";
import type { ReplicaSample } from "../../cluster.ts";
import { parseFigures, type RuntimeFigures } from "../../runtime.ts";
import type { KubeApi, KubeObject } from "../api.ts";
import { CONTAINER, installationSelector, LABELS } from "../names.ts";
import { parseQuantity } from "../quantity.ts";
import { forEach, within } from "./concurrency.ts";
import { containerOf, type Pod, timeOf } from "./objects.ts";
import type { PodAccess } from "./pod-access.ts";
import type { ClusterView } from "./view.ts";

export interface SamplesOptions {
  api: Pick<KubeApi, "list">;
  view: Pick<ClusterView, "pods">;
  access: PodAccess;
  installation: string;
  responsible(agentId: string, namespace?: string): boolean;
  clock?: Clock;
}

/** Replicas asked at once for their counters, and how long each may take. */
const TOGETHER = 16;
const TIMEOUT_MS = 2000;
/** A metrics server that hangs must not keep the runtime's figures back. */
const USAGE_MS = 5000;

/** What a pod uses, as the metrics API tells: cores over the last half minute or so, bytes now. */
export interface PodUsage {
  cpu: number;
  memory: number;
}

/**
 * One sample of each replica that runs and is this controller's: use from the metrics API where there is one, or else as
 * the runtime tells of itself; requests from the runtime.
 */
export async function takeSamples(options: SamplesOptions): Promise<ReplicaSample[]> {
  const { access, responsible, view } = options;
  const running = [...view.pods()].filter(
    (pod) =>
      pod.metadata.deletionTimestamp === undefined &&
      containerOf(pod, CONTAINER)?.state?.running !== undefined &&
      responsible(pod.metadata.labels?.[LABELS.agent] ?? "", pod.metadata.namespace),
  );
  if (running.length === 0) return [];
  const { api, clock = systemClock, installation } = options;
  const usage = await within(clock, USAGE_MS, podUsage(api, installation), () => new Map<string, PodUsage>());
  const samples: ReplicaSample[] = [];
  await forEach(running, TOGETHER, async (pod) => {
    const answer = await access.get(pod, "/metrics", TIMEOUT_MS);
    const figures = answer?.status === 200 ? parseFigures(answer.body) : undefined;
    samples.push(sampleOf(pod, usage.get(keyOf(pod.metadata)), figures));
  });
  return samples;
}

/** What each pod of the installation uses, by namespace and name; empty where there is no metrics API. */
export async function podUsage(
  api: Pick<KubeApi, "list">,
  installation: string,
): Promise<Map<string, PodUsage>> {
  const usage = new Map<string, PodUsage>();
  try {
    const { items } = await api.list("PodMetrics", { labelSelector: installationSelector(installation) });
    for (const item of items) usage.set(keyOf(item.metadata), usageOf(item));
  } catch {
    // Not installed, not allowed, or away: the runtime's own figures stand.
  }
  return usage;
}

function usageOf(item: KubeObject): PodUsage {
  const containers = (item.containers ?? []) as { usage?: { cpu?: string; memory?: string } }[];
  const sum = (what: "cpu" | "memory") =>
    containers.reduce((total, { usage }) => total + (parseQuantity(usage?.[what]) ?? 0), 0);
  return { cpu: sum("cpu"), memory: sum("memory") };
}

function sampleOf(pod: Pod, usage: PodUsage | undefined, figures: RuntimeFigures | undefined): ReplicaSample {
  const { labels, name, uid = "" } = pod.metadata;
  const status = containerOf(pod, CONTAINER);
  const limits = pod.spec?.containers?.find((one) => one.name === CONTAINER)?.resources?.limits;
  return {
    agentId: labels?.[LABELS.agent] ?? "",
    replica: name,
    life: `${uid}/${status?.restartCount ?? 0}`,
    startedAt: timeOf(status?.state?.running?.startedAt) ?? timeOf(pod.metadata.creationTimestamp) ?? 0,
    cpuLimit: parseQuantity(limits?.cpu) ?? 0,
    memoryLimit: parseQuantity(limits?.memory) ?? 0,
    cpuSeconds: figures?.cpuSeconds ?? null,
    ...(usage === undefined ? {} : { cpuRate: usage.cpu }),
    memoryBytes: usage?.memory ?? figures?.memoryBytes ?? null,
    // The kubelet alone counts them, and asking it takes rights that nothing else here needs.
    networkIn: null,
    networkOut: null,
    requests: figures?.requests ?? null,
    idleSeconds: figures?.idleSeconds ?? null,
  };
}

function keyOf({ name, namespace }: { name: string; namespace?: string }): string {
  return `${namespace ?? ""}/${name}`;
}
