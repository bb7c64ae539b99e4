// Sleep and wake at a model of the API server: no moment without somebody behind the agent's Service.
import assert from "node:assert/strict";
import { type TestContext, test } from "vitest";
import { silentLog } from "../../log.ts";
import { KubernetesControllers } from "../../testing/kubernetes-controllers.ts";
import { KubernetesModel } from "../../testing/kubernetes-model.ts";
import { SimulatedClock, seededRandom } from "../../testing/simulated-clock.ts";
import { Workloads } from "./agent-workloads.ts";
import { type KubeApi, KubeError } from "./api.ts";
import { readySince } from "./observe/crashes.ts";
import type { Deployment, Pod } from "./observe/objects.ts";
import { ClusterView, OBSERVED_KINDS } from "./observe/view.ts";
import { guardOf, manifestOptionsOf, workloadOf } from "./testing.ts";

async function rig(context: TestContext) {
  const clock = new SimulatedClock();
  const model = new KubernetesModel(clock);
  const random = seededRandom(1);
  let behaviour: "ready" | "crash" = "ready";
  let answersLost = false;
  new KubernetesControllers(model, clock, random, () => behaviour);
  const api = {
    get: async (...asked: Parameters<KubeApi["get"]>) => model.get(...asked),
    list: async (...asked: Parameters<KubeApi["list"]>) => model.list(...asked),
    apply: async (...asked: Parameters<KubeApi["apply"]>) => {
      const answer = model.apply(...asked);
      if (answersLost && asked[0].kind === "Deployment") throw new KubeError("UNREACHABLE", "no answer");
      return answer;
    },
    patch: async (...asked: Parameters<KubeApi["patch"]>) => model.patch(...asked),
    delete: async (...asked: Parameters<KubeApi["delete"]>) => model.delete(...asked),
    watch: async (kind, query, onEvent) => {
      const end = model.watch(kind, query.resourceVersion, query, onEvent);
      query.onOpen?.();
      await new Promise<void>((resolve) => query.signal?.addEventListener("abort", () => resolve()));
      end();
    },
  } as Partial<KubeApi> as KubeApi;
  let addresses: string[] = ["10.0.0.1", "10.0.0.2"];
  const manifests = manifestOptionsOf({ door: { addresses: () => addresses, port: 8081 } });
  const common = { clock, random, log: silentLog, resyncSeconds: 600 };
  const { installation, namespacePrefix } = manifests;
  const kinds = OBSERVED_KINDS.filter((kind) => kind !== "HTTPRoute");
  const view = new ClusterView({ ...common, api, kinds, installation, namespacePrefix });
  let responsible = true;
  const workloads = new Workloads(api, view, {
    ...common,
    ...manifests,
    responsible: () => responsible,
    owner: () => undefined,
    guard: guardOf(),
    gone: async () => {
      throw new Error("nobody sweeps here");
    },
  });
  await view.start();
  context.onTestFinished(async () => {
    await Promise.all([workloads.stop(), view.stop()]);
  });
  const slices = () => model.all("EndpointSlice");
  const pods = () =>
    model.all("Pod").filter((pod) => readySince(pod as Pod) !== undefined && !pod.metadata.deletionTimestamp);
  const replicas = () => (model.all("Deployment")[0] as Deployment | undefined)?.spec?.replicas;
  return {
    clock,
    model,
    pods,
    replicas,
    slices,
    workloads,
    moveTo: (...next: string[]) => {
      addresses = next;
    },
    behave: (next: typeof behaviour) => {
      behaviour = next;
    },
    loseAnswers: () => {
      answersLost = true;
    },
    handOver: () => {
      responsible = false;
    },
  };
}

const sleeper = (generation: number) => workloadOf({ generation });

test("going to sleep and waking up there is always a pod or a controller behind the Service", async (context) => {
  const { clock, model, pods, replicas, slices, workloads } = await rig(context);
  await workloads.apply(sleeper(1));
  await clock.advance(30_000);
  assert.deepEqual([pods().length, slices().length], [1, 0]);
  const unserved: string[] = [];
  const changed = model.changed;
  model.changed = () => {
    if (pods().length + slices().length === 0) unserved.push(model.writes.at(-1) ?? "");
    changed();
  };

  await workloads.sleep(sleeper(2));
  await clock.advance(60_000);
  assert.deepEqual([replicas(), pods().length, slices().length], [0, 0, 1]);
  const observed = workloads.get("agent-1");
  assert.deepEqual([observed?.asleep, observed?.wanted, observed?.replicas], [true, 0, []]);

  await workloads.apply(sleeper(3));
  assert.equal(workloads.get("agent-1")?.asleep, undefined);
  for (let waited = 0; pods().length === 0 && waited < 60_000; waited += 100) await clock.advance(100);
  assert.deepEqual([pods().length, slices().length], [1, 1]);
  // Every proxy must know the pod before the controllers step aside.
  await clock.advance(9000);
  assert.equal(slices().length, 1);
  await clock.advance(2000);
  assert.deepEqual([pods().length, slices().length], [1, 0]);
  assert.deepEqual(unserved, []);
});

