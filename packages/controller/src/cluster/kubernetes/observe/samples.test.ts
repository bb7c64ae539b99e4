import assert from "node:assert/strict";
import { test } from "vitest";
import { SimulatedClock } from "../../../testing/simulated-clock.ts";
import { probeKeyOf } from "../../runtime.ts";
import { KubeError, type KubeObject } from "../api.ts";
import { parseQuantity } from "../quantity.ts";
import type { Pod } from "./objects.ts";
import { createPodAccess, type PodAccess } from "./pod-access.ts";
import { takeSamples } from "./samples.ts";
import { FakePods, readyPod } from "./testing.ts";

const METRICS = `# TYPE agent_requests_total counter
agent_requests_total 5
agent_requests_success_total 4
agent_requests_errors_total 1
agent_request_duration_seconds_sum 0.25
process_cpu_seconds_total 12.5
process_resident_memory_bytes 90000000
`;

const USAGE = [
  {
    apiVersion: "metrics.k8s.io/v1beta1",
    kind: "PodMetrics",
    metadata: { name: "p1", namespace: "agents-u1" },
    containers: [{ name: "agent", usage: { cpu: "12345678n", memory: "88000Ki" } }],
  },
] as unknown as KubeObject[];

function setUp(
  pods: Pod[],
  answers: PodAccess["get"],
  usage: KubeObject[] | Error | Promise<never> = USAGE,
  clock = new SimulatedClock(),
) {
  const view = new FakePods();
  for (const pod of pods) view.put(pod);
  return takeSamples({
    api: {
      list: async () => {
        if (usage instanceof Error) throw usage;
        return { resourceVersion: "", items: await usage };
      },
    },
    view,
    access: { get: answers, close: async () => {} },
    installation: "test",
    responsible: (agentId) => agentId === "a",
    clock,
  });
}

test("a metrics API that hangs keeps no sample back", async () => {
  const clock = new SimulatedClock();
  const answer = async () => ({ status: 200, body: METRICS, milliseconds: 3 });
  const samples = setUp([readyPod("a", "p1")], answer, new Promise<never>(() => {}), clock);
  await clock.advance(5000);
  assert.deepEqual(
    (await samples).map(({ cpuRate, cpuSeconds }) => [cpuRate, cpuSeconds]),
    [[undefined, 12.5]],
  );
});

test("a replica's sample is of the metrics API and of what the runtime counts", async () => {
  const paths: string[] = [];
  const samples = await setUp([readyPod("a", "p1"), readyPod("other", "p2")], async (pod, path) => {
    paths.push(`${pod.metadata.name}${path}`);
    return { status: 200, body: METRICS, milliseconds: 3 };
  });
  assert.deepEqual(paths, ["p1/metrics"]);
  assert.deepEqual(samples, [
    {
      agentId: "a",
      replica: "p1",
      life: "uid-p1/0",
      startedAt: Date.parse("2030-01-01T00:00:00Z"),
      cpuLimit: 0.5,
      memoryLimit: 268_435_456,
      cpuSeconds: 12.5,
      cpuRate: 0.012345678,
      memoryBytes: 88_000 * 1024,
      networkIn: null,
      networkOut: null,
      requests: { total: 5, success: 4, errors: 1, seconds: 0.25 },
      idleSeconds: null,
    },
  ]);
});

test("without a metrics API the runtime's own figures stand; without the runtime only what is known", async () => {
  const refused = new KubeError("NOT_FOUND", "no such resource", { status: 404 });
  const answer = { status: 200, body: METRICS, milliseconds: 3 };
  const [own] = await setUp([readyPod("a", "p1")], async () => answer, refused);
  assert.deepEqual([own?.cpuSeconds, own?.cpuRate, own?.memoryBytes], [12.5, undefined, 90_000_000]);
  const [bare] = await setUp([readyPod("a", "p1")], async () => undefined, refused);
  assert.deepEqual([bare?.cpuSeconds, bare?.memoryBytes, bare?.requests], [null, null, null]);
});

test("1,000 replicas are asked a few at a time; those that end or wait are not asked", async () => {
  let [now, most] = [0, 0];
  const pods = Array.from({ length: 1000 }, (_, n) => readyPod("a", `p${n}`));
  const ending = readyPod("a", "ending");
  ending.metadata.deletionTimestamp = "2030-01-01T00:01:00Z";
  const waiting = readyPod("a", "waiting");
  waiting.status = { containerStatuses: [{ name: "agent", state: { waiting: {} } }] };
  const samples = await setUp([...pods, ending, waiting], async () => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setImmediate(resolve));
    now -= 1;
    return undefined;
  });
  assert.deepEqual([samples.length, most], [1000, 16]);
});

test("through the API server a pod is asked by its name; what does not answer is not there", async () => {
  const asked: unknown[] = [];
  const access = createPodAccess(
    {
      podProxy: async (...call) => {
        asked.push(call);
        if (call[3] === "/health") throw new KubeError("UNREACHABLE", "no answer");
        return { status: 200, body: "x" };
      },
    },
    "proxy",
    "a-secret",
  );
  assert.equal((await access.get(readyPod("a", "p1"), "/metrics", 2000))?.body, "x");
  assert.equal(await access.get(readyPod("a", "p1"), "/health", 2000), undefined);
  assert.deepEqual(asked[0], [
    "agents-u1",
    "p1",
    8080,
    "/metrics",
    2000,
    { "x-launchpad-probe": probeKeyOf("a-secret", "a") },
  ]);
  await access.close();
});

test("a pod without an address, or that nobody listens at, gives no answer", async () => {
  const access = createPodAccess({ podProxy: async () => assert.fail() }, "direct", "a-secret");
  const { podIP: _, ...status } = readyPod("a", "p1").status ?? {};
  assert.equal(await access.get(readyPod("a", "p1", { status }), "/health", 500), undefined);
  const nobody = readyPod("a", "p1", { status: { ...status, podIP: "127.0.0.1" } });
  assert.equal(await access.get(nobody, "/health", 500), undefined);
  await access.close();
});

test("quantities are read in every notation", () => {
  for (const [text, expected] of [
    ["250m", 0.25],
    ["12345678n", 0.012345678],
    ["128974848", 128_974_848],
    ["129e6", 129_000_000],
    ["129M", 129_000_000],
    ["1.5Gi", 1_610_612_736],
    ["2", 2],
    ["", undefined],
    ["much", undefined],
    [undefined, undefined],
  ] as const) {
    const value = parseQuantity(text);
    assert.ok(
      value === expected || Math.abs((value ?? Number.NaN) - (expected ?? Number.NaN)) < 1e-9,
      `${text}: ${value}`,
    );
  }
});
