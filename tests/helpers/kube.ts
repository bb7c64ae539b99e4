// A small client of the Kubernetes API for tests: a witness that shares no code with what is tested.
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { join } from "node:path";
import type { TestCluster } from "./cluster.ts";
import { eventually, PATIENCE_MS } from "./processes.ts";

/** Any object of the API; tests look into it as they know it. */
// biome-ignore lint/suspicious/noExplicitAny: the shape is the API's, and a test that looks wrongly fails
export type KubeObject = Record<string, any>;

export interface KubeAnswer {
  status: number;
  body: KubeObject;
  text: string;
}

/** Where the collection of a kind is. */
export interface Kind {
  group: string;
  plural: string;
  namespaced: boolean;
}

const kinds: Record<string, Kind> = {
  Namespace: { group: "/api/v1", plural: "namespaces", namespaced: false },
  Node: { group: "/api/v1", plural: "nodes", namespaced: false },
  Pod: { group: "/api/v1", plural: "pods", namespaced: true },
  Service: { group: "/api/v1", plural: "services", namespaced: true },
  EndpointSlice: { group: "/apis/discovery.k8s.io/v1", plural: "endpointslices", namespaced: true },
  ConfigMap: { group: "/api/v1", plural: "configmaps", namespaced: true },
  Secret: { group: "/api/v1", plural: "secrets", namespaced: true },
  Event: { group: "/api/v1", plural: "events", namespaced: true },
  ServiceAccount: { group: "/api/v1", plural: "serviceaccounts", namespaced: true },
  ResourceQuota: { group: "/api/v1", plural: "resourcequotas", namespaced: true },
  LimitRange: { group: "/api/v1", plural: "limitranges", namespaced: true },
  Deployment: { group: "/apis/apps/v1", plural: "deployments", namespaced: true },
  ReplicaSet: { group: "/apis/apps/v1", plural: "replicasets", namespaced: true },
  HorizontalPodAutoscaler: {
    group: "/apis/autoscaling/v2",
    plural: "horizontalpodautoscalers",
    namespaced: true,
  },
  PodDisruptionBudget: { group: "/apis/policy/v1", plural: "poddisruptionbudgets", namespaced: true },
  NetworkPolicy: { group: "/apis/networking.k8s.io/v1", plural: "networkpolicies", namespaced: true },
  Ingress: { group: "/apis/networking.k8s.io/v1", plural: "ingresses", namespaced: true },
  HTTPRoute: { group: "/apis/gateway.networking.k8s.io/v1", plural: "httproutes", namespaced: true },
  CustomResourceDefinition: {
    group: "/apis/apiextensions.k8s.io/v1",
    plural: "customresourcedefinitions",
    namespaced: false,
  },
  ServiceMonitor: { group: "/apis/monitoring.coreos.com/v1", plural: "servicemonitors", namespaced: true },
  PrometheusRule: { group: "/apis/monitoring.coreos.com/v1", plural: "prometheusrules", namespaced: true },
  PodMetrics: { group: "/apis/metrics.k8s.io/v1beta1", plural: "pods", namespaced: true },
  Role: { group: "/apis/rbac.authorization.k8s.io/v1", plural: "roles", namespaced: true },
  RoleBinding: { group: "/apis/rbac.authorization.k8s.io/v1", plural: "rolebindings", namespaced: true },
  ClusterRole: { group: "/apis/rbac.authorization.k8s.io/v1", plural: "clusterroles", namespaced: false },
  ClusterRoleBinding: {
    group: "/apis/rbac.authorization.k8s.io/v1",
    plural: "clusterrolebindings",
    namespaced: false,
  },
};

/** The path of a kind's collection, or of one object of it. */
export function pathOf(kind: string, namespace?: string, name?: string): string {
  const found = kinds[kind];
  if (found === undefined) throw new Error(`kube.ts does not know the kind ${kind}`);
  const scope = found.namespaced && namespace !== undefined ? `/namespaces/${namespace}` : "";
  return `${found.group}${scope}/${found.plural}${name === undefined ? "" : `/${name}`}`;
}

export interface KubeClient {
  /** Any request; the answer whatever its status. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<KubeAnswer>;
  /** A response as it arrives (logs with follow, watches); destroy it to end it. */
  stream(path: string): Promise<IncomingMessage>;
  /** Server-side apply; throws when it is refused. */
  apply(object: KubeObject): Promise<KubeObject>;
  /** Merge patch; throws when it is refused. */
  patch(
    kind: string,
    namespace: string | undefined,
    name: string,
    change: unknown,
    subresource?: string,
  ): Promise<KubeObject>;
  /** The object, or undefined when absent. */
  get(kind: string, namespace: string | undefined, name: string): Promise<KubeObject | undefined>;
  list(kind: string, namespace?: string, labelSelector?: string): Promise<KubeObject[]>;
  /** Deletes; nothing happens when it is gone. */
  delete(kind: string, namespace: string | undefined, name: string): Promise<void>;
  /** Waits until the object is as wanted; the error shows it as it was last. */
  until(
    kind: string,
    namespace: string | undefined,
    name: string,
    what: string,
    wanted: (object: KubeObject | undefined) => unknown,
    timeoutMs?: number,
  ): Promise<KubeObject | undefined>;
  close(): void;
}

