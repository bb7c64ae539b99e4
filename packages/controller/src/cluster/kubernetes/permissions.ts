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
/** What server-side apply and removal take. `create`: for an apply that makes the object. */
const WRITE = ["create", "patch", "delete"] as const;

/**
 * What the controller may do in the whole cluster: see what runs, make namespaces, and give itself {@link TENANT_ROLE} in
 * them. Nothing that holds a secret or somebody's configuration (Secrets, ConfigMaps) can be read here. An admission
 * policy of the chart confines the writes to namespaces of the own installation, which RBAC cannot say.
 */
export const CLUSTER_PERMISSIONS: readonly Permission[] = [
  { group: "", resource: "namespaces", verbs: ["get", ...READ, ...WRITE] },
  { group: "", resource: "nodes", verbs: ["list"] },
  { group: "", resource: "pods", verbs: READ },
  { group: "", resource: "events", verbs: READ },
  { group: "", resource: "services", verbs: READ },
  { group: "", resource: "resourcequotas", verbs: READ },
  { group: "apps", resource: "deployments", verbs: READ },
  { group: "apps", resource: "replicasets", verbs: READ },
  { group: "autoscaling", resource: "horizontalpodautoscalers", verbs: READ },
  { group: "policy", resource: "poddisruptionbudgets", verbs: READ },
  { group: "networking.k8s.io", resource: "ingresses", verbs: READ },
  { group: "networking.k8s.io", resource: "networkpolicies", verbs: READ },
  // Where agents are exposed by a Gateway.
  { group: "gateway.networking.k8s.io", resource: "httproutes", verbs: READ },
  { group: "metrics.k8s.io", resource: "pods", verbs: ["list"] },
  { group: "metrics.k8s.io", resource: "nodes", verbs: ["list"] },
  { group: "rbac.authorization.k8s.io", resource: "rolebindings", verbs: ["create", "patch"] },
  { group: "rbac.authorization.k8s.io", resource: "clusterroles", verbs: ["bind"], names: [TENANT_ROLE] },
];

/** What {@link TENANT_ROLE} allows, in the namespaces of the own installation alone. */
export const TENANT_PERMISSIONS: readonly Permission[] = [
  { group: "", resource: "secrets", verbs: ["list", ...WRITE] },
  { group: "", resource: "configmaps", verbs: ["list", ...WRITE] },
  { group: "", resource: "serviceaccounts", verbs: ["list", ...WRITE] },
  { group: "", resource: "services", verbs: ["list", ...WRITE] },
  { group: "", resource: "resourcequotas", verbs: ["list", ...WRITE] },
  { group: "", resource: "limitranges", verbs: ["list", ...WRITE] },
  { group: "", resource: "pods/log", verbs: ["get"] },
  { group: "apps", resource: "deployments", verbs: ["get", "list", ...WRITE] },
  // To go back to a template that served, and to end what lost its Deployment.
  { group: "apps", resource: "replicasets", verbs: ["get", "delete"] },
  { group: "", resource: "pods", verbs: ["delete"] },
  { group: "autoscaling", resource: "horizontalpodautoscalers", verbs: ["list", ...WRITE] },
  { group: "policy", resource: "poddisruptionbudgets", verbs: ["list", ...WRITE] },
  { group: "networking.k8s.io", resource: "ingresses", verbs: ["list", ...WRITE] },
  { group: "networking.k8s.io", resource: "networkpolicies", verbs: ["list", ...WRITE] },
  { group: "gateway.networking.k8s.io", resource: "httproutes", verbs: ["list", ...WRITE] },
];
