// A model of the queue under a clock: what faulty agents cost, and what brings them forward.
import assert from "node:assert/strict";
import { test } from "vitest";
import { KubeError } from "../cluster/kubernetes/api.ts";
import { MemoryCluster } from "../cluster/memory.ts";
import { silentLog } from "../log.ts";
import { MemoryDatabase, specOf } from "../testing/memory-database.ts";
import { SimulatedClock, seededRandom } from "../testing/simulated-clock.ts";
import { Controller } from "./controller.ts";
import { KeyedQueue } from "./keyed-queue.ts";

const TEN_MINUTES = 600_000;

/** A controller on a cluster whose apply fails for agents named here, and which tells of changes all the time. */
function rig(code: "SERVER" | "FORBIDDEN" | "CONFLICT" = "SERVER") {
  const clock = new SimulatedClock();
  const model = new MemoryDatabase(clock);
  const cluster = new MemoryCluster({ clock, behave: () => ({ does: "ready", afterMs: 50 }) });
  const faulty = new Set<string>();
  const applied = new Map<string, number>();
  const apply = cluster.apply.bind(cluster);
  cluster.apply = async (workload) => {
    applied.set(workload.agentId, (applied.get(workload.agentId) ?? 0) + 1);
    if (faulty.has(workload.agentId)) throw new KubeError(code, "a webhook does not answer");
    await apply(workload);
  };
  let told: (agentId: string) => void = () => {};
  const watch = cluster.watch.bind(cluster);
  cluster.watch = (listener) => {
    told = listener;
    watch(listener);
  };
  const controller = new Controller({
    worker: "w",
    database: model,
    cluster,
    clock,
    random: seededRandom(1),
    log: silentLog,
    limits: { readyMs: 60_000, crashLimit: 3 },
    pollSeconds: 5,
    leaseSeconds: 15,
    concurrency: 4,
    urlOf: (agentId) => `http://${agentId}`,
    describe: async () => ({}),
  });
  return { clock, model, cluster, controller, faulty, applied, tell: (agentId: string) => told(agentId) };
}

for (const code of ["SERVER", "FORBIDDEN"] as const) {
  test(`20 faulty agents (${code}) cost at most 8 attempts each in ten minutes of watch events`, async () => {
    const { applied, clock, controller, faulty, model, tell } = rig(code);
    const agents = Array.from({ length: 21 }, (_, index) => `agent-${index}`);
    for (const agentId of agents) model.launch(agentId, specOf());
    controller.start();
    await clock.advance(5000);
    for (const agentId of agents.slice(0, 20)) faulty.add(agentId);
    applied.clear();
    for (const agentId of agents) model.update(agentId, { model: "another" });
    controller.hint();
    for (let at = 0; at < TEN_MINUTES; at += 1000) {
      for (const agentId of agents) tell(agentId);
      await clock.advance(1000);
    }
    assert.equal(model.row("agent-20").phase, "DEPLOYED", "others are not held up");
    for (const agentId of agents.slice(0, 20)) {
      const attempts = applied.get(agentId) ?? 0;
      // Three calls each at most, where the client tries again on its own.
      assert.ok(attempts >= 5 && attempts <= 8, `${agentId}: ${attempts} attempts`);
    }
    await controller.stop();
  });
}

test("20 faulty launches, given back each time, cost at most 8 attempts each in ten minutes", async () => {
  const { applied, clock, controller, faulty, model } = rig();
  for (let index = 0; index < 20; index += 1) {
    faulty.add(`agent-${index}`);
    model.launch(`agent-${index}`, specOf());
  }
  controller.start();
  await clock.advance(TEN_MINUTES);
  for (const attempts of applied.values()) assert.ok(attempts >= 5 && attempts <= 8, `${attempts} attempts`);
  await controller.stop();
});

test("a new generation brings a faulty agent forward at once", async () => {
  const { applied, clock, controller, faulty, model } = rig();
  model.launch("agent-a", specOf());
  controller.start();
  await clock.advance(5000);
  faulty.add("agent-a");
  model.update("agent-a", { model: "bad" });
  controller.hint();
  await clock.advance(120_000);
  faulty.clear();
  applied.clear();
  await clock.advance(10_000);
  assert.equal(applied.size, 0, "it rests");
  model.update("agent-a", { model: "good" });
  controller.hint();
  await clock.advance(1000);
  assert.equal(model.row("agent-a").phase, "DEPLOYED");
  await controller.stop();
});

test("a key that rests works when its time is up or it is brought forward, and not before", async () => {
  const clock = new SimulatedClock();
  const log: number[] = [];
  const queue = new KeyedQueue(clock, 1, async () => {
    log.push(clock.now());
  });
  const start = clock.now();
  queue.rest("a", 1000);
  queue.enqueue("a");
  queue.enqueueAfter("a", 10);
  await clock.advance(999);
  assert.deepEqual(log, []);
  await clock.advance(1);
  assert.deepEqual(log, [start + 1000]);
  queue.rest("a", 60_000);
  queue.bringForward("a");
  await clock.advance(1);
  assert.equal(log.length, 2);
  await clock.advance(120_000);
  assert.equal(log.length, 2, "the time that was set is forgotten");
});

test("what asks for a key while its work fails does not undo its rest", async () => {
  const clock = new SimulatedClock();
  let works = 0;
  const queue: KeyedQueue = new KeyedQueue(clock, 1, async () => {
    works += 1;
    queue.enqueue("a");
    await Promise.resolve();
    queue.rest("a", 1000);
  });
  queue.enqueue("a");
  await clock.advance(500);
  assert.equal(works, 1);
});
