// A controller whose address leads to another, an empty or an older database: what runs stays, but for the brake's share.
import assert from "node:assert/strict";
import { test } from "vitest";
import { LABELS } from "../cluster/kubernetes/names.ts";
import { KubernetesSimulation } from "./kubernetes-simulation.ts";
import { MemoryDatabase, specOf } from "./memory-database.ts";
import { Simulation } from "./simulation.ts";

const AGENTS = 40;
const USERS = 20;
/** Fifteen sweeps. */
const WHILE = 900_000;

function launchAll(database: MemoryDatabase, from = 0, to = AGENTS): void {
  for (let index = from; index < to; index += 1) {
    database.launch(`agent-${index}`, specOf(), 1, `user-${index % USERS}`);
  }
}

async function kubernetes(controllers = 2): Promise<KubernetesSimulation> {
  const simulation = new KubernetesSimulation(1, controllers);
  simulation.faults.on = false;
  launchAll(simulation.database);
  await simulation.clock.advance(120_000);
  assert.deepEqual(counted(simulation), { agents: AGENTS, namespaces: USERS });
  return simulation;
}

function counted({ model }: KubernetesSimulation): { agents: number; namespaces: number } {
  const named = model.all("Deployment").map(({ metadata }) => metadata.labels?.[LABELS.agent]);
  const ready = model.all("Namespace").filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  return { agents: new Set(named).size, namespaces: ready.length };
}

const troubles = ({ sites }: KubernetesSimulation) => sites.map(({ life }) => life?.controller.trouble ?? "");
const stopped = ({ sites }: KubernetesSimulation) =>
  sites.map(({ life }) => Object.fromEntries(life?.controller.guard.stopped ?? []));

for (const restarts of [false, true]) {
  const when = restarts ? "at its start" : "in mid-life";
  for (const filled of [false, true]) {
    const what = filled ? "another database with agents" : "another, empty database";
    test(`Kubernetes, ${what} ${when}: nothing is written, and the error names the cure`, async (context) => {
      const simulation = await kubernetes();
      context.onTestFinished(() => simulation.stop());
      const right = simulation.database;
      simulation.database = new MemoryDatabase(simulation.clock, "another");
      if (filled) simulation.database.launch("agent-of-another", specOf(), 1, "stranger");
      if (restarts) simulation.restart();
      const from = simulation.model.writes.length;
      await simulation.clock.advance(WHILE);
      assert.deepEqual(simulation.model.writes.slice(from), []);
      assert.deepEqual(counted(simulation), { agents: AGENTS, namespaces: USERS });
      for (const trouble of troubles(simulation)) {
        assert.match(trouble, /belongs to the database simulated.*leads to the database another/s);
        assert.match(trouble, /launchpad fleet adopt simulated/);
      }

      simulation.database = right;
      right.scale("agent-0", 3);
      await simulation.clock.advance(120_000);
      assert.deepEqual(troubles(simulation), ["", ""]);
      assert.equal(right.row("agent-0").readyReplicas, 3);
    });
  }
}

test("Kubernetes, the same database emptied: the brake stops all, a person's word lets it go", async (context) => {
  const simulation = await kubernetes();
  context.onTestFinished(() => simulation.stop());
  simulation.database = new MemoryDatabase(simulation.clock);
  await simulation.clock.advance(WHILE);
  assert.deepEqual(counted(simulation), { agents: AGENTS, namespaces: USERS });
  assert.ok(stopped(simulation).some(({ agents }) => agents?.count === AGENTS && agents.total === AGENTS));

  simulation.database.fleet.release = { removals: 39, seconds: WHILE };
  await simulation.clock.advance(WHILE);
  assert.deepEqual(counted(simulation), { agents: AGENTS, namespaces: USERS }, "more than was confirmed");
  simulation.database.fleet.release = { removals: AGENTS, seconds: WHILE };
  await simulation.clock.advance(WHILE);
  assert.deepEqual(counted(simulation), { agents: 0, namespaces: 0 });
});

