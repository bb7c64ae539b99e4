import assert from "node:assert/strict";
import { test } from "vitest";
import { SimulatedClock } from "../../../testing/simulated-clock.ts";
import type { ClusterHealth } from "../../cluster.ts";
import { KubeError, type KubeObject } from "../api.ts";
import { Capacity } from "./capacity.ts";
import type { EventNote, Pod } from "./objects.ts";
import { Registry, registryHost } from "./registry.ts";
import { FakePods, readyPod } from "./testing.ts";

function node(name: string, ready = "True", part: Record<string, unknown> = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    status: {
      allocatable: { cpu: "3920m", memory: "8Gi", "ephemeral-storage": "100Gi" },
      conditions: [{ type: "Ready", status: ready }],
    },
    ...part,
  };
}

const GI = 1024 ** 3;
const refused = new KubeError("FORBIDDEN", "nodes may not be listed", { status: 403 });

function setUp(part: { nodes?: KubeObject[] | Error; usage?: KubeObject[] | Error; problem?: string } = {}) {
  const clock = new SimulatedClock();
  const pods = new FakePods();
  const calls: string[] = [];
  const state = { version: undefined as Error | undefined, hangs: [] as string[], ...part };
  const hang = (what: string) => (state.hangs.includes(what) ? new Promise<void>(() => {}) : undefined);
  const capacity = new Capacity({
    api: {
      version: async () => {
        calls.push("version");
        await hang("version");
        if (state.version !== undefined) throw state.version;
        return "v1.36.0";
      },
      list: async (kind) => {
        calls.push(kind);
        await hang(kind);
        const answer = kind === "Node" ? (state.nodes ?? [node("n1"), node("n2")]) : (state.usage ?? []);
        if (answer instanceof Error) throw answer;
        return { resourceVersion: "", items: answer };
      },
    },
    view: { pods: () => pods.pods(), problem: state.problem, synced: true },
    registry: { health: async () => ({ status: "UNKNOWN" }) },
    clock,
  });
  return { capacity, clock, pods, calls, state };
}

const usage = (cpu: string, memory: string) =>
  ({ metadata: { name: "n" }, usage: { cpu, memory } }) as unknown as KubeObject;

test("capacity is what the nodes have, and what the metrics API says is used of it", async () => {
  const { capacity, pods } = setUp({ usage: [usage("1500m", "2Gi"), usage("250m", "1Gi")] });
  pods.put(readyPod("a", "p1"));
  pods.put(readyPod("a", "p2", { status: { phase: "Pending" } }));
  assert.deepEqual(await capacity.health(), {
    healthy: true,
    capacity: {
      nodes: 2,
      replicas: 1,
      cpu: { total: 7.84, used: 1.75 },
      memory: { total: 16 * GI, used: 3 * GI },
      storage: { total: 200 * GI, used: null },
    },
    registry: { status: "UNKNOWN" },
  });
});

test("what may not be read is not known, and no fault", async () => {
  const { healthy, capacity } = await setUp({ nodes: refused }).capacity.health();
  assert.deepEqual(
    [healthy, capacity],
    [true, { nodes: null, replicas: 0, cpu: null, memory: null, storage: null }],
  );
  const { capacity: without } = await setUp({ usage: refused }).capacity.health();
  assert.deepEqual(without.cpu, { total: 7.84, used: null });
});

test("a server that does not answer, a view that is not true, and no ready node are faults; one node less is not", async () => {
  const away = setUp();
  away.state.version = new KubeError("UNREACHABLE", "no answer");
  assert.match((await away.capacity.health()).message ?? "", /server does not answer: no answer/);
  const stale = await setUp({ problem: "pods cannot be watched" }).capacity.health();
  assert.deepEqual([stale.healthy, stale.message], [false, "pods cannot be watched"]);
  const dead = await setUp({ nodes: [node("n1", "Unknown")] }).capacity.health();
  assert.deepEqual([dead.healthy, dead.message], [false, "No node of the cluster is ready."]);
  const cordoned = node("n2", "True", { spec: { unschedulable: true } });
  const less = await setUp({ nodes: [node("n1"), cordoned] }).capacity.health();
  assert.deepEqual([less.healthy, less.message], [true, "1 of 2 nodes are not ready."]);
});

test("a heartbeat every few seconds does not ask for the nodes each time", async () => {
  const { capacity, clock, calls } = setUp();
  for (let beat = 0; beat < 24; beat += 1) {
    await capacity.health();
    await clock.advance(5000);
  }
  const count = (what: string) => calls.filter((call) => call === what).length;
  assert.deepEqual([count("version"), count("Node"), count("NodeMetrics")], [24, 2, 2]);
});

test("what hangs keeps no heartbeat waiting: it is told as it was last, and asked once", async () => {
  const { capacity, clock, calls, state } = setUp({ usage: [usage("1", "1Gi")] });
  const told = await capacity.health();
  state.hangs = ["NodeMetrics"];
  await clock.advance(61_000);
  const within = async () => {
    let answer: ClusterHealth | undefined;
    void capacity.health().then((health) => {
      answer = health;
    });
    await clock.advance(2000);
    return answer;
  };
  assert.deepEqual(await within(), told, "a metrics server that hangs is no fault");
  state.hangs = ["NodeMetrics", "version"];
  calls.length = 0;
  for (let beat = 0; beat < 5; beat += 1) {
    await clock.advance(5000);
    const health = await within();
    assert.match(health?.message ?? "", /API server does not answer/);
    assert.deepEqual(health?.capacity, told.capacity);
  }
  assert.deepEqual(calls, ["version"]);
});

const IMAGE = "registry.example/agent-runtime:1";

function registry(pods: Pod[], reach: boolean, image = IMAGE, warnings: EventNote[] = []) {
  const fake = new FakePods();
  for (const pod of pods) fake.put(pod);
  const view = {
    pods: () => fake.pods(),
    objects: () => ({ agentId: "a", replicaSets: [], pods, all: [], warnings, stable: new Map() }),
  };
  return new Registry({ view, image, clock: new SimulatedClock(), reach: async () => reach }).health();
}

function pulling(message: string, name = "p"): Pod {
  return readyPod("a", name, {
    status: {
      containerStatuses: [{ name: "agent", state: { waiting: { reason: "ErrImagePull", message } } }],
    },
  });
}

test("the registry is as the nodes met it, or else as it answers here, or else unknown", async () => {
  assert.deepEqual(await registry([readyPod("a", "p")], true), { status: "HEALTHY" });
  assert.deepEqual(await registry([], false), { status: "UNKNOWN" });
  assert.deepEqual(await registry([], true, "agent-runtime:1"), { status: "UNKNOWN" });
  assert.deepEqual(await registry([pulling(`${IMAGE}: not found`)], true), {
    status: "DEGRADED",
    message: "The registry does not have the agents' image.",
  });
  assert.deepEqual(
    await registry([pulling(`${IMAGE}: not found`), pulling("dial tcp: i/o timeout", "q")], true),
    {
      status: "DEGRADED",
      message: "Nodes cannot reach the registry of the agents' image.",
    },
  );
});

test("a registry's host is the first part of a name that can be one", () => {
  assert.deepEqual(
    ["registry.example/a/b:1", "localhost/a", "host:5000/a@sha256:0", "a/b:1", "a", "a:1.2"].map(
      registryHost,
    ),
    ["registry.example", "localhost", "host:5000", undefined, undefined, undefined],
  );
});
