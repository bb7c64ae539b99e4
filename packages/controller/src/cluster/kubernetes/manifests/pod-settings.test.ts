import assert from "node:assert/strict";
import { test } from "vitest";
import type { AgentClass } from "../../../contract.ts";
import type { KubeObject } from "../api.ts";
import type { ManifestOptions } from "../options.ts";
import { manifestOptionsOf, workloadOf } from "../testing.ts";
import { workloadManifests } from "./agent-manifests.ts";
import { podSettings, podSettingsDigest } from "./pod-settings.ts";

interface Template {
  metadata: { labels: Record<string, string>; annotations?: Record<string, string> };
  spec: Record<string, unknown> & {
    containers: [
      { image: string; resources: { requests: Record<string, string>; limits: Record<string, string> } },
    ];
    volumes: { name: string; emptyDir?: { sizeLimit: string } }[];
  };
}

const CLASS: AgentClass = {
  name: "gvisor",
  image: "registry.example/other:2",
  runtimeClassName: "gvisor",
  priorityClassName: "low",
  nodeSelector: { pool: "sandbox" },
  tolerations: [{ key: "sandbox", operator: "Exists" }],
  affinity: { nodeAffinity: {} },
  labels: { tier: "untrusted" },
  annotations: { note: "by class" },
  hostUsers: false,
};

function manifests(agentClass: AgentClass | null, options: Partial<ManifestOptions> = {}) {
  return workloadManifests(workloadOf({ class: agentClass }), manifestOptionsOf(options));
}

function template(agentClass: AgentClass | null, options: Partial<ManifestOptions> = {}): Template {
  return (manifests(agentClass, options).deployment.spec as { template: Template }).template;
}

function bound(kind: string, agentClass: AgentClass | null, name?: string): KubeObject["spec"] {
  return manifests(agentClass).user.bounds.find(
    (object) => object.kind === kind && (name === undefined || object.metadata.name === name),
  )?.spec;
}

test("a class shapes the pods of its users' agents", () => {
  const { metadata, spec } = template(CLASS);
  const { image: _, labels, annotations, name: _n, ...placed } = CLASS;
  for (const [field, value] of Object.entries(placed)) assert.deepEqual(spec[field], value, field);
  assert.equal(spec.containers[0].image, CLASS.image);
  assert.deepEqual(metadata.annotations, annotations);
  assert.equal(metadata.labels.tier, labels?.tier);
});

test("without a class and without settings the pods have none of it", () => {
  const { metadata, spec } = template(null);
  const fields = "runtimeClassName,priorityClassName,nodeSelector,tolerations,affinity,hostUsers".split(",");
  for (const field of fields) assert.ok(!(field in spec), field);
  assert.equal(metadata.annotations, undefined);
  assert.deepEqual(template({ name: "default" }), template(null));
});

test("what a class names replaces the installation's; labels and annotations are added one by one", () => {
  const pods = {
    runtimeClassName: "kata",
    priorityClassName: "agents",
    nodeSelector: { pool: "agents", disk: "ssd" },
    tolerations: [{ key: "agents", operator: "Exists" }],
    labels: { tier: "all", cost: "1" },
    annotations: { team: "a" },
  };
  const inherited = template({ name: "x" }, { pods });
  assert.deepEqual(inherited.spec.nodeSelector, pods.nodeSelector);
  assert.equal(inherited.spec.runtimeClassName, "kata");
  const own = template({ ...CLASS, priorityClassName: "", tolerations: [] }, { pods });
  assert.deepEqual(own.spec.nodeSelector, { pool: "sandbox" });
  assert.equal(own.spec.runtimeClassName, "gvisor");
  assert.ok(!("priorityClassName" in own.spec), "an empty text is none");
  assert.ok(!("tolerations" in own.spec), "an empty list is none");
  assert.equal(own.metadata.labels.tier, "untrusted");
  assert.equal(own.metadata.labels.cost, "1");
  assert.deepEqual(own.metadata.annotations, { team: "a", note: "by class" });
});

test("no label of a class takes the place of the controller's own", () => {
  const labels = { "agent-launchpad.dev/agent": "victim", "app.kubernetes.io/managed-by": "me" };
  const forged = template({ name: "x", labels }).metadata.labels;
  assert.deepEqual(forged, template(null).metadata.labels);
});

test("a class says where its users' agents connect to, and the project stays reachable", () => {
  const places = [{ ipBlock: { cidr: "1.1.1.7/32" } }];
  const project = { url: "https://db.example", key: "k", probeSecret: "s", proxyHops: 1, places };
  const egress = { allowCidrs: ["203.0.113.0/24"], ports: [8443] };
  const { user } = manifests({ name: "x", egress }, { project });
  const policy = user.bounds.find(({ metadata }) => metadata.name === "allow-egress");
  assert.deepEqual((policy?.spec as { egress: unknown } | undefined)?.egress, [
    { to: [{ ipBlock: { cidr: "203.0.113.0/24" } }], ports: [{ protocol: "TCP", port: 8443 }] },
    { to: places, ports: [{ protocol: "TCP", port: 443 }] },
  ]);
  assert.deepEqual(
    bound("NetworkPolicy", { name: "x" }, "allow-egress"),
    bound("NetworkPolicy", null, "allow-egress"),
  );
});

test("a class bounds the disk of a replica, and the namespace has room for it", () => {
  const { containers, volumes } = template({ name: "x", ephemeralStorageBytes: 128 * 1024 ** 2 }).spec;
  assert.equal(containers[0].resources.limits["ephemeral-storage"], String(128 * 1024 ** 2));
  assert.equal(containers[0].resources.requests["ephemeral-storage"], String(128 * 1024 ** 2));
  assert.equal(volumes.find(({ name }) => name === "state")?.emptyDir?.sizeLimit, String(64 * 1024 ** 2));
  const large = { name: "x", ephemeralStorageBytes: 8 * 1024 ** 3 };
  const [limit] = (bound("LimitRange", large) as { limits: [{ max: Record<string, string> }] }).limits;
  assert.equal(limit.max["ephemeral-storage"], String(large.ephemeralStorageBytes));
  const small = { name: "x", ephemeralStorageBytes: 128 * 1024 ** 2 };
  assert.deepEqual(bound("ResourceQuota", small), bound("ResourceQuota", null), "older pods still fit");
});

test("the digest on the Deployment changes with anything operators decide of the pods, image included", () => {
  const options = manifestOptionsOf();
  const digest = (agentClass: AgentClass | null) => podSettingsDigest(podSettings(options, agentClass));
  assert.equal(digest(null), digest({ name: "other", egress: { ports: [1] } }));
  const all = Object.entries(CLASS).filter(([field]) => field !== "name");
  const digests = [null, ...all.map(([field, value]) => ({ name: "x", [field]: value }))].map(digest);
  assert.equal(new Set(digests).size, digests.length);
  const { deployment } = manifests(CLASS);
  assert.equal(deployment.metadata.annotations?.["agent-launchpad.dev/pods"], digest(CLASS));
});
