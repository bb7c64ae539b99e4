import { BlockList, isIPv6 } from "node:net";
import { type Quota, quotaSchema } from "../../../contract.ts";
import { canonical } from "../../../reconcile/template.ts";
import type { KubeObject } from "../api.ts";
import { ANNOTATIONS, namespaceOf, PORT_NAME, userLabels } from "../names.ts";
import type { EgressOptions, ManifestOptions } from "../options.ts";

/** A user's namespace and what bounds it; `namespace` comes first, then `access`, then the rest. */
export interface NamespaceManifests {
  namespace: KubeObject;
  /** Without it the controller may write nothing else there. */
  access: KubeObject[];
  bounds: KubeObject[];
}

/** The name of the ResourceQuota and the LimitRange. */
export const BOUNDS = "agents";

/** The quota that a live object was made from; undefined where it does not say, or says nonsense. */
export function quotaOf(bound: KubeObject | undefined): Quota | undefined {
  try {
    return quotaSchema.parse(JSON.parse(bound?.metadata.annotations?.[ANNOTATIONS.quota] ?? ""));
  } catch {
    return undefined;
  }
}

/**
 * All that a user's namespace has before any agent is in it.
 * @param quota null = not known: then nothing is bounded
 */
export function namespaceManifests(
  userId: string,
  quota: Quota | null,
  options: ManifestOptions,
): NamespaceManifests {
  const name = namespaceOf(options.namespacePrefix, userId);
  const labels = userLabels(options.installation, userId);
  const meta = (object: string) => ({ name: object, namespace: name, labels });
  // Which quota it was made from is written down: the agents of a user may bring an older one and a newer one.
  const bounds = (from: Quota) => ({
    ...meta(BOUNDS),
    annotations: { [ANNOTATIONS.quota]: canonical(from) },
  });
  return {
    namespace: {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels: { ...labels, ...podSecurity() } },
    },
    access:
      options.tenantRole === undefined
        ? []
        : [
            {
              apiVersion: "rbac.authorization.k8s.io/v1",
              kind: "RoleBinding",
              metadata: meta(options.tenantRole.clusterRole),
              roleRef: {
                apiGroup: "rbac.authorization.k8s.io",
                kind: "ClusterRole",
                name: options.tenantRole.clusterRole,
              },
              subjects: [
                {
                  kind: "ServiceAccount",
                  name: options.tenantRole.serviceAccount,
                  namespace: options.controllerNamespace,
                },
              ],
            },
          ],
    bounds: [
      ...(quota === null ? [] : [resourceQuota(bounds(quota), quota), limitRange(bounds(quota), quota)]),
      ...networkPolicies(meta, options),
    ],
  };
}

function podSecurity(): Record<string, string> {
  return Object.fromEntries(
    ["enforce", "audit", "warn"].flatMap((mode) => [
      [`pod-security.kubernetes.io/${mode}`, "restricted"],
      [`pod-security.kubernetes.io/${mode}-version`, "latest"],
    ]),
  );
}

/**
 * The user's quota as a second wall behind the database's own check. Twice as wide: during a rollout the old replicas
 * and the new ones, and those that are still ending, all count.
 */
function resourceQuota(metadata: KubeObject["metadata"], quota: Quota): KubeObject {
  const cpu = quantity(`${2 * quota.maxCpuMillicores}m`);
  const memory = String(2 * quota.maxMemoryBytes);
  return {
    apiVersion: "v1",
    kind: "ResourceQuota",
    metadata,
    spec: {
      hard: {
        pods: String(2 * Math.max(quota.maxReplicas, quota.maxAgents)),
        "requests.cpu": cpu,
        "limits.cpu": cpu,
        "requests.memory": memory,
        "limits.memory": memory,
        persistentvolumeclaims: "0",
        "services.loadbalancers": "0",
        "services.nodeports": "0",
      },
    },
  };
}

