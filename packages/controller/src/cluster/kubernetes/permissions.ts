/**
 * Every call that the controller makes of a Kubernetes API server, as permissions. The chart's roles grant exactly
 * these: tests compare them, ask a real API server, and refuse a client call that is not here.
 */
export interface Permission {
  /** The API group; empty is the core group. */
  group: string;
  /** Plural, with the subresource where there is one: `pods/log`. */
  resource: string;
  verbs: readonly Verb[];
  /** Only the objects of these names. */
  names?: readonly string[];
  /** Only where agents are exposed so. */
  expose?: "ingress" | "gateway";
}

export type Verb =
  | "get"
  | "list"
  | "watch"
  | "create"
  | "patch"
  | "delete"
  /** Of a ClusterRole: to give it to somebody by a RoleBinding. */
  | "bind";

/** The ClusterRole that the controller gives itself in each namespace it makes, and the name of that RoleBinding. */
export const TENANT_ROLE = "agent-launchpad-tenant";

const READ = ["list", "watch"] as const;
/** What server-side apply takes. `create`: for an apply that makes the object. */
const APPLY = ["create", "patch"] as const;

/**
 * What the controller may do in the whole cluster: see what runs, make namespaces, and give itself {@link TENANT_ROLE} in
 * them. Nothing that holds a secret or somebody's configuration (Secrets, ConfigMaps) can be read here. An admission
 * policy of the chart confines the writes to namespaces of the own installation, which RBAC cannot say.
 */
export const CLUSTER_PERMISSIONS: readonly Permission[] = [
  { group: "", resource: "namespaces", verbs: ["get", ...READ, ...APPLY, "delete"] },
  { group: "", resource: "nodes", verbs: ["list"] },
  { group: "", resource: "pods", verbs: READ },
  { group: "", resource: "events", verbs: READ },
  { group: "", resource: "services", verbs: READ },
  // Names and settings: the tokens of a ServiceAccount are Secrets.
  { group: "", resource: "serviceaccounts", verbs: READ },
  { group: "", resource: "resourcequotas", verbs: READ },
  { group: "", resource: "limitranges", verbs: READ },
  { group: "discovery.k8s.io", resource: "endpointslices", verbs: READ },
  { group: "apps", resource: "deployments", verbs: READ },
  { group: "apps", resource: "replicasets", verbs: READ },
  { group: "autoscaling", resource: "horizontalpodautoscalers", verbs: READ },
  { group: "policy", resource: "poddisruptionbudgets", verbs: READ },
  { group: "networking.k8s.io", resource: "ingresses", verbs: READ },
  { group: "networking.k8s.io", resource: "networkpolicies", verbs: READ },
  // Both ways in are seen and can be removed always: agents may have been exposed by the other one before.
  { group: "gateway.networking.k8s.io", resource: "httproutes", verbs: READ },
  { group: "metrics.k8s.io", resource: "pods", verbs: ["list"] },
  { group: "metrics.k8s.io", resource: "nodes", verbs: ["list"] },
  { group: "rbac.authorization.k8s.io", resource: "rolebindings", verbs: APPLY },
  { group: "rbac.authorization.k8s.io", resource: "clusterroles", verbs: ["bind"], names: [TENANT_ROLE] },
];

/**
 * What {@link TENANT_ROLE} allows, in the namespaces of the own installation alone. What is watched in the whole cluster
 * can be listed there without it; what bounds a namespace goes with the namespace.
 */
export const TENANT_PERMISSIONS: readonly Permission[] = [
  // A namespace goes only when nobody else put anything into it, of whatever kind: names and labels of all are looked at.
  { group: "*", resource: "*", verbs: ["list"] },
  { group: "", resource: "secrets", verbs: ["list", ...APPLY, "delete"] },
  { group: "", resource: "configmaps", verbs: ["list", ...APPLY, "delete"] },
  { group: "", resource: "serviceaccounts", verbs: [...APPLY, "delete"] },
  { group: "", resource: "limitranges", verbs: APPLY },
  { group: "", resource: "resourcequotas", verbs: APPLY },
  { group: "", resource: "services", verbs: [...APPLY, "delete"] },
  // While an agent sleeps, its Service leads to the controllers.
  { group: "discovery.k8s.io", resource: "endpointslices", verbs: [...APPLY, "delete"] },
  // OpenShift asks for it where the addresses are pods'; elsewhere there is no such resource.
  { group: "discovery.k8s.io", resource: "endpointslices/restricted", verbs: ["create"] },
  { group: "", resource: "pods/log", verbs: ["get"] },
  { group: "apps", resource: "deployments", verbs: ["get", ...APPLY, "delete"] },
  // To go back to a template that served, and to end what lost its Deployment.
  { group: "apps", resource: "replicasets", verbs: ["get", "delete"] },
  { group: "", resource: "pods", verbs: ["delete"] },
  { group: "autoscaling", resource: "horizontalpodautoscalers", verbs: [...APPLY, "delete"] },
  { group: "policy", resource: "poddisruptionbudgets", verbs: [...APPLY, "delete"] },
  { group: "networking.k8s.io", resource: "ingresses", verbs: APPLY, expose: "ingress" },
  { group: "networking.k8s.io", resource: "ingresses", verbs: ["delete"] },
  { group: "networking.k8s.io", resource: "networkpolicies", verbs: APPLY },
  { group: "gateway.networking.k8s.io", resource: "httproutes", verbs: APPLY, expose: "gateway" },
  { group: "gateway.networking.k8s.io", resource: "httproutes", verbs: ["delete"] },
  // What was corrected, given up or refused is written down as Events.
  { group: "events.k8s.io", resource: "events", verbs: APPLY },
];

/** What the controller may do in the namespace that it runs in. */
export const OWN_PERMISSIONS: readonly Permission[] = [
  // Of brakes, holds and rollouts, as Events about its own pod.
  { group: "events.k8s.io", resource: "events", verbs: APPLY },
];

/**
 * And, in the namespace that it runs in, with the objects that it copies to users' namespaces: the chart grants it for the names in
 * its values alone.
 */
export const NAMED_PERMISSIONS: readonly Permission[] = [
  { group: "", resource: "secrets", verbs: ["get"] },
  { group: "", resource: "configmaps", verbs: ["get"] },
];
