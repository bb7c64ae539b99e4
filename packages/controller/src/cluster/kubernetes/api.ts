// The narrow interface to a Kubernetes API server, and the errors it raises.

import type { Content } from "./foreign-objects.ts";

/**
 * The few things that are asked of a Kubernetes API server, over (kind, namespace, name). Narrow on purpose: the real
 * client and the model of the simulation both implement it, and nothing else in this folder knows of HTTP.
 */
export interface KubeApi {
  /** Undefined when there is no such object. */
  get<K extends Kind>(kind: K, namespace: string, name: string): Promise<KubeObject | undefined>;
  /** Names, labels and owners of all that is in a namespace, of every kind that the server has. */
  contents(namespace: string): Promise<Content[]>;
  /** Every page of a list. */
  list(kind: Kind, query?: ListQuery): Promise<KubeList>;
  /**
   * Server-side apply under the field manager `agent-launchpad`: makes the object, or merges the fields given into it.
   * @throws {KubeError} CONFLICT, naming the fields, when others own some of them and `force` is not set
   */
  apply(object: KubeObject, options?: ApplyOptions): Promise<KubeObject>;
  /** Makes an Event of events.k8s.io/v1; where it exists, writes its series. */
  record(event: KubeObject): Promise<void>;
  /** JSON patch (RFC 6902). With a test of `/metadata/resourceVersion` it changes only what was read. */
  patch(kind: Kind, namespace: string, name: string, operations: readonly JsonPatch[]): Promise<KubeObject>;
  /** Asks for the object's end; nothing happens when it is gone, or is another one than `uid` or `resourceVersion` says. */
  delete(kind: Kind, namespace: string, name: string, options?: DeleteOptions): Promise<void>;
  /**
   * Tells every change after `resourceVersion`, bookmarks included, until the server or `signal` ends it.
   * Resolves at an orderly end; a new watch then goes on from the last version told.
   * @throws {KubeError} GONE when the version is too old: list again; any other error: watch again later
   */
  watch(kind: Kind, query: WatchQuery, onEvent: (event: WatchEvent) => void): Promise<void>;
  /** A container's log as bytes, as they come. */
  podLog(namespace: string, pod: string, query: PodLogQuery): Promise<AsyncIterable<Uint8Array>>;
  /** A GET to a pod's port, through the API server. */
  podProxy(
    namespace: string,
    pod: string,
    port: number,
    path: string,
    timeoutMs: number,
    headers?: Record<string, string>,
  ): Promise<{ status: number; body: string }>;
  /** The server's version, `v1.36.0`: the cheapest call that proves it works. */
  version(): Promise<string>;
  /** Ends every connection and call. */
  close(): Promise<void>;
}

/** A Kubernetes object as the API server writes it. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  // Each builder and reader knows its own kind's fields.
  [field: string]: unknown;
}

export interface ObjectMeta {
  name: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  finalizers?: string[];
  ownerReferences?: { apiVersion: string; kind: string; name: string; uid: string; controller?: boolean }[];
  managedFields?: ManagedFields[];
}

export interface ManagedFields {
  manager?: string;
  operation?: "Apply" | "Update";
  apiVersion?: string;
  subresource?: string;
  time?: string;
  fieldsV1?: Record<string, unknown>;
}

export interface KubeList {
  resourceVersion: string;
  items: KubeObject[];
}

export interface ListQuery {
  /** Empty or left out: in all namespaces. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /** Names, labels and versions only: nothing of what the objects hold travels. */
  metadataOnly?: boolean;
  /** What is kept of each item: the rest is let go page by page. */
  keep?: (item: KubeObject) => KubeObject;
  signal?: AbortSignal;
}

export interface WatchQuery extends Omit<ListQuery, "metadataOnly" | "keep"> {
  resourceVersion: string;
  /** The server ends the watch after so long. */
  timeoutSeconds: number;
  /** Called when the server has accepted it, before any event. */
  onOpen?(): void;
}

export interface WatchEvent {
  type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  object: KubeObject;
}

export interface ApplyOptions {
  /** Takes fields over from whoever owns them. */
  force?: boolean;
  /** Only asks what would come of it. */
  dryRun?: boolean;
}

export interface DeleteOptions {
  uid?: string;
  /** Only as it was read: a call that takes effect late ends nothing that was written since. */
  resourceVersion?: string;
  propagation?: "Background" | "Foreground";
  gracePeriodSeconds?: number;
}

export interface JsonPatch {
  op: "add" | "remove" | "replace" | "test";
  path: string;
  value?: unknown;
}

