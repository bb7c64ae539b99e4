import assert from "node:assert/strict";
import { test } from "vitest";
import { Endpoints } from "../../ingress/endpoints.ts";
import { SimulatedClock } from "../../testing/simulated-clock.ts";
import type { KubeObject } from "./api.ts";
import type { Deployment, Pod } from "./observe/objects.ts";
import type { AgentObjects } from "./observe/view.ts";
import { PodEndpoints } from "./pod-endpoints.ts";

const slice: KubeObject = {
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: "a-door-ipv4", namespace: "agents-u" },
};

function pod(name: string, podIP: string | undefined, ready: boolean): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "agents-u" },
    status: {
      ...(podIP === undefined ? {} : { podIP }),
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  };
}

function objectsOf(asleep: boolean, slices: KubeObject[], pods: Pod[]): AgentObjects {
  const deployment: Deployment = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: {
      name: "a",
      namespace: "agents-u",
      annotations: asleep ? { "agent-launchpad.dev/asleep": "true" } : {},
    },
  };
  const all = [deployment, ...slices, ...pods];
  return { agentId: "a", deployment, replicaSets: [], pods, all, warnings: [], stable: new Map() };
}

function rig() {
  const clock = new SimulatedClock();
  const endpoints = new Endpoints();
  const ready: string[] = [];
  endpoints.onReady((agentId) => ready.push(agentId));
  const pods = new PodEndpoints(endpoints, clock);
  return { clock, endpoints, pods, ready };
}

test("agents that never slept are not known here", () => {
  const { endpoints, pods } = rig();
  pods.sync(objectsOf(false, [], [pod("p1", "10.0.0.1", true)]));
  assert.deepEqual([endpoints.knows("a"), endpoints.count("a")], [false, 0]);
});

test("a sleeping agent is known, and its pod takes requests once it is ready", () => {
  const { endpoints, pods, ready } = rig();
  pods.sync(objectsOf(true, [slice], []));
  assert.deepEqual([endpoints.knows("a"), endpoints.count("a")], [true, 0]);
  pods.sync(objectsOf(false, [slice], [pod("p1", undefined, false)]));
  pods.sync(objectsOf(false, [slice], [pod("p1", "10.0.0.1", true)]));
  pods.sync(objectsOf(false, [slice], [pod("p1", "10.0.0.1", true)]));
  assert.deepEqual(ready, ["a"]);
  const endpoint = endpoints.pick("a", new Set());
  assert.deepEqual([endpoint?.host, endpoint?.port], ["10.0.0.1", 8080]);
});

test("a pod that ends, or is not ready any more, gets nothing", () => {
  const { endpoints, pods } = rig();
  pods.sync(objectsOf(false, [slice], [pod("p1", "10.0.0.1", true), pod("p2", "10.0.0.2", true)]));
  const ending = pod("p2", "10.0.0.2", true);
  ending.metadata.deletionTimestamp = "2030-01-01T00:00:00Z";
  pods.sync(objectsOf(false, [slice], [pod("p1", "10.0.0.1", false), ending]));
  assert.equal(endpoints.count("a"), 0);
});

test("what proxies still send here after the door is shut reaches the pods, for a minute", async () => {
  const { clock, endpoints, pods } = rig();
  const one = pod("p1", "10.0.0.1", true);
  pods.sync(objectsOf(false, [slice], [one]));
  pods.sync(objectsOf(false, [], [one]));
  await clock.advance(59_000);
  pods.sync(objectsOf(false, [], [one]));
  assert.equal(endpoints.count("a"), 1);
  await clock.advance(1000);
  assert.deepEqual([endpoints.knows("a"), endpoints.count("a")], [false, 0]);
});

test("an agent that falls asleep again within that minute stays known", async () => {
  const { clock, endpoints, pods } = rig();
  pods.sync(objectsOf(false, [slice], [pod("p1", "10.0.0.1", true)]));
  pods.sync(objectsOf(false, [], [pod("p1", "10.0.0.1", true)]));
  await clock.advance(30_000);
  pods.sync(objectsOf(true, [slice], []));
  await clock.advance(60_000);
  assert.ok(endpoints.knows("a"));
});

test("an agent that is gone is forgotten at once", () => {
  const { endpoints, pods } = rig();
  pods.sync(objectsOf(true, [slice], []));
  pods.sync({ agentId: "a", replicaSets: [], pods: [], all: [], warnings: [], stable: new Map() });
  assert.ok(!endpoints.knows("a"));
});
