// Builds a user's namespace with its quota, limits, network policy and access.

import type { V1LimitRange, V1Namespace, V1ResourceQuota, V1RoleBinding } from "@kubernetes/client-node";
import { type AgentClass, type Quota, quotaSchema } from "../../../contract.ts";
import { canonical } from "../../../reconcile/template.ts";
import type { KubeObject } from "../api.ts";
import { ANNOTATIONS, namespaceOf, userLabels } from "../names.ts";
import type { ManifestOptions } from "../options.ts";
import { networkPolicies } from "./network.ts";
import { DISK, egressOf } from "./pod-settings.ts";
import type { Wire } from "./wire.ts";

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
 * @param agentClass what operators give the user's agents
 */
export function namespaceManifests(
  userId: string,
  quota: Quota | null,
  options: ManifestOptions,
  agentClass: AgentClass | null = null,
): NamespaceManifests {
  const name = namespaceOf(options.namespacePrefix, userId);
  const labels = userLabels(options.installation, userId);
  const meta = (object: string) => ({ name: object, namespace: name, labels });
  // Never below the usual: pods of before the class, which a rollout replaces one by one, must be made again too.
  const disk = Math.max(DISK.limit, agentClass?.ephemeralStorageBytes ?? 0);
  // Which quota it was made from is written down: the agents of a user may bring an older one and a newer one.
  const bounds = (from: Quota) => ({
    ...meta(BOUNDS),
    annotations: { [ANNOTATIONS.quota]: canonical(from) },
  });
  return {
    namespace: {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: {
        name,
        labels: { ...labels, ...podSecurity() },
        annotations: { [ANNOTATIONS.database]: options.databaseId() },
      },
    } satisfies Wire<V1Namespace>,
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
            } satisfies Wire<V1RoleBinding>,
          ],
    bounds: [
      ...(quota === null
        ? []
        : [resourceQuota(bounds(quota), quota, disk), limitRange(bounds(quota), quota, disk)]),
      ...networkPolicies(meta, { ...options, egress: egressOf(options, agentClass) }),
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
function resourceQuota(metadata: KubeObject["metadata"], quota: Quota, disk: number): KubeObject {
  const cpu = quantity(`${2 * quota.maxCpuMillicores}m`);
  const memory = String(2 * quota.maxMemoryBytes);
  const pods = 2 * Math.max(quota.maxReplicas, quota.maxAgents);
  return {
    apiVersion: "v1",
    kind: "ResourceQuota",
    metadata,
    spec: {
      hard: {
        pods: String(pods),
        "requests.cpu": cpu,
        "limits.cpu": cpu,
        "requests.memory": memory,
        "limits.memory": memory,
        "requests.ephemeral-storage": String(pods * DISK.request),
        "limits.ephemeral-storage": String(pods * disk),
        persistentvolumeclaims: "0",
        "services.loadbalancers": "0",
        "services.nodeports": "0",
      },
    },
  } satisfies Wire<V1ResourceQuota>;
}

/** What a container gets that says nothing of its size, and the most that one may ask for. */
function limitRange(metadata: KubeObject["metadata"], quota: Quota, mostDisk: number): KubeObject {
  const most = { cpu: quota.maxCpuMillicores, memory: quota.maxMemoryBytes };
  const disk = (bytes: number) => ({ "ephemeral-storage": String(bytes) });
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
          max: { cpu: quantity(`${most.cpu}m`), memory: String(most.memory), ...disk(mostDisk) },
          default: { ...given, ...disk(DISK.limit) },
          defaultRequest: { ...given, ...disk(DISK.request) },
        },
      ],
    },
  } satisfies Wire<V1LimitRange>;
}

/** Whole cores without the `m`, as the API server writes them. */
export function quantity(millicores: string): string {
  const value = Number(millicores.slice(0, -1));
  return value % 1000 === 0 ? String(value / 1000) : millicores;
}
