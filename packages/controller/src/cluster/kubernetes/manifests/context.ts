// Collects what each manifest builder needs to know about an agent.

import { createHash } from "node:crypto";
import type { Platform } from "../../../contract.ts";
import { canonical } from "../../../reconcile/template.ts";
import { agentConfig } from "../../agent-config.ts";
import type { Workload } from "../../cluster.ts";
import { probeKeyOf } from "../../runtime.ts";
import type { KubeObject } from "../api.ts";
import { agentLabels, LABELS, namespaceOf } from "../names.ts";
import type { ManifestOptions } from "../options.ts";
import { pluginSecret } from "./plugin-set.ts";
import { type PodSettings, podSettings } from "./pod-settings.ts";

/** A workload without its secrets: what is kept of it, and what all but the Secret is made of. */
export type Intent = Omit<Workload, "environment">;

/** What every builder of an agent's objects needs to know. */
export interface AgentContext {
  workload: Intent;
  options: ManifestOptions;
  /** What operators decide of its pods. */
  settings: PodSettings;
  namespace: string;
  labels: Record<string, string>;
  /** What selects the agent's pods; never changes. */
  selector: Record<string, string>;
  meta(name: string): KubeObject["metadata"];
}

/** @throws {Error} when nobody is known whose agent it is, or the user's id makes no namespace */
export function contextOf(workload: Intent, options: ManifestOptions): AgentContext {
  if (workload.userId === null) {
    throw new Error("The database does not say whose agent this is, so it has no namespace.");
  }
  const { platform } = workload;
  const current = withPlatform(options, platform);
  const namespace = namespaceOf(options.namespacePrefix, workload.userId);
  const labels = agentLabels(options.installation, workload.userId, workload.agentId);
  return {
    workload,
    options: current,
    settings: podSettings(current, platform === undefined ? workload.class : platform.class),
    namespace,
    labels,
    selector: {
      [LABELS.installation]: options.installation,
      [LABELS.agent]: workload.agentId,
    },
    meta: (name) => ({ name, namespace, labels }),
  };
}

/** The options with what operators decided of this agent's pods, which is not yet, or no longer, what this controller is set to. */
function withPlatform(options: ManifestOptions, platform: Platform | undefined): ManifestOptions {
  if (platform === undefined) return options;
  const { caBundle, graceMs, image, imagePullPolicy, imagePullSecrets, podSecurityContext, pods, readyMs } =
    platform;
  return {
    ...options,
    image,
    imagePullPolicy: imagePullPolicy ?? options.imagePullPolicy,
    imagePullSecrets: imagePullSecrets ?? options.imagePullSecrets,
    podSecurityContext: podSecurityContext ?? options.podSecurityContext,
    pods: pods ?? options.pods,
    caBundle: caBundle === undefined ? options.caBundle : (caBundle ?? undefined),
    readyMs: readyMs ?? options.readyMs,
    graceMs: graceMs ?? options.graceMs,
  };
}

/** Of the options, what operators change of all agents' pods in waves: nothing secret, and nothing that must reach all at once. */
export function platformOf({
  caBundle,
  graceMs,
  image,
  imagePullPolicy,
  imagePullSecrets,
  podSecurityContext,
  pods,
  readyMs,
}: ManifestOptions): Omit<Platform, "id" | "form"> {
  const secrets = [...(imagePullSecrets ?? [])];
  return {
    image,
    imagePullPolicy,
    imagePullSecrets: secrets,
    podSecurityContext,
    pods,
    caBundle: caBundle ?? null,
    readyMs,
    graceMs,
  };
}

/**
 * Immutable, and another one for each template and whatever else is in it: a change replaces the replicas. The revision's
 * number alone does not.
 */
export function configName({ workload }: AgentContext): string {
  const { revision: _, ...config } = agentConfig(workload);
  return `${workload.agentId}-${digest([workload.template, config])}`;
}

/**
 * As {@link configName}. The operator's own keys are in it too, and the probe's, which the template does not know. Of the agent's secrets
 * no digest is taken: the template has their versions, and a digest would give a short secret away.
 */
export function secretName({ workload, options }: AgentContext): string {
  const probeKey = probeKeyOf(options.project.probeSecret, workload.agentId);
  const more = Object.values(pluginSecret(workload, options));
  return `${workload.agentId}-${digest([workload.template, options.providerEnvironment, probeKey, ...more])}`;
}

function digest(value: unknown): string {
  return createHash("sha256").update(canonical(value)).digest("hex").slice(0, 16);
}
