// Builds the Deployment and pod template of an agent.

import type {
  V1Container,
  V1Deployment,
  V1DeploymentSpec,
  V1ObjectMeta,
  V1PodSpec,
  V1PodTemplateSpec,
  V1Probe,
  V1TopologySpreadConstraint,
  V1Volume,
} from "@kubernetes/client-node";
import { heapMebibytes } from "../../processes/memory-limit.ts";
import type { KubeObject } from "../api.ts";
import { ANNOTATIONS, CONTAINER, LABELS, PORT, PORT_NAME } from "../names.ts";
import type { ManifestOptions } from "../options.ts";
import { type AgentContext, configName, secretName } from "./context.ts";
import { quantity } from "./namespace.ts";
import {
  FETCHING,
  PLUGIN_ENVIRONMENT,
  PLUGIN_MOUNT,
  pluginContainer,
  pluginSetOf,
  pluginVolume,
} from "./plugin-set.ts";
import { DISK, placement, podSettingsDigest } from "./pod-settings.ts";
import { optional, type Wire } from "./wire.ts";

/** An address is taken out of every proxy some time after a pod is told to end: so long it still answers. */
const DRAIN_SECONDS = 5;
const STATE = "/state";
const CONFIG = "/config";
const AUTHORITIES = "/etc/launchpad-ca";
/** The user of the images. */
const IMAGE_USER = { runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532 } as const;

/**
 * The Deployment: hardened as Pod Security "restricted" wants it and further, replaced without a gap.
 * @param replicas undefined = an autoscaler owns the number
 */
export function deployment(context: AgentContext, replicas: number | undefined): KubeObject {
  const { workload, options, selector, meta, settings } = context;
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: {
      ...meta(workload.agentId),
      annotations: {
        [ANNOTATIONS.generation]: String(workload.generation),
        [ANNOTATIONS.revision]: String(workload.revision),
        [ANNOTATIONS.replicas]: String(workload.replicas),
        ...(workload.asleep === true && { [ANNOTATIONS.asleep]: "true" }),
        // So that a change is seen that takes something away: fields that others may add are not compared.
        [ANNOTATIONS.pods]: podSettingsDigest(settings),
      },
    },
    spec: {
      ...optional<V1DeploymentSpec>(replicas !== undefined && { replicas }),
      selector: { matchLabels: selector },
      // The last one that was complete, to go back to, and one more.
      revisionHistoryLimit: 2,
      progressDeadlineSeconds: Math.max(10, Math.ceil(options.readyMs / 1000)),
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: podTemplate(context),
    },
  } satisfies Wire<V1Deployment>;
}

function podTemplate(context: AgentContext): Wire<V1PodTemplateSpec> {
  const { workload, options, labels, selector, settings } = context;
  const { annotations } = settings;
  const spread = (topologyKey: string): Wire<V1TopologySpreadConstraint> => ({
    maxSkew: 1,
    topologyKey,
    // Better crowded than not at all.
    whenUnsatisfiable: "ScheduleAnyway",
    labelSelector: { matchLabels: selector },
    matchLabelKeys: ["pod-template-hash"],
  });
  const secrets = options.imagePullSecrets ?? [];
  const set = pluginSetOf(workload, options);
  const agent = container(context);
  return {
    metadata: {
      labels: {
        ...settings.labels,
        ...labels,
        ...(set === undefined ? {} : FETCHING),
        [LABELS.template]: workload.template,
        ...(workload.platform === undefined ? {} : { [LABELS.platform]: workload.platform.id }),
      },
      ...optional<V1ObjectMeta>(Object.keys(annotations).length > 0 && { annotations }),
    },
    spec: {
      serviceAccountName: workload.agentId,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      ...optional<V1PodSpec>(secrets.length > 0 && { imagePullSecrets: secrets.map((name) => ({ name })) }),
      terminationGracePeriodSeconds: DRAIN_SECONDS + Math.ceil(options.graceMs / 1000) + 5,
      securityContext: {
        runAsNonRoot: true,
        ...(options.podSecurityContext ?? IMAGE_USER),
        seccompProfile: { type: "RuntimeDefault" },
      },
      ...placement(settings),
      topologySpreadConstraints: [spread("kubernetes.io/hostname"), spread("topology.kubernetes.io/zone")],
      ...optional<V1PodSpec>(
        set !== undefined && {
          initContainers: [
            pluginContainer(workload, options, set, settings.diskLimit, secretName(context), agent),
          ],
        },
      ),
      containers: [agent],
      volumes: [
        { name: "config", configMap: { name: configName(context) } },
        { name: "state", emptyDir: { sizeLimit: stateLimit(settings.diskLimit) } },
        { name: "tmp", emptyDir: { sizeLimit: "64Mi" } },
        ...(set === undefined ? [] : [pluginVolume(settings.diskLimit)]),
        ...caVolume(options),
      ],
    },
  };
}

