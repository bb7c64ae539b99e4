// Pods whose plugins come from the controller, beside those that know nothing of it.
import assert from "node:assert/strict";
import { test } from "vitest";
import { setKey } from "../../../plugins/set-server.ts";
import { specOf } from "../../../testing/memory-database.ts";
import type { KubeObject } from "../api.ts";
import type { Pod } from "../observe/objects.ts";
import { hindranceOf } from "../observe/reasons.ts";
import type { ManifestOptions } from "../options.ts";
import { manifestOptionsOf, workloadOf } from "../testing.ts";
import { workloadManifests } from "./agent-manifests.ts";

const SET = "a".repeat(64);
const plugins = { url: "http://launchpad-plugins.launchpad.svc:8082", port: 8082 };
const named = (tree = SET) => specOf({ resolvedPlugins: { tree, engine: "model", plugins: [] } });

interface Template {
  metadata: { labels: Record<string, string> };
  spec: Record<string, { name: string; [field: string]: unknown }[]>;
}

function made(part: Parameters<typeof workloadOf>[0], options: Partial<ManifestOptions> = { plugins }) {
  const { after, before, beside, deployment, user } = workloadManifests(
    workloadOf(part),
    manifestOptionsOf(options),
  );
  const objects: KubeObject[] = [...user.bounds, ...before, ...beside, deployment, ...after];
  const find = (kind: string, name?: string) =>
    objects.find((object) => object.kind === kind && (name ?? object.metadata.name) === object.metadata.name);
  return { find, template: (deployment.spec as { template: Template }).template, deployment };
}

test("an agent without plugins has the same pods and secrets as where no controller serves plugins", () => {
  const [off, on] = [made({}, {}), made({})];
  assert.deepEqual(on.template, off.template);
  assert.deepEqual(on.find("Secret"), off.find("Secret"));
  assert.deepEqual(on.deployment, off.deployment);
});

test("where no controller serves plugins, an agent with a resolved set runs what its image has", () => {
  const off = made({ spec: named() }, {});
  assert.equal(off.template.spec.initContainers, undefined);
  assert.deepEqual(off.find("Secret"), made({}, {}).find("Secret"));
  assert.equal(off.find("NetworkPolicy", "allow-plugins"), undefined);
});

test("the init step has the agent's image, size and hardening, its set and no other secret", () => {
  const { find, template } = made({ spec: named(), environment: { DISCORD_TOKEN: "x" } });
  const [step] = template.spec.initContainers ?? [];
  const [agent] = template.spec.containers ?? [];
  assert.ok(step && agent);
  for (const field of ["image", "resources", "securityContext", "terminationMessagePolicy"]) {
    assert.deepEqual(step[field], agent[field], field);
  }
  const env = step.env as { name: string; value?: string; valueFrom?: object }[];
  assert.equal(env.find(({ name }) => name === "AGENT_PLUGIN_SET")?.value, SET);
  assert.equal(
    env.find(({ name }) => name === "AGENT_PLUGIN_URL")?.value,
    `${plugins.url}/agents/agent-1/sets`,
  );
  assert.equal(step.envFrom, undefined);
  const secret = find("Secret");
  assert.deepEqual(env.find(({ name }) => name === "AGENT_PLUGIN_KEY")?.valueFrom, {
    secretKeyRef: { name: secret?.metadata.name, key: "AGENT_PLUGIN_KEY" },
  });
  const data = (secret as KubeObject & { data: Record<string, string> }).data;
  const key = Buffer.from(data.AGENT_PLUGIN_KEY ?? "", "base64").toString();
  assert.equal(key, setKey("a-secret", "agent-1", SET));
  assert.deepEqual(step.volumeMounts, [{ name: "plugins", mountPath: "/plugins" }]);
  assert.ok(
    (agent.volumeMounts as { name: string; readOnly?: boolean }[]).some(
      ({ name, readOnly }) => name === "plugins" && readOnly === true,
    ),
  );
});