for (const [later, removed] of [
  [5, 5],
  [6, 0],
  [30, 0],
] as const) {
  test(`Kubernetes, a backup older by ${later} agents: ${removed} are removed`, async (context) => {
    const simulation = await kubernetes();
    context.onTestFinished(() => simulation.stop());
    const backup = simulation.database.copy();
    launchAll(simulation.database, AGENTS, AGENTS + later);
    await simulation.clock.advance(120_000);
    simulation.database = backup;
    await simulation.clock.advance(WHILE);
    assert.deepEqual(counted(simulation), { agents: AGENTS + later - removed, namespaces: USERS });
    assert.deepEqual(troubles(simulation), ["", ""]);
    const known = [...backup.rows.values()];
    assert.ok(known.every(({ phase }) => phase === "DEPLOYED"));
  });
}

test("Kubernetes, another database that adopts: what it does not know waits for the brake", async (context) => {
  const simulation = await kubernetes();
  context.onTestFinished(() => simulation.stop());
  simulation.database = new MemoryDatabase(simulation.clock, "another");
  simulation.database.fleet.adopted.push("simulated");
  simulation.database.launch("agent-new", specOf(), 1, "user-0");
  await simulation.clock.advance(WHILE);
  assert.deepEqual(troubles(simulation), ["", ""]);
  assert.equal(simulation.database.row("agent-new").phase, "DEPLOYED");
  assert.deepEqual(counted(simulation), { agents: AGENTS + 1, namespaces: USERS });
});

test("Kubernetes, held by operators: not even one agent that is gone is removed", async (context) => {
  const simulation = await kubernetes();
  context.onTestFinished(() => simulation.stop());
  simulation.database.fleet.hold = "removals";
  simulation.database.rows.delete("agent-0");
  await simulation.clock.advance(WHILE);
  assert.equal(counted(simulation).agents, AGENTS);
  simulation.database.fleet.hold = null;
  await simulation.clock.advance(WHILE);
  assert.equal(counted(simulation).agents, AGENTS - 1);
});

test("Kubernetes, everything held: nothing is written, what was asked for comes after", async (context) => {
  const simulation = await kubernetes();
  context.onTestFinished(() => simulation.stop());
  simulation.database.fleet.hold = "everything";
  await simulation.clock.advance(10_000);
  simulation.database.scale("agent-0", 3);
  const from = simulation.model.writes.length;
  await simulation.clock.advance(WHILE);
  assert.deepEqual(simulation.model.writes.slice(from), []);
  simulation.database.fleet.hold = null;
  await simulation.clock.advance(60_000);
  assert.equal(simulation.database.row("agent-0").readyReplicas, 3);
});

test("Kubernetes, a gone user's namespace with a foreign object stays until the object is gone", async (context) => {
  const simulation = await kubernetes(1);
  context.onTestFinished(() => simulation.stop());
  const { clock, database, model } = simulation;
  model.create("Secret", "somebody", {
    metadata: { name: "theirs", namespace: "agents-user-0" },
    data: { key: "dmFsdWU=" },
  });
  for (const row of database.rows.values()) if (row.userId === "user-0") database.delete(row.agentId);
  await clock.advance(WHILE);
  assert.deepEqual(counted(simulation), { agents: AGENTS - 2, namespaces: USERS });
  assert.ok(model.get("Secret", "agents-user-0", "theirs"));
  model.remove("Secret", "agents-user-0", "theirs");
  await clock.advance(WHILE);
  assert.deepEqual(counted(simulation), { agents: AGENTS - 2, namespaces: USERS - 1 });
});