export interface PodLogQuery {
  container: string;
  follow?: boolean;
  timestamps?: boolean;
  previous?: boolean;
  sinceTime?: string;
  tailLines?: number;
  limitBytes?: number;
  signal?: AbortSignal;
}

/** Why a call did not work; the same words as the API server's `reason` where it has one. */
export type KubeErrorCode =
  /** No answer, or not in time. */
  | "UNREACHABLE"
  /** 401 */
  | "UNAUTHORIZED"
  /** 403, not for a quota and not for a namespace that ends */
  | "FORBIDDEN"
  /** 403: the user's ResourceQuota is used up */
  | "QUOTA"
  /** 403: the namespace is being deleted */
  | "TERMINATING"
  | "NOT_FOUND"
  /** 409 of an apply: others own the fields */
  | "CONFLICT"
  /** 410: the version asked for is too old */
  | "GONE"
  /** 400, 422: the object is wrong */
  | "INVALID"
  /** 429, 503 and other answers that say: later */
  | "BUSY"
  /** 5xx */
  | "SERVER";

/** A call to the API server that did not work; the message is one sentence for a person, without any secret. */
export class KubeError extends Error {
  readonly code: KubeErrorCode;
  readonly status: number;
  /** The fields that others own, and who they are. */
  readonly conflicts: readonly { field: string; manager: string }[];
  readonly retryAfterMs: number | undefined;

  constructor(
    code: KubeErrorCode,
    message: string,
    more: {
      status?: number;
      conflicts?: readonly { field: string; manager: string }[];
      retryAfterMs?: number | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = "KubeError";
    this.code = code;
    this.status = more.status ?? 0;
    this.conflicts = more.conflicts ?? [];
    this.retryAfterMs = more.retryAfterMs;
  }
}

interface Resource {
  apiVersion: string;
  /** Plural, as in the path. */
  resource: string;
  /** False: of the whole cluster. */
  namespaced: boolean;
}

/** Every kind that is read or written. */
export const KINDS = {
  Namespace: { apiVersion: "v1", resource: "namespaces", namespaced: false },
  Node: { apiVersion: "v1", resource: "nodes", namespaced: false },
  Pod: { apiVersion: "v1", resource: "pods", namespaced: true },
  Event: { apiVersion: "v1", resource: "events", namespaced: true },
  Secret: { apiVersion: "v1", resource: "secrets", namespaced: true },
  ConfigMap: { apiVersion: "v1", resource: "configmaps", namespaced: true },
  ServiceAccount: { apiVersion: "v1", resource: "serviceaccounts", namespaced: true },
  Service: { apiVersion: "v1", resource: "services", namespaced: true },
  ResourceQuota: { apiVersion: "v1", resource: "resourcequotas", namespaced: true },
  LimitRange: { apiVersion: "v1", resource: "limitranges", namespaced: true },
  EndpointSlice: { apiVersion: "discovery.k8s.io/v1", resource: "endpointslices", namespaced: true },
  Deployment: { apiVersion: "apps/v1", resource: "deployments", namespaced: true },
  ReplicaSet: { apiVersion: "apps/v1", resource: "replicasets", namespaced: true },
  HorizontalPodAutoscaler: {
    apiVersion: "autoscaling/v2",
    resource: "horizontalpodautoscalers",
    namespaced: true,
  },
  PodDisruptionBudget: { apiVersion: "policy/v1", resource: "poddisruptionbudgets", namespaced: true },
  NetworkPolicy: { apiVersion: "networking.k8s.io/v1", resource: "networkpolicies", namespaced: true },
  Ingress: { apiVersion: "networking.k8s.io/v1", resource: "ingresses", namespaced: true },
  HTTPRoute: { apiVersion: "gateway.networking.k8s.io/v1", resource: "httproutes", namespaced: true },
  RoleBinding: { apiVersion: "rbac.authorization.k8s.io/v1", resource: "rolebindings", namespaced: true },
  PodMetrics: { apiVersion: "metrics.k8s.io/v1beta1", resource: "pods", namespaced: true },
  NodeMetrics: { apiVersion: "metrics.k8s.io/v1beta1", resource: "nodes", namespaced: false },
} as const satisfies Record<string, Resource>;

export type Kind = keyof typeof KINDS;

/** Whether the same call may be made again later with another outcome. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof KubeError)) return false;
  return error.code === "UNREACHABLE" || error.code === "BUSY" || error.code === "SERVER";
}
