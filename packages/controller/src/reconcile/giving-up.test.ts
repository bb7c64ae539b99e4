// Before a generation is given up, the cluster is asked itself, and what it says is judged again.
import assert from "node:assert/strict";
import { test } from "vitest";
import type { Cluster, ObservedReplica } from "../cluster/cluster.ts";
import { type Behaviour, MemoryCluster } from "../cluster/memory.ts";
import { silentLog } from "../log.ts";
import { Controller } from "../loop/controller.ts";
import { MemoryDatabase, specOf } from "../testing/memory-database.ts";
import { SimulatedClock, seededRandom } from "../testing/simulated-clock.ts";

/** A controller on a cluster that tells of nothing after a replica's start, until it is asked. */
function rig(behaviour: Behaviour) {
  const clock = new SimulatedClock();
  const database = new MemoryDatabase(clock);
  const cluster: Cluster = new MemoryCluster({ clock, behave: () => behaviour });
  const get = cluster.get.bind(cluster);
  const startedAt = clock.now();
  const started = ({ name, template }: ObservedReplica): ObservedReplica => ({
    name,
    template,
    state: "starting",
    failures: 0,
    startedAt,
  });
  let asked = 0;
  cluster.get = async (agentId) => {
    const workload = await get(agentId);
    if (workload === undefined || asked > 0) return workload;
    return { ...workload, progressedAt: startedAt, replicas: workload.replicas.map(started) };
  };
  cluster.refresh = async () => {
    asked += 1;
  };
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
  return { clock, controller, database, asked: () => asked };
}

test("an agent that was ready before its time was up is DEPLOYED, not FAILED", async () => {
  const { asked, clock, controller, database } = rig({ does: "ready", afterMs: 50 });
  database.launch("agent-a", specOf());
  controller.start();
  await clock.advance(50_000);
  assert.equal(asked(), 0);
  assert.equal(database.row("agent-a").phase, "DEPLOYING");
  await clock.advance(20_000);
  assert.equal(database.row("agent-a").phase, "DEPLOYED");
  assert.ok(!database.transitions.some((one) => one.endsWith("FAILED")), database.transitions.join());
  assert.equal(asked(), 1);
  await controller.stop();
});

test("an agent that crashes is told as a crash loop, not as one that was never ready", async () => {
  const { clock, controller, database } = rig({ does: "crash", afterMs: 50 });
  database.launch("agent-a", specOf());
  controller.start();
  await clock.advance(70_000);
  const { phase, reason } = database.row("agent-a");
  assert.deepEqual({ phase, reason }, { phase: "FAILED", reason: "CRASH_LOOP" });
  await controller.stop();
});