test("sleep asked for again writes nothing", async (context) => {
  const { clock, model, workloads } = await rig(context);
  await workloads.apply(sleeper(1));
  await clock.advance(30_000);
  await workloads.sleep(sleeper(2));
  await clock.advance(30_000);
  const before = model.writes.length;
  await workloads.sleep(sleeper(2));
  await clock.advance(1_300_000);
  assert.deepEqual(model.writes.slice(before), []);
  assert.deepEqual(workloads.get("agent-1")?.drift, undefined);
});

test("without a known controller nothing goes to sleep", async (context) => {
  const { clock, moveTo, replicas, slices, workloads } = await rig(context);
  await workloads.apply(sleeper(1));
  await clock.advance(30_000);
  moveTo();
  await assert.rejects(
    workloads.sleep(sleeper(2)),
    (error) => error instanceof KubeError && error.code === "BUSY",
  );
  assert.deepEqual([replicas(), slices().length], [1, 0]);
});

test("a controller that comes or goes moves every door, and a family that is gone goes", async (context) => {
  const { clock, moveTo, slices, workloads } = await rig(context);
  moveTo("10.0.0.1", "fd00::1");
  await workloads.sleep(sleeper(1));
  assert.deepEqual(
    slices()
      .map(({ metadata }) => metadata.name)
      .sort(),
    ["agent-1-door-ipv4", "agent-1-door-ipv6"],
  );
  moveTo("10.0.0.3");
  await workloads.moveDoors();
  await clock.advance(1000);
  assert.deepEqual(
    slices().map(({ endpoints, metadata }) => [
      metadata.name,
      (endpoints as { addresses: string[] }[]).flatMap(({ addresses }) => addresses),
    ]),
    [["agent-1-door-ipv4", ["10.0.0.3"]]],
  );
});

test("a door that somebody removed or changed is made again, without a word to the agent's owner", async (context) => {
  const { clock, model, slices, workloads } = await rig(context);
  await workloads.sleep(sleeper(1));
  const [slice] = slices();
  assert.ok(slice);
  model.remove("EndpointSlice", slice.metadata.namespace ?? "", slice.metadata.name);
  await clock.advance(1000);
  assert.equal(slices().length, 1);
  model.edit("EndpointSlice", slice.metadata.namespace ?? "", slice.metadata.name, "someone", (object) => {
    object.endpoints = [];
  });
  await clock.advance(1000);
  assert.equal((slices().at(0)?.endpoints as unknown[] | undefined)?.length, 2);
  assert.equal(workloads.get("agent-1")?.drift, undefined);
});

test("an agent that wakes and does not start keeps its door: callers are told why", async (context) => {
  const { behave, clock, slices, workloads } = await rig(context);
  await workloads.sleep(sleeper(1));
  behave("crash");
  await workloads.apply(sleeper(2));
  await clock.advance(120_000);
  assert.equal(slices().length, 1);
});

test("stopped, deleted or scaled to nothing, a sleeping agent has no door", async (context) => {
  const { clock, slices, workloads } = await rig(context);
  await workloads.sleep(sleeper(1));
  await workloads.apply(workloadOf({ generation: 2, replicas: 0 }));
  await clock.advance(1000);
  assert.equal(slices().length, 0);
  await workloads.sleep(sleeper(3));
  assert.equal(slices().length, 1);
  await workloads.remove("agent-1");
  await clock.advance(1000);
  assert.equal(slices().length, 0);
});

test("a sleep whose answer is lost keeps its door: the agent may sleep all the same", async (context) => {
  const { clock, loseAnswers, replicas, slices, workloads } = await rig(context);
  await workloads.apply(sleeper(1));
  await clock.advance(60_000);
  loseAnswers();
  await assert.rejects(workloads.sleep(sleeper(2)));
  await clock.advance(60_000);
  assert.deepEqual([replicas(), slices().length], [0, 1]);
});

test("another controller's agents are left alone", async (context) => {
  const { clock, handOver, model, moveTo, slices, workloads } = await rig(context);
  await workloads.sleep(sleeper(1));
  handOver();
  const before = model.writes.length;
  moveTo("10.0.0.9");
  await workloads.moveDoors();
  await clock.advance(60_000);
  assert.deepEqual(model.writes.slice(before), []);
  assert.equal(slices().length, 1);
});
