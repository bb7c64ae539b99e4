import assert from "node:assert/strict";
import { type TestContext, test } from "vitest";
import { MemoryCluster } from "../cluster/memory.ts";
import type { Database } from "../contract.ts";
import { DatabaseError } from "../database.ts";
import { silentLog } from "../log.ts";
import { MemoryDatabase, specOf } from "../testing/memory-database.ts";
import { SimulatedClock, seededRandom } from "../testing/simulated-clock.ts";
import { Controller } from "./controller.ts";

type Name = keyof Database;

/** A controller with a database whose calls can be made to fail, before or after they took effect. */
function rig(context: TestContext) {
  const clock = new SimulatedClock();
  const model = new MemoryDatabase(clock);
  const faults = new Map<Name, "before" | "after">();
  const calls: Name[] = [];
  const database = new Proxy(model as Database, {
    get: (target, name: Name) => {
      return async (...args: unknown[]) => {
        calls.push(name);
        if (faults.get(name) === "before") throw new DatabaseError("unreachable", "no answer");
        const result = await (target[name] as (...args: unknown[]) => Promise<unknown>).apply(target, args);
        if (faults.get(name) === "after") throw new DatabaseError("unreachable", "the answer was lost");
        return result;
      };
    },
  });
  const cluster = new MemoryCluster({ clock, behave: () => ({ does: "ready", afterMs: 50 }) });
  const controller = new Controller({
    worker: "w",
    database,
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
  context.onTestFinished(() => controller.stop());
  /** Forgets the calls so far; returns the function that tells those since. */
  const since = () => {
    const from = calls.length;
    return (name?: Name) => calls.slice(from).filter((call) => name === undefined || call === name).length;
  };
  return { clock, cluster, controller, faults, model, since };
}

test("a launch is claimed at the hint, and settled without a timer", async (context) => {
  const { clock, controller, model } = rig(context);
  controller.start();
  await clock.advance(1000);
  model.launch("agent-a", specOf(), 2);
  controller.hint({ agentId: "agent-a", generation: 1 });
  await clock.advance(51);
  assert.equal(model.row("agent-a").phase, "DEPLOYED");
  assert.equal(model.row("agent-a").readyReplicas, 2);
});

test("without any hint the next heartbeat finds it", async (context) => {
  const { clock, controller, model } = rig(context);
  controller.start();
  await clock.advance(1000);
  model.launch("agent-a", specOf());
  await clock.advance(5100);
  assert.equal(model.row("agent-a").phase, "DEPLOYED");
});

test("a hundred hints make two claims; a hint of what is known makes none", async (context) => {
  const { clock, controller, model, since } = rig(context);
  controller.start();
  await clock.advance(1000);
  model.launch("agent-a", specOf());
  const first = since();
  for (let count = 0; count < 100; count += 1) controller.hint();
  await clock.advance(100);
  assert.equal(first("claimDeployments"), 2);
  const second = since();
  controller.hint({ agentId: "agent-a", generation: 1 });
  await clock.advance(100);
  assert.equal(second(), 0);
});

test("more agents than one claim brings are claimed one batch after the other", async (context) => {
  const { clock, controller, model } = rig(context);
  for (let index = 0; index < 130; index += 1) model.launch(`agent-${index}`, specOf());
  controller.start();
  await clock.advance(200);
  assert.ok([...model.rows.values()].every((row) => row.phase === "DEPLOYED"));
});

test("an idle controller sends a heartbeat each poll and nothing else", async (context) => {
  const { clock, controller, model, since } = rig(context);
  model.launch("agent-a", specOf());
  controller.start();
  await clock.advance(1000);
  const calls = since();
  await clock.advance(60_000);
  assert.equal(calls(), calls("heartbeat"));
  assert.ok(calls() <= 14, `${calls()} heartbeats in a minute`);
});

test("a claim whose answer is lost is no agent lost, and what runs runs on", async (context) => {
  const { clock, cluster, controller, faults, model } = rig(context);
  model.launch("agent-a", specOf());
  controller.start();
  await clock.advance(1000);
  const [before] = cluster.running("agent-a");
  // A settled agent that nobody holds: its claim is not repeated on its own.
  model.launch("agent-b", specOf());
  Object.assign(model.row("agent-b"), { phase: "DEPLOYED", observedGeneration: 1 });
  faults.set("claimDeployments", "after");
  controller.hint();
  await clock.advance(50);
  faults.clear();
  await clock.advance(20_000);
  assert.equal(cluster.running("agent-b").length, 1);
  assert.equal(cluster.running("agent-a")[0]?.name, before?.name);
});

test("a lease that vanished is noticed, and the agent comes back", async (context) => {
  const { clock, cluster, controller, model } = rig(context);
  model.launch("agent-a", specOf());
  controller.start();
  await clock.advance(1000);
  await model.releaseWorker("w");
  await clock.advance(20_000);
  assert.equal(model.row("agent-a").holder, "w");
  assert.equal(cluster.running("agent-a").length, 1);
});

test("cut off for a lease it touches nothing; back again it goes on", async (context) => {
  const { clock, cluster, controller, faults, model } = rig(context);
  model.launch("agent-a", specOf());
  controller.start();
  await clock.advance(1000);
  for (const name of ["heartbeat", "claimDeployments", "reportDeployment"] as const)
    faults.set(name, "before");
  model.scale("agent-a", 3);
  controller.hint();
  await clock.advance(30_000);
  assert.ok(controller.lapsed);
  const replica = cluster.running("agent-a")[0];
  assert.equal(cluster.running("agent-a").length, 1, "it lets run what runs");
  faults.clear();
  await clock.advance(10_000);
  assert.ok(!controller.lapsed);
  assert.equal(cluster.running("agent-a").length, 3);
  assert.ok(cluster.running("agent-a").some((one) => one.name === replica?.name));
});

test("an agent that fails to start for want of its secrets goes back with the error; others are not held up", async (context) => {
  const { clock, controller, model } = rig(context);
  const environment = model.agentEnvironment.bind(model);
  let broken = true;
  model.agentEnvironment = async (agentId, generation, token) => {
    if (broken && agentId === "poison") throw new DatabaseError("unavailable", "vault is broken");
    return await environment(agentId, generation, token);
  };
  model.launch("poison", specOf());
  model.launch("agent-a", specOf());
  controller.start();
  await clock.advance(200);
  assert.equal(model.row("agent-a").phase, "DEPLOYED");
  assert.equal(model.row("poison").attempts, 1);
  assert.equal(model.row("poison").lastError, "vault is broken");
  await clock.advance(120_000);
  assert.ok(model.row("poison").attempts < 12, "the row's backoff is kept");
  broken = false;
  await clock.advance(70_000);
  assert.equal(model.row("poison").phase, "DEPLOYED");
});

test("a stopped agent goes back to everybody", async (context) => {
  const { clock, controller, model } = rig(context);
  model.launch("agent-a", specOf());
  controller.start();
  await clock.advance(1000);
  model.stop("agent-a");
  controller.hint();
  await clock.advance(1000);
  assert.equal(model.row("agent-a").phase, "STOPPED");
  assert.equal(model.row("agent-a").holder, undefined);
  assert.equal(controller.reconciler.held.size, 0);
});

test("settings that no pod can have: nothing is claimed, and the trouble names the value; corrected, work begins", async (context) => {
  const { clock, controller, model, since } = rig(context);
  model.settings = { "tolerations[0].operator": "Must be Equal or Exists" };
  model.launch("agent-a", specOf());
  const calls = since();
  controller.start();
  await clock.advance(60_000);
  assert.equal(calls("claimDeployments"), 0);
  assert.match(
    controller.trouble ?? "",
    /agents\.tolerations\[0\]\.operator: Must be Equal or Exists\. Correct the chart's values/,
  );
  model.settings = {};
  await clock.advance(10_000);
  assert.equal(controller.trouble, undefined);
  assert.equal(model.row("agent-a").phase, "DEPLOYED");
});

test("the secrets of a sleeper are not read; its wake gets them with the claim", async (context) => {
  const { clock, cluster, controller, model, since } = rig(context);
  model.environments.set("agent-a", { TOKEN: "sekrit" });
  model.launch("agent-a", specOf());
  controller.start();
  await clock.advance(1000);
  assert.equal(model.row("agent-a").phase, "DEPLOYED");

  const calls = since();
  model.sleep("agent-a");
  controller.hint();
  await clock.advance(1000);
  assert.equal(model.row("agent-a").phase, "ASLEEP");
  assert.equal(controller.reconciler.held.get("agent-a")?.environment, undefined);
  model.wake("agent-a");
  controller.hint();
  await clock.advance(1000);
  assert.equal(model.row("agent-a").phase, "DEPLOYED");
  assert.equal(calls("agentEnvironment"), 0);
  const held = controller.reconciler.held.get("agent-a");
  assert.deepEqual(held?.environment, { TOKEN: "sekrit" });
  assert.ok(held !== undefined && !("environment" in held.claim), "kept once, and not beside the row");
  assert.equal(cluster.running("agent-a").length, 1);
});

test("a wake whose claim was lost asks for the secrets", async (context) => {
  const { clock, controller, faults, model, since } = rig(context);
  model.launch("agent-a", specOf());
  controller.start();
  await clock.advance(1000);
  model.sleep("agent-a");
  controller.hint();
  await clock.advance(1000);
  const calls = since();
  model.wake("agent-a");
  faults.set("claimDeployments", "after");
  controller.hint();
  await clock.advance(1);
  faults.clear();
  await clock.advance(10_000);
  assert.equal(model.row("agent-a").phase, "DEPLOYED");
  assert.equal(calls("agentEnvironment"), 1);
});
