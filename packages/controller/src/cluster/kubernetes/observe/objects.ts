// The fields of Kubernetes objects that are read here, as types.

import { KINDS, type Kind, type KubeObject, type ObjectMeta } from "../api.ts";
import { PLUGIN_CONTAINER } from "../names.ts";

/**
 * What is read of the objects, as the API server writes them. Everything may be missing: a controller of the cluster
 * fills most of it in later.
 */
export interface Namespace extends KubeObject {
  status?: { phase?: string; conditions?: Condition[] };
}

export interface Deployment extends KubeObject {
  spec?: { replicas?: number; template?: { metadata?: Partial<ObjectMeta> } };
  status?: { observedGeneration?: number; replicas?: number; conditions?: Condition[] };
}

export interface ReplicaSet extends KubeObject {
  spec?: { replicas?: number; template?: { metadata?: Partial<ObjectMeta> } };
  status?: { replicas?: number; readyReplicas?: number; conditions?: Condition[] };
}

export interface HorizontalPodAutoscaler extends KubeObject {
  spec?: { minReplicas?: number; maxReplicas?: number };
  status?: { desiredReplicas?: number; conditions?: Condition[] };
}

export interface Pod extends KubeObject {
  spec?: {
    nodeName?: string;
    containers?: Container[];
  };
  status?: {
    phase?: string;
    reason?: string;
    message?: string;
    podIP?: string;
    conditions?: Condition[];
    containerStatuses?: ContainerStatus[];
    initContainerStatuses?: ContainerStatus[];
  };
}

export interface Container {
  name: string;
  image?: string;
  resources?: { limits?: Record<string, string> };
  envFrom?: { secretRef?: { name: string } }[];
}

export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
  lastUpdateTime?: string;
}

export interface ContainerStatus {
  name: string;
  ready?: boolean;
  started?: boolean;
  restartCount?: number;
  image?: string;
  imageID?: string;
  containerID?: string;
  state?: ContainerState;
  lastState?: ContainerState;
}

export interface ContainerState {
  waiting?: { reason?: string; message?: string };
  running?: { startedAt?: string };
  terminated?: Terminated;
}

export interface Terminated {
  exitCode: number;
  signal?: number;
  reason?: string;
  message?: string;
  startedAt?: string;
  finishedAt?: string;
  containerID?: string;
}

/** A warning that a component of the cluster wrote about an object. */
export interface EventNote {
  /** Kind, name and uid of the object that it is about. */
  kind: string;
  name: string;
  uid: string;
  reason: string;
  message: string;
  /** When it was last seen, in milliseconds. */
  at: number;
}

/** A time of the API in milliseconds; undefined when absent. */
export function timeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

