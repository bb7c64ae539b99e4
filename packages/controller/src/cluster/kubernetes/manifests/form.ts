// Which pods this version of the controller makes of the same settings. Another version may make others: they reach agents in
// waves, as a new image does. Pure.
import { createHash } from "node:crypto";
import type { Platform } from "../../../contract.ts";
import { canonical } from "../../../reconcile/template.ts";
import type { Workload } from "../../cluster.ts";
import type { KubeObject } from "../api.ts";
import { ANNOTATIONS, LABELS } from "../names.ts";
import type { ManifestOptions } from "../options.ts";
import { type AgentContext, contextOf, type Intent, secretName } from "./context.ts";
import { deployment } from "./deployment.ts";
import { pluginSetOf } from "./plugin-set.ts";

/** Everything that a sample of pods can have, so that a change of any part makes another digest. */
const SAMPLE_WORKLOAD: Intent = {
  agentId: "sample",
  userId: "sample",
  class: {
    name: "sample",
    runtimeClassName: "sample",
    labels: { sample: "sample" },
    annotations: { sample: "sample" },
    hostUsers: false,
    ephemeralStorageBytes: 4 * 1024 ** 3,
  },
  quota: null,
  generation: 1,
  revision: 1,
  template: "0000000000000000",
  replicas: 1,
  spec: {
    name: "sample",
    character: {},
    plugins: [],
    platforms: [],
    framework: "sample",
    model: "sample",
    systemPrompt: "sample",
    settings: {},
    resources: { memory: "512Mi", cpu: "500m", memoryBytes: 512 * 1024 ** 2, cpuMillicores: 500 },
    resolvedPlugins: { tree: "sample", engine: "sample", plugins: [] },
  } as unknown as Workload["spec"],
};
const SAMPLE_OPTIONS: ManifestOptions = {
  installation: "sample",
  databaseId: () => "sample",
  isOurs: () => true,
  namespacePrefix: "sample-",
  image: "sample",
  imagePullPolicy: "IfNotPresent",
  imagePullSecrets: ["sample"],
  domain: "example.com",
  expose: "none",
  ingressNamespace: "sample",
  ingressCidrs: [],
  egress: { allowCidrs: [], exceptCidrs: [], allowPrivate: false, ports: [] },
  controllerNamespace: "sample",
  tools: { privateHosts: [], timeoutMs: 10_000 },
  providerEnvironment: { SAMPLE: "sample" },
  project: { url: "https://example.com", key: "sample", probeSecret: "sample", proxyHops: 1, places: [] },
  caBundle: { kind: "ConfigMap", name: "sample", key: "sample" },
  plugins: { url: "http://sample", port: 1 },
  readyMs: 60_000,
  graceMs: 10_000,
};

/** The digest of the pods that this version makes. */
export const FORM = digest(
  [SAMPLE_OPTIONS, { ...SAMPLE_OPTIONS, caBundle: undefined }].map(
    (options) => (deployment(contextOf(SAMPLE_WORKLOAD, options), 1).spec as { template: unknown }).template,
  ),
);

/** The Deployment with a note of the version that made its pods, and of the settings that come to all agents at once. */
export function signed(made: KubeObject, context: AgentContext): KubeObject {
  const { plugins, project, tools } = context.options;
  const { privateHosts, timeoutMs } = tools;
  const ofProject = [project.url, project.key, project.proxyHops];
  const ofSet = pluginSetOf(context.workload, context.options) === undefined ? [] : [plugins?.url];
  const setup = digest([secretName(context), ...ofProject, [...privateHosts], timeoutMs, ...ofSet]);
  const notes = { [ANNOTATIONS.form]: FORM, [ANNOTATIONS.setup]: setup };
  return {
    ...made,
    metadata: { ...made.metadata, annotations: { ...made.metadata.annotations, ...notes } },
  };
}

/**
 * The Deployment with the pods that another version made, until the wave comes that brings this one's: where neither the owner
 * nor the operators have changed anything since that concerns them.
 * @param live as it is now
 * @param platform what the agent should have of what operators decide; without one there are no waves
 */
export function inItsForm(
  wanted: KubeObject,
  live: KubeObject | undefined,
  platform: Platform | undefined,
): KubeObject {
  const before = live?.metadata.annotations ?? {};
  const form = before[ANNOTATIONS.form];
  if (form === undefined || form === FORM || platform === undefined || platform.form === FORM) return wanted;
  if (before[ANNOTATIONS.setup] !== wanted.metadata.annotations?.[ANNOTATIONS.setup]) return wanted;
  const isSame = [LABELS.template, LABELS.platform].every(
    (label) => labelsOf(live)[label] === labelsOf(wanted)[label],
  );
  if (!isSame) return wanted;
  return {
    ...wanted,
    metadata: {
      ...wanted.metadata,
      annotations: { ...wanted.metadata.annotations, [ANNOTATIONS.form]: form },
    },
    spec: { ...(wanted.spec as object), template: templateOf(live) },
  };
}

function templateOf(object: KubeObject | undefined) {
  return (object?.spec as { template?: { metadata?: { labels?: Record<string, string> } } } | undefined)
    ?.template;
}

function labelsOf(object: KubeObject | undefined): Record<string, string> {
  return templateOf(object)?.metadata?.labels ?? {};
}

function digest(value: unknown): string {
  return createHash("sha256").update(canonical(value)).digest("hex").slice(0, 16);
}