test("Kubernetes, a namespace without the database's mark, or with another's: nothing in it is removed", async (context) => {
  const simulation = await kubernetes(1);
  context.onTestFinished(() => simulation.stop());
  const { clock, database, model } = simulation;
  for (const row of [...database.rows.values()]) {
    if (row.userId === "user-0" || row.userId === "user-1") database.rows.delete(row.agentId);
  }
  model.edit("Namespace", "", "agents-user-0", "somebody", ({ metadata }) => {
    metadata.annotations = { ...metadata.annotations, "agent-launchpad.dev/database": "a-third" };
  });
  model.edit("Namespace", "", "agents-user-1", "somebody", ({ metadata }) => {
    metadata.annotations = {};
  });
  await clock.advance(WHILE);
  assert.deepEqual(counted(simulation), { agents: AGENTS, namespaces: USERS });
  assert.deepEqual(troubles(simulation), [""], "one foreign namespace does not stop the rest");
});

test("Kubernetes, agents and users whose end the database has seen: the brake does not count them", async (context) => {
  const simulation = await kubernetes(1);
  context.onTestFinished(() => simulation.stop());
  const { clock, database } = simulation;
  // As after a controller that said so and was killed before its last calls took effect.
  for (const row of database.rows.values())
    Object.assign(row, { desired: "absent", phase: "DELETED", holder: undefined });
  await clock.advance(WHILE);
  assert.deepEqual(stopped(simulation), [{}]);
  assert.deepEqual(counted(simulation), { agents: 0, namespaces: 0 });
});

async function processes(): Promise<Simulation> {
  const simulation = new Simulation({ seed: 1, controllers: 1, replicasSurvive: false });
  simulation.faults.on = false;
  launchAll(simulation.database);
  await simulation.clock.advance(60_000);
  assert.equal(running(simulation), AGENTS);
  return simulation;
}

const running = ({ sites }: Simulation) =>
  sites.reduce((sum, { cluster }) => sum + cluster.running().length, 0);

test("processes, another database in mid-life: every replica runs on, and is taken up again", async () => {
  const simulation = await processes();
  const right = simulation.database;
  const names = simulation.sites[0]?.cluster.running().map(({ name }) => name);
  simulation.database = new MemoryDatabase(simulation.clock, "another");
  simulation.database.launch("agent-of-another", specOf());
  await simulation.clock.advance(WHILE);
  assert.equal(running(simulation), AGENTS);
  assert.match(simulation.sites[0]?.life?.controller.trouble ?? "", /belongs to the database simulated/);
  simulation.database = right;
  right.scale("agent-0", 2);
  await simulation.clock.advance(120_000);
  assert.equal(running(simulation), AGENTS + 1);
  const now = new Set(simulation.sites[0]?.cluster.running().map(({ name }) => name));
  assert.ok(
    names?.every((name) => now.has(name)),
    "no replica was replaced",
  );
});

test("processes, the same database emptied: at most the brake's share of the replicas ends", async () => {
  const simulation = await processes();
  simulation.database = new MemoryDatabase(simulation.clock);
  await simulation.clock.advance(2 * WHILE);
  assert.ok(running(simulation) >= AGENTS - 5, `${running(simulation)} of ${AGENTS} run`);
  simulation.database.fleet.release = { removals: AGENTS, seconds: WHILE };
  await simulation.clock.advance(120_000);
  assert.equal(running(simulation), 0);
});

for (const later of [3, 20]) {
  test(`processes, a backup older by ${later} agents: those it knows run on`, async () => {
    const simulation = await processes();
    const backup = simulation.database.copy();
    launchAll(simulation.database, AGENTS, AGENTS + later);
    await simulation.clock.advance(60_000);
    assert.equal(running(simulation), AGENTS + later);
    simulation.database = backup;
    await simulation.clock.advance(WHILE);
    const most = Math.min(later, Math.max(5, Math.floor((AGENTS + later) / 10)));
    assert.ok(running(simulation) >= AGENTS + later - most, `${running(simulation)} run`);
    assert.ok([...backup.rows.values()].every(({ phase }) => phase === "DEPLOYED"));
  });
}