/** The condition of that type. */
export function conditionOf(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** What the node says of the agent's container. */
export function containerOf(pod: Pod, name: string): ContainerStatus | undefined {
  return pod.status?.containerStatuses?.find((status) => status.name === name);
}

/** What the node says of the init step that fetches plugins; undefined where the pod has none. */
export function fetchOf(pod: Pod): ContainerStatus | undefined {
  return pod.status?.initContainerStatuses?.find(({ name }) => name === PLUGIN_CONTAINER);
}

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/** Kinds that are compared with what was applied, and of which nothing else is read. */
const SPECS = new Set<Kind>(["Service", "Ingress", "PodDisruptionBudget", "NetworkPolicy"]);

/**
 * An object as it is kept: without which fields belong to whom (half of its size; who wrote when stays), and of pods and
 * replica sets, of which there are many, only what is read.
 */
export function trim(kind: Kind, object: KubeObject): KubeObject {
  // A list's items do not say what they are.
  const { apiVersion } = KINDS[kind];
  const isOurs = kind !== "Pod" && kind !== "ReplicaSet";
  const metadata = trimMetadata(object.metadata, isOurs);
  if (kind === "Pod") return { apiVersion, kind, metadata, ...trimPod(object as Pod) };
  if (kind === "ReplicaSet") return { apiVersion, kind, metadata, ...trimReplicaSet(object as ReplicaSet) };
  // Other controllers put tokens and pull secrets into it, which are theirs.
  if (kind === "ServiceAccount")
    return { apiVersion, kind, metadata, ...pick(object, ["automountServiceAccountToken"]) };
  const { status, ...rest } = object;
  const kept = status === undefined || SPECS.has(kind) ? {} : { status };
  return { ...rest, ...kept, apiVersion, kind, metadata };
}

/** @param isOurs it is written by us, so that who else writes it is told, and its labels are compared */
function trimMetadata(metadata: ObjectMeta, isOurs: boolean): ObjectMeta {
  const { annotations, labels, managedFields, ownerReferences, ...rest } = metadata;
  const kept: ObjectMeta = { ...rest };
  delete (kept as { generateName?: string }).generateName;
  if (labels !== undefined) kept.labels = isOurs ? labels : only(labels, OWN);
  if (ownerReferences !== undefined) {
    kept.ownerReferences = ownerReferences.map((one) =>
      pick(one, ["apiVersion", "kind", "name", "uid", "controller"]),
    );
  }
  if (managedFields !== undefined && isOurs) {
    kept.managedFields = managedFields.map((owner) =>
      pick(owner, ["manager", "operation", "subresource", "time"]),
    );
  }
  if (annotations !== undefined) {
    const { [LAST_APPLIED]: _, ...others } = annotations;
    kept.annotations = isOurs ? others : only(others, OWN);
  }
  return kept;
}

/** Our labels and annotations, and the revision of a replica set. */
const OWN = /^(agent-launchpad\.dev|app\.kubernetes\.io\/managed-by$|deployment\.kubernetes\.io\/revision$)/;

function only(values: Record<string, string>, names: RegExp): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => names.test(name)));
}

function trimReplicaSet({ spec, status }: ReplicaSet): Pick<ReplicaSet, "spec" | "status"> {
  const labels = only(spec?.template?.metadata?.labels ?? {}, OWN);
  return {
    spec: { ...pick(spec, ["replicas"]), template: { metadata: { labels } } },
    ...(status === undefined ? {} : { status: pick(status, ["replicas", "readyReplicas", "conditions"]) }),
  };
}

function trimPod({ spec, status }: Pod): Pick<Pod, "spec" | "status"> {
  return {
    spec: {
      ...(spec?.nodeName === undefined ? {} : { nodeName: spec.nodeName }),
      containers: (spec?.containers ?? []).map((one) =>
        pick(one, ["name", "image", "resources", "envFrom"]),
      ) as Container[],
    },
    status: {
      ...pick(status, ["phase", "reason", "message", "podIP"]),
      conditions: (status?.conditions ?? []).map((one) =>
        pick(one, ["type", "status", "reason", "message", "lastTransitionTime"]),
      ),
      containerStatuses: (status?.containerStatuses ?? []).map(trimStatus),
      ...(status?.initContainerStatuses === undefined
        ? {}
        : { initContainerStatuses: status.initContainerStatuses.map(trimStatus) }),
    },
  };
}

function trimStatus(status: ContainerStatus): ContainerStatus {
  return pick(status, [
    "name",
    "ready",
    "started",
    "restartCount",
    "image",
    "imageID",
    "containerID",
    "state",
    "lastState",
  ]) as ContainerStatus;
}

function pick<T extends object, K extends keyof T>(from: T | undefined, names: readonly K[]): Pick<T, K> {
  const picked: Partial<T> = {};
  for (const name of names) {
    const value = from?.[name];
    if (value !== undefined) picked[name] = value;
  }
  return picked as Pick<T, K>;
}

/** Whether one resource version is later than another of the same kind: they are decimal numbers that only grow. */
export function isLater(version: string | undefined, than: string | undefined): boolean {
  if (version === undefined || version === "") return false;
  if (than === undefined || than === "") return true;
  if (version.length !== than.length) return version.length > than.length;
  return version > than;
}