/** What a container gets that says nothing of its size, and the most that one may ask for. */
function limitRange(metadata: KubeObject["metadata"], quota: Quota): KubeObject {
  const most = { cpu: quota.maxCpuMillicores, memory: quota.maxMemoryBytes };
  const given = {
    cpu: quantity(`${Math.min(500, most.cpu)}m`),
    memory: String(Math.min(512 * 1024 * 1024, most.memory)),
  };
  return {
    apiVersion: "v1",
    kind: "LimitRange",
    metadata,
    spec: {
      limits: [
        {
          type: "Container",
          max: { cpu: quantity(`${most.cpu}m`), memory: String(most.memory) },
          default: given,
          defaultRequest: given,
        },
      ],
    },
  };
}

/** Nothing in and nothing out, but for what agents need. */
function networkPolicies(
  meta: (name: string) => KubeObject["metadata"],
  options: ManifestOptions,
): KubeObject[] {
  const policy = (name: string, spec: Record<string, unknown>): KubeObject => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: meta(name),
    spec: { podSelector: {}, ...spec },
  });
  const dns = [53].flatMap((port) => [
    { protocol: "UDP", port },
    { protocol: "TCP", port },
  ]);
  return [
    policy("default-deny", { policyTypes: ["Ingress", "Egress"] }),
    policy("allow-dns", {
      policyTypes: ["Egress"],
      egress: [
        {
          // The cluster's DNS, and the node-local cache where there is one.
          to: [inNamespaces(["kube-system"]), { ipBlock: { cidr: "169.254.20.10/32" } }],
          ports: dns,
        },
      ],
    }),
    policy("allow-egress", { policyTypes: ["Egress"], egress: [egressRule(options.egress)] }),
    policy("allow-ingress", {
      policyTypes: ["Ingress"],
      ingress: [
        {
          from: [
            inNamespaces([...new Set([options.ingressNamespace, options.controllerNamespace])].sort()),
            ...options.ingressCidrs.map((cidr) => ({ ipBlock: { cidr } })),
          ],
          ports: [{ protocol: "TCP", port: PORT_NAME }],
        },
      ],
    }),
  ];
}

function inNamespaces(names: readonly string[]): Record<string, unknown> {
  return {
    namespaceSelector: {
      matchExpressions: [{ key: "kubernetes.io/metadata.name", operator: "In", values: names }],
    },
  };
}

/** Networks of the cluster, the machine room and the cloud's metadata service: not the internet. */
const PRIVATE = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "::1/128",
  "64:ff9b::/96",
  "fc00::/7",
  "fe80::/10",
];

function egressRule(egress: EgressOptions): Record<string, unknown> {
  const cidrs = egress.allowCidrs.length === 0 ? ["0.0.0.0/0", "::/0"] : egress.allowCidrs;
  const excepted = egress.exceptCidrs.length === 0 ? PRIVATE : egress.exceptCidrs;
  const ports = egress.ports.length === 0 ? [443] : egress.ports;
  return {
    to: cidrs.map((cidr) => {
      // What lies in such a network was named on purpose; a wider network does not mean those in it.
      const except = excepted.filter((one) => one !== cidr && contains(cidr, one));
      return { ipBlock: { cidr, ...(except.length === 0 ? {} : { except }) } };
    }),
    ports: ports.map((port) => ({ protocol: "TCP", port })),
  };
}

function contains(outer: string, inner: string): boolean {
  const [network = "", bits = ""] = outer.split("/");
  const [address = "", innerBits = ""] = inner.split("/");
  if (isIPv6(network) !== isIPv6(address) || Number(innerBits) <= Number(bits)) return false;
  const family = isIPv6(network) ? "ipv6" : "ipv4";
  const block = new BlockList();
  block.addSubnet(network, Number(bits), family);
  return block.check(address, family);
}

/** Whole cores without the `m`, as the API server writes them. */
export function quantity(millicores: string): string {
  const value = Number(millicores.slice(0, -1));
  return value % 1000 === 0 ? String(value / 1000) : millicores;
}
