// What a pod has more where its plugins come from the controller: an init step that fetches them, and a volume that it fills and
// the agent reads. Agents without plugins have none of it. Pure.
import type { V1Container, V1NetworkPolicy, V1Volume } from "@kubernetes/client-node";
import { setKey } from "../../../plugins/set-server.ts";
import type { KubeObject } from "../api.ts";
import { LABELS, PLUGIN_CONTAINER } from "../names.ts";
import type { ManifestOptions } from "../options.ts";
import type { Intent } from "./context.ts";
import { DISK } from "./pod-settings.ts";
import { optional, type Wire } from "./wire.ts";

const FOLDER = "/plugins";
const PROGRAM = ["/usr/local/bin/node", "/app/packages/agent-runtime/src/plugin-set/main.ts"];
/** The name in the agent's Secret. */
const KEY = "AGENT_PLUGIN_KEY";

/** The pods that may connect to the controller's plugin port. */
export const FETCHING = { [LABELS.plugins]: "fetched" } as const;

/** The set that the agent's pods fetch; undefined where they run what their image has. */
export function pluginSetOf({ spec }: Intent, { plugins }: ManifestOptions): string | undefined {
  return plugins === undefined ? undefined : spec.resolvedPlugins?.tree;
}

/** What the agent's Secret holds for the init step. It is the agent's own for its set, so the agent may know it. */
export function pluginSecret(workload: Intent, options: ManifestOptions): Record<string, string> {
  const set = pluginSetOf(workload, options);
  return set === undefined ? {} : { [KEY]: setKey(options.project.probeSecret, workload.agentId, set) };
}

/** Three eighths of the disk: half is the agent's state, the rest /tmp and the log. */
const room = (diskLimit: number | undefined): number => Math.floor(((diskLimit ?? DISK.limit) * 3) / 8);

/** The volume. */
export function pluginVolume(diskLimit: number | undefined): Wire<V1Volume> {
  return { name: "plugins", emptyDir: { sizeLimit: String(room(diskLimit)) } };
}

/** What the agent's container has more. */
export const PLUGIN_MOUNT = { name: "plugins", mountPath: FOLDER, readOnly: true };
export const PLUGIN_ENVIRONMENT = [{ name: "AGENT_ELIZA_DIR", value: `${FOLDER}/tree` }];

/**
 * The init step. It has the agent's own image and size, so that it is in the user's quota: the larger of both counts.
 * @param like the agent's container
 */
export function pluginContainer(
  workload: Intent,
  { plugins }: ManifestOptions,
  set: string,
  diskLimit: number | undefined,
  secret: string,
  like: Wire<V1Container>,
): Wire<V1Container> {
  const { image, imagePullPolicy, resources, securityContext, terminationMessagePolicy } = like;
  return {
    name: PLUGIN_CONTAINER,
    image,
    ...optional<V1Container>(imagePullPolicy !== undefined && { imagePullPolicy }),
    command: PROGRAM,
    env: [
      { name: "AGENT_PLUGIN_URL", value: `${plugins?.url}/agents/${workload.agentId}/sets` },
      { name: "AGENT_PLUGIN_SET", value: set },
      { name: KEY, valueFrom: { secretKeyRef: { name: secret, key: KEY } } },
      { name: "AGENT_PLUGIN_DIR", value: FOLDER },
      { name: "AGENT_PLUGIN_BYTES", value: String(room(diskLimit)) },
      { name: "NODE_ENV", value: "production" },
    ],
    resources,
    terminationMessagePolicy,
    securityContext,
    volumeMounts: [{ name: "plugins", mountPath: FOLDER }],
  };
}

/** The way from those pods to the controllers' port. */
export function pluginPolicy(
  meta: (name: string) => KubeObject["metadata"],
  { controllerNamespace, installation, plugins }: ManifestOptions,
): KubeObject[] {
  if (plugins === undefined) return [];
  return [
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: meta("allow-plugins"),
      spec: {
        podSelector: { matchLabels: FETCHING },
        policyTypes: ["Egress"],
        egress: [
          {
            to: [
              {
                namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": controllerNamespace } },
                podSelector: { matchLabels: { [LABELS.store]: installation } },
              },
            ],
            ports: [{ protocol: "TCP", port: plugins.port }],
          },
        ],
      },
    } satisfies Wire<V1NetworkPolicy>,
  ];
}
