// What operators decide of an agent's pods: by the installation's settings, and by the class of its user.
import { createHash } from "node:crypto";
import type { V1PodSpec } from "@kubernetes/client-node";
import type { AgentClass, PodClass, PodFields } from "../../../contract.ts";
import { canonical } from "../../../reconcile/template.ts";
import type { EgressOptions, ManifestOptions } from "../options.ts";
import { optional, type Wire } from "./wire.ts";

/** Disk of a replica, in bytes: its state, its log, what it writes to /tmp. Beyond the limit its node evicts it. */
export const DISK = { request: 128 * 1024 ** 2, limit: 2 * 1024 ** 3 } as const;

/** What operators decide of an agent's pods; what its owner decides is in the workload's spec. */
export interface PodSettings extends PodFields {
  labels: Record<string, string>;
  annotations: Record<string, string>;
  image: string;
  /** Bytes of disk that a replica may fill; undefined = the usual. */
  diskLimit?: number | undefined;
}

/**
 * The installation's settings with those of the class: a field that the class names replaces the installation's, but labels
 * and annotations are added one by one. Pure: with the workload it says what the pod template is, image included.
 */
export function podSettings(options: ManifestOptions, podClass: PodClass | null | undefined): PodSettings {
  const { image } = options;
  const pods = options.pods ?? {};
  const of = podClass ?? {};
  return {
    image: of.image ?? image,
    runtimeClassName: of.runtimeClassName ?? pods.runtimeClassName,
    priorityClassName: of.priorityClassName ?? pods.priorityClassName,
    nodeSelector: of.nodeSelector ?? pods.nodeSelector,
    tolerations: of.tolerations ?? pods.tolerations,
    affinity: of.affinity ?? pods.affinity,
    labels: { ...pods.labels, ...of.labels },
    annotations: { ...pods.annotations, ...of.annotations },
    hostUsers: of.hostUsers ?? pods.hostUsers,
    diskLimit: of.ephemeralStorageBytes ?? undefined,
  };
}

/** A short digest of the settings: another one, other pods. */
export function podSettingsDigest(settings: PodSettings): string {
  return createHash("sha256").update(canonical(settings)).digest("hex").slice(0, 16);
}

/** The fields of a pod's spec that the settings fill in; empty ones are left out. */
export function placement(settings: PodSettings): Partial<Wire<V1PodSpec>> {
  const { runtimeClassName, priorityClassName, nodeSelector, tolerations, affinity, hostUsers } = settings;
  const fields = { runtimeClassName, priorityClassName, nodeSelector, tolerations, affinity } satisfies {
    [Field in keyof V1PodSpec]?: unknown;
  };
  return {
    ...Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value))),
    // `true` is what Kubernetes does anyway.
    ...optional<V1PodSpec>(hostUsers === false && { hostUsers }),
  };
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** Where agents of the class may connect to: its own rule, or the installation's. */
export function egressOf(
  { egress }: ManifestOptions,
  agentClass: AgentClass | null | undefined,
): EgressOptions {
  const own = agentClass?.egress;
  if (own === null || own === undefined) return egress;
  return {
    allowCidrs: own.allowCidrs ?? [],
    exceptCidrs: own.exceptCidrs ?? [],
    allowPrivate: own.allowPrivate ?? false,
    ports: own.ports ?? [],
  };
}