/** Half of the disk: the rest is for what is written to /tmp and to the log. */
function stateLimit(diskLimit: number | undefined): string {
  return diskLimit === undefined ? "1Gi" : String(Math.floor(diskLimit / 2));
}

function container(context: AgentContext): Wire<V1Container> {
  const { workload, options, settings } = context;
  const disk = settings.diskLimit ?? DISK.limit;
  const { cpuMillicores, memoryBytes } = workload.spec.resources;
  const size = { cpu: quantity(`${Math.ceil(cpuMillicores)}m`), memory: String(Math.ceil(memoryBytes)) };
  const fetched = pluginSetOf(workload, options) !== undefined;
  const get = (path: string) => ({ httpGet: { path, port: PORT_NAME } }) satisfies Wire<V1Probe>;
  return {
    name: CONTAINER,
    image: settings.image,
    ...optional<V1Container>(
      options.imagePullPolicy !== undefined && { imagePullPolicy: options.imagePullPolicy },
    ),
    // Ahead of the Secret's names: what is said here, no secret can change.
    env: [
      { name: "AGENT_ID", value: workload.agentId },
      { name: "AGENT_REPLICA", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      { name: "AGENT_CONFIG_FILE", value: `${CONFIG}/agent.json` },
      { name: "AGENT_STATE_DIR", value: STATE },
      { name: "AGENT_STOP_TIMEOUT_MS", value: String(options.graceMs) },
      { name: "AGENT_PROJECT_URL", value: options.project.url },
      { name: "AGENT_PROJECT_KEY", value: options.project.key },
      { name: "AGENT_PROXY_HOPS", value: String(options.project.proxyHops) },
      { name: "AGENT_TOOL_PRIVATE_HOSTS", value: options.tools.privateHosts.join(",") || "none" },
      { name: "AGENT_TOOL_TIMEOUT_MS", value: String(options.tools.timeoutMs) },
      { name: "HOME", value: STATE },
      { name: "TMPDIR", value: "/tmp" },
      { name: "HOST", value: "::" },
      { name: "PORT", value: String(PORT) },
      { name: "NODE_ENV", value: "production" },
      ...(fetched ? PLUGIN_ENVIRONMENT : []),
      ...(options.caBundle === undefined
        ? []
        : [{ name: "NODE_EXTRA_CA_CERTS", value: `${AUTHORITIES}/${options.caBundle.key}` }]),
      { name: "NODE_OPTIONS", value: `--max-old-space-size=${heapMebibytes(memoryBytes)}` },
    ],
    envFrom: [{ secretRef: { name: secretName(context) } }],
    ports: [{ name: PORT_NAME, containerPort: PORT, protocol: "TCP" }],
    // Both the same: what is asked for is there, and no more is taken from the neighbours.
    resources: {
      requests: { ...size, "ephemeral-storage": String(Math.min(DISK.request, disk)) },
      limits: { ...size, "ephemeral-storage": String(disk) },
    },
    // A little longer than the controller's own judgement, which is about the whole rollout.
    startupProbe: {
      ...get("/health"),
      periodSeconds: 1,
      timeoutSeconds: 2,
      failureThreshold: Math.ceil(options.readyMs / 1000) + 5,
    },
    readinessProbe: { ...get("/ready"), periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 2 },
    livenessProbe: { ...get("/health"), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3 },
    // The runtime refuses new messages from the signal on: first the proxies must have learnt that it goes.
    lifecycle: { preStop: { sleep: { seconds: DRAIN_SECONDS } } },
    terminationMessagePolicy: "FallbackToLogsOnError",
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
    volumeMounts: [
      { name: "config", mountPath: CONFIG, readOnly: true },
      { name: "state", mountPath: STATE },
      { name: "tmp", mountPath: "/tmp" },
      ...(fetched ? [PLUGIN_MOUNT] : []),
      ...(options.caBundle === undefined ? [] : [{ name: "ca", mountPath: AUTHORITIES, readOnly: true }]),
    ],
  };
}

function caVolume({ caBundle }: ManifestOptions): Wire<V1Volume>[] {
  if (caBundle === undefined) return [];
  const { kind, name } = caBundle;
  return [
    {
      name: "ca",
      ...optional<V1Volume>(kind === "Secret" ? { secret: { secretName: name } } : { configMap: { name } }),
    },
  ];
}