/**
 * Connects to a test cluster, straight to the API server.
 * @param token of whom; without one as the administrator
 */
export function kubeClient(cluster: Pick<TestCluster, "info">, token?: string): KubeClient {
  const { url, pki } = cluster.info;
  const file = (name: string) => readFileSync(join(pki, name));
  const agent = new Agent({
    keepAlive: true,
    ca: file("ca.crt"),
    ...(token === undefined && { cert: file("admin.crt"), key: file("admin.key") }),
  });
  const identity = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const open = (method: string, path: string, body?: string, headers: Record<string, string> = {}) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const options = { method, agent, headers: { ...identity, ...headers } };
      const sent = request(new URL(path, url), options, resolve);
      sent.on("error", reject);
      sent.end(body);
    });
  const call: KubeClient["call"] = async (method, path, body, headers) => {
    const json = body === undefined ? undefined : JSON.stringify(body);
    const response = await open(method, path, json, {
      ...(json === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    });
    let text = "";
    for await (const part of response.setEncoding("utf8")) text += part;
    const isJson = response.headers["content-type"]?.startsWith("application/json") ?? false;
    return { status: response.statusCode ?? 0, body: isJson && text !== "" ? JSON.parse(text) : {}, text };
  };
  const good = (answer: KubeAnswer, what: string): KubeObject => {
    if (answer.status >= 300)
      throw new Error(`${what}: ${answer.status} ${answer.body.message ?? answer.text}`);
    return answer.body;
  };
  const client: KubeClient = {
    call,
    stream: async (path) => {
      const response = await open("GET", path);
      if (response.statusCode !== 200) throw new Error(`GET ${path}: ${response.statusCode}`);
      return response;
    },
    apply: async (object) => {
      const path = pathOf(object.kind, object.metadata.namespace, object.metadata.name);
      const answer = await call("PATCH", `${path}?fieldManager=test&force=true`, object, {
        "content-type": "application/apply-patch+yaml",
      });
      return good(answer, `apply ${object.kind} ${object.metadata.name}`);
    },
    patch: async (kind, namespace, name, change, subresource) => {
      const path = `${pathOf(kind, namespace, name)}${subresource === undefined ? "" : `/${subresource}`}`;
      const answer = await call("PATCH", path, change, { "content-type": "application/merge-patch+json" });
      return good(answer, `patch ${kind} ${name}`);
    },
    get: async (kind, namespace, name) => {
      const answer = await call("GET", pathOf(kind, namespace, name));
      return answer.status === 404 ? undefined : good(answer, `get ${kind} ${name}`);
    },
    list: async (kind, namespace, labelSelector = "") => {
      const path = `${pathOf(kind, namespace)}?labelSelector=${encodeURIComponent(labelSelector)}`;
      return good(await call("GET", path), `list ${kind}`).items;
    },
    delete: async (kind, namespace, name) => {
      const answer = await call("DELETE", pathOf(kind, namespace, name));
      if (answer.status !== 404) good(answer, `delete ${kind} ${name}`);
    },
    until: async (kind, namespace, name, what, wanted, timeoutMs = PATIENCE_MS) => {
      let last: KubeObject | undefined;
      try {
        await eventually(
          what,
          async () => {
            last = await client.get(kind, namespace, name);
            return wanted(last);
          },
          timeoutMs,
        );
      } catch (error) {
        const shown = JSON.stringify({ ...last, metadata: undefined }, undefined, 1)?.slice(0, 4_000);
        throw new Error(`${(error as Error).message}; ${kind} ${name} is ${shown}`);
      }
      return last;
    },
    close: () => agent.destroy(),
  };
  return client;
}

/** A Deployment that Pod Security restricted admits. */
export function deployment(
  namespace: string,
  name: string,
  change: { replicas?: number; image?: string; container?: KubeObject; pod?: KubeObject } = {},
): KubeObject {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace, labels: { app: name } },
    spec: {
      replicas: change.replicas ?? 1,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: podSpec(change) },
    },
  };
}

/** The pod of `deployment`. */
export function podSpec(
  change: { image?: string; container?: KubeObject; pod?: KubeObject } = {},
): KubeObject {
  return {
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
    terminationGracePeriodSeconds: 5,
    ...change.pod,
    containers: [
      {
        name: "main",
        image: change.image ?? "example/pretended:1",
        ports: [{ name: "http", containerPort: 8080 }],
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
        resources: { requests: { cpu: "100m", memory: "64Mi" }, limits: { cpu: "1", memory: "256Mi" } },
        terminationMessagePolicy: "FallbackToLogsOnError",
        ...change.container,
      },
    ],
  };
}