test("state, /tmp and plugins leave room for the log in the pod's disk, whatever the class gives", () => {
  const gibibyte = 1024 ** 3;
  for (const bytes of [undefined, gibibyte / 2, 10 * gibibyte]) {
    const agentClass = bytes === undefined ? null : { name: "c", ephemeralStorageBytes: bytes };
    const { template } = made({ spec: named(), class: agentClass });
    const sizes = (template.spec.volumes ?? []).flatMap(({ emptyDir, name }) => {
      const { sizeLimit } = (emptyDir ?? {}) as { sizeLimit?: string };
      return sizeLimit === undefined || name === "tmp" ? [] : [sizeLimit];
    });
    const total = sizes.map((text) => (text === "1Gi" ? gibibyte : Number(text))).reduce((a, b) => a + b);
    assert.ok(total <= ((bytes ?? 2 * gibibyte) * 7) / 8, `${total}`);
  }
});

test("another set makes other pods and another secret; another agent has another key", () => {
  const [one, other] = [made({ spec: named() }), made({ spec: named("b".repeat(64)) })];
  assert.notDeepEqual(one.template, other.template);
  assert.notEqual(one.find("Secret")?.metadata.name, other.find("Secret")?.metadata.name);
  assert.notEqual(setKey("s", "ada", SET), setKey("s", "eve", SET));
});

test("only pods with plugins may connect, to that port of the controllers' pods alone", () => {
  const { find, template } = made({ spec: named() });
  const policy = find("NetworkPolicy", "allow-plugins");
  assert.deepEqual(policy?.spec, {
    podSelector: { matchLabels: { "agent-launchpad.dev/plugins": "fetched" } },
    policyTypes: ["Egress"],
    egress: [
      {
        to: [
          {
            namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "agent-launchpad" } },
            podSelector: { matchLabels: { "agent-launchpad.dev/plugin-store": "test" } },
          },
        ],
        ports: [{ protocol: "TCP", port: 8082 }],
      },
    ],
  });
  assert.equal(template.metadata.labels["agent-launchpad.dev/plugins"], "fetched");
  assert.equal(made({}).template.metadata.labels["agent-launchpad.dev/plugins"], undefined);
});

/** A pod whose init step is in a state. */
function podOf(state: object, lastState: object = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "pod", uid: "uid" },
    spec: {
      containers: [{ name: "agent", image: "image:1", resources: { limits: { memory: "134217728" } } }],
    },
    status: {
      conditions: [{ type: "PodScheduled", status: "True" }],
      containerStatuses: [{ name: "agent", state: { waiting: { reason: "PodInitializing" } } }],
      initContainerStatuses: [{ name: "plugins", image: "image:1", state, lastState }],
    },
  } as Pod;
}
const line = (message: string) =>
  JSON.stringify({ level: "ERROR", message, source: "plugins", metadata: {} });
const ended = (exitCode: number, message: string, reason = "Error") => ({
  terminated: { exitCode, reason, message },
});

test("what keeps the init step from its end is told in its own words", () => {
  const waiting = { waiting: { reason: "CrashLoopBackOff", message: "back-off" } };
  const failed = hindranceOf(podOf(waiting, ended(1, line("ECONNREFUSED"))), []);
  assert.equal(failed?.reason, "PLUGIN_INSTALL_FAILED");
  assert.equal(failed.fatal, false);
  assert.match(failed.message, /could not be fetched from the controller: ECONNREFUSED\. It is tried again/);
  const full = hindranceOf(podOf(ended(78, line("They need more disk."))), []);
  assert.deepEqual(full, { reason: "PLUGIN_INSTALL_FAILED", message: "They need more disk.", fatal: true });
  const killed = hindranceOf(podOf(waiting, ended(137, "", "OOMKilled")), []);
  assert.match(killed?.message ?? "", /used more than its 128 MiB of memory\. Give the agent more/);
});

test("an image that cannot be pulled is seen where the init step has it first", () => {
  const pulling = { waiting: { reason: "ErrImagePull", message: "manifest unknown" } };
  assert.equal(hindranceOf(podOf(pulling), [])?.reason, "ImagePullBackOff");
});

test("an init step that runs, waits for its turn or has ended well is no hindrance", () => {
  for (const state of [
    { running: { startedAt: "2026-01-01T00:00:00Z" } },
    { waiting: { reason: "PodInitializing" } },
    { terminated: { exitCode: 0 } },
  ]) {
    assert.equal(hindranceOf(podOf(state), []), undefined);
  }
});
