// Returns a Deployment to the template that served before a failed update.

import type { Failure, Workload } from "../cluster.ts";
import type { KubeApi, KubeObject } from "./api.ts";
import type { Applier } from "./apply.ts";
import { workloadManifests } from "./manifests/agent-manifests.ts";
import { ANNOTATIONS, LABELS } from "./names.ts";
import type { ReplicaSet } from "./observe/objects.ts";
import type { AgentObjects, ClusterView } from "./observe/view.ts";
import type { ManifestOptions } from "./options.ts";
import { generationOf, type May, type Writer } from "./writer.ts";

export interface ReverterOptions {
  api: KubeApi;
  applier: Applier;
  view: Pick<ClusterView, "objects">;
  writer: Writer;
  manifests: ManifestOptions;
}

/**
 * Gives up on a generation: back to the template that served before, as `kubectl rollout undo` does, or, where there is
 * none, only what is ready stays. The Deployment remembers the failure, so that every controller knows of it.
 */
export async function revert(
  workload: Workload,
  failure: Failure,
  may: May,
  options: ReverterOptions,
): Promise<void> {
  const { api, applier, view, writer } = options;
  const objects = view.objects(workload.agentId);
  const { deployment } = objects;
  if (generationOf(deployment) > workload.generation) return;
  if (failureOf(deployment, workload.generation) !== undefined) return;
  const remembered = (wanted: KubeObject, replicas: number | undefined, template?: unknown): KubeObject => ({
    ...wanted,
    metadata: {
      ...wanted.metadata,
      annotations: {
        ...wanted.metadata.annotations,
        [ANNOTATIONS.failure]: JSON.stringify({ generation: workload.generation, ...failure }),
      },
    },
    spec: {
      ...(wanted.spec as Record<string, unknown>),
      ...(replicas === undefined ? {} : { replicas }),
      ...(template === undefined ? {} : { template }),
    },
  });

  if (deployment === undefined) {
    // Nothing runs, and nothing shall; but that it failed must be written somewhere.
    await applier.apply({ ...workload, replicas: 0 }, may, { change: (wanted) => remembered(wanted, 0) });
    return;
  }
  const { deployment: wanted } = workloadManifests(workload, options.manifests);
  const before = servedBefore(objects, workload.template);
  const whole =
    before === undefined
      ? undefined
      : await api.get("ReplicaSet", before.metadata.namespace ?? "", before.metadata.name);
  const template = templateOf(whole);
  if (template !== undefined) {
    await writer.apply(remembered(wanted, deployment.spec?.replicas, template), may, { fenced: true });
    return;
  }
  const { hpa } = objects;
  // It would bring back what does not work.
  if (hpa !== undefined) {
    const { namespace = "", name, uid } = hpa.metadata;
    await writer.remove("HorizontalPodAutoscaler", namespace, name, may, uid);
  }
  const ready = objects.replicaSets.filter((set) => labelOf(set) === workload.template);
  const count = ready.reduce((sum, set) => sum + (set.status?.readyReplicas ?? 0), 0);
  await writer.apply(remembered(wanted, count), may, { fenced: true });
}

/** The failure that the Deployment remembers of that generation. */
export function failureOf(deployment: KubeObject | undefined, generation: number): Failure | undefined {
  const text = deployment?.metadata.annotations?.[ANNOTATIONS.failure];
  if (text === undefined) return undefined;
  try {
    const parsed = JSON.parse(text) as Failure & { generation: number };
    return parsed.generation === generation ? { reason: parsed.reason, message: parsed.message } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Of the replica sets of other templates, the one that serves: the Deployment takes pods from it only for ready ones of
 * the new template, so an update that fails leaves it standing.
 */
function servedBefore(objects: AgentObjects, template: string): ReplicaSet | undefined {
  const rank = (set: ReplicaSet) => set.status?.readyReplicas ?? 0;
  return objects.replicaSets
    .filter((set) => labelOf(set) !== template && (set.spec?.replicas ?? 0) > 0)
    .sort((a, b) => rank(b) - rank(a) || revisionOf(b) - revisionOf(a))[0];
}

function labelOf(set: ReplicaSet): string | undefined {
  return set.spec?.template?.metadata?.labels?.[LABELS.template];
}

function revisionOf(set: ReplicaSet): number {
  return Number(set.metadata.annotations?.["deployment.kubernetes.io/revision"] ?? 0);
}

/** A replica set's template as the Deployment had it. */
function templateOf(set: KubeObject | undefined): unknown {
  const spec = set?.spec as
    | { template?: { metadata?: { labels?: Record<string, string> }; spec?: unknown } }
    | undefined;
  if (spec?.template?.spec === undefined) return undefined;
  const { "pod-template-hash": _, ...labels } = spec.template.metadata?.labels ?? {};
  return { metadata: { labels }, spec: spec.template.spec };
}
