// The brake's wishes in the database: only operators set them, and every controller is told with each heartbeat.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, test } from "vitest";
import { REFUSALS } from "../../packages/controller/src/cluster/cluster.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { anon, createUser, liftRateLimits, rpc, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;

beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  alice = await createUser(db);
});
beforeEach(async () => {
  await db.pool.query(
    `update private.fleet set hold = null, hold_reason = null, held_at = null, released_removals = 0,
       released_until = null, adopted = '{}' where only_one`,
  );
});
afterAll(() => db.destroy());

const call = async (name: string, args: Record<string, unknown> = {}) =>
  (await rpc(db, service, name, args)).body;
const beat = async () =>
  (await call("heartbeat_controller", { worker: "w", lease_seconds: 15, report: {} })).fleet;

test("a new project holds nothing, has adopted nothing and released nothing", async () => {
  const { installation, ...rest } = await beat();
  assert.match(installation, /^[0-9a-f-]{36}$/);
  assert.deepEqual(rest, { adopted: [], hold: null, holdReason: null, release: null, rollout: null });
});

test("a hold is told with the next heartbeat and each answer about what is gone, until it is released", async () => {
  await call("fleet_hold", { reason: "an incident" });
  const held = await beat();
  assert.deepEqual([held.hold, held.holdReason], ["removals", "an incident"]);
  assert.deepEqual((await call("gone_workloads", { held: { agents: [], users: [] } })).fleet, held);
  await call("fleet_hold", { scope: "everything" });
  assert.equal((await beat()).hold, "everything");
  await call("fleet_release");
  assert.equal((await beat()).hold, null);
});

test("a release of removals runs out, and a hold ends it", async () => {
  await call("fleet_release", { removals: 37, minutes: 15 });
  const { release } = await beat();
  assert.equal(release.removals, 37);
  assert.ok(release.seconds > 890 && release.seconds <= 900, `${release.seconds}`);
  await db.pool.query("update private.fleet set released_until = now() - interval '1 second' where only_one");
  assert.equal((await beat()).release, null);
  await call("fleet_release", { removals: 37 });
  await call("fleet_hold");
  assert.equal((await beat()).release, null);
});

test("adopting names another database, once", async () => {
  const other = "0f8fad5b-d9cb-469f-a165-70867728950e";
  await call("fleet_adopt", { installation: other });
  await call("fleet_adopt", { installation: other });
  const { adopted, installation } = await beat();
  assert.deepEqual(adopted, [other]);
  for (const wrong of [installation, "", "Not An Id", null]) {
    const { status, body } = await rpc(db, service, "fleet_adopt", { installation: wrong });
    assert.equal(status, 400, JSON.stringify(wrong));
    assert.deepEqual(Object.keys(JSON.parse(body.details)), ["installation"]);
  }
});

test("the status shows controllers with what stopped them, and who did what", async () => {
  const stopped = { agents: { count: 37, total: 40, examples: ["agent-1"] } };
  await call("heartbeat_controller", { worker: "w", lease_seconds: 15, report: { fleet: { stopped } } });
  await call("fleet_hold", { reason: "why" });
  const status = await call("fleet_status");
  const [controller] = status.controllers;
  assert.deepEqual([controller.worker, controller.alive, controller.fleet], ["w", true, { stopped }]);
  assert.equal(status.actions[0].action, "hold");
  assert.deepEqual(status.actions[0].details, { scope: "removals", reason: "why" });
});

test("wrong scopes and numbers are refused by field", async () => {
  for (const [name, args, field] of [
    ["fleet_hold", { scope: "all" }, "scope"],
    ["fleet_hold", { reason: "x".repeat(501) }, "reason"],
    ["fleet_release", { removals: -1 }, "removals"],
    ["fleet_release", { removals: 1, minutes: 0 }, "minutes"],
  ] as const) {
    const { status, body } = await rpc(db, service, name, args);
    assert.equal(status, 400, name);
    assert.deepEqual(Object.keys(JSON.parse(body.details)), [field]);
  }
});

test("nobody but an operator may ask: no user, no anonymous caller", async () => {
  for (const who of [anon, user(alice)]) {
    for (const [name, args] of [
      ["fleet_status", {}],
      ["fleet_adopt", { installation: "x" }],
      ["fleet_hold", {}],
      ["fleet_release", {}],
    ] as const) {
      assert.equal((await rpc(db, who, name, args)).status, 403, name);
    }
  }
});

test("while removals are held no files of deleted agents are given out; never those of an agent that exists", async () => {
  await db.pool.query("insert into private.file_removals (agent_id) values ('agent-gone')");
  await call("fleet_hold");
  assert.deepEqual(await call("claim_file_removals"), []);
  await call("fleet_release");
  const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot" } });
  await db.pool.query("insert into private.file_removals (agent_id) values ($1)", [body.agentId]);
  const claimed: { agentId: string }[] = await call("claim_file_removals");
  assert.deepEqual(
    claimed.map(({ agentId }) => agentId),
    ["agent-gone"],
  );
});

interface Claimed {
  agentId: string;
  generation: number;
  leaseToken: string;
  phase: string;
  reason: string | null;
}

/** A deployed agent whose newest generation FAILED for this reason. */
async function failedAgent(reason: string, plugins: string[] = []): Promise<string> {
  const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot", plugins } });
  const claimed: Claimed[] = await call("claim_deployments", { worker: "w" });
  const [mine] = claimed.filter(({ agentId }) => agentId === body.agentId);
  for (const phase of ["DEPLOYING", "FAILED"]) {
    await call("report_deployment", {
      agent_id: mine?.agentId,
      generation: mine?.generation,
      lease_token: mine?.leaseToken,
      report: { phase, reason, currentReplicas: 0 },
    });
  }
  await call("release_worker", { worker: "w" });
  return body.agentId;
}

test("what a rule of the cluster refused is claimed by the next controller with its reason; a crash is not", async () => {
  await db.pool.query(
    "update public.quotas set max_agents = 1000, max_replicas = 1000, max_cpu = 1e6, max_memory = 1e12",
  );
  const refused: [reason: string, agentId: string][] = [];
  for (const reason of REFUSALS) refused.push([reason, await failedAgent(reason)]);
  const crashed = await failedAgent("CRASH_LOOP");
  const claimed: Claimed[] = await call("claim_deployments", { worker: "w2" });
  const of = (id: string) => claimed.find(({ agentId }) => agentId === id);
  for (const [reason, agentId] of refused)
    assert.deepEqual([of(agentId)?.phase, of(agentId)?.reason], ["FAILED", reason]);
  assert.equal(of(crashed), undefined);
  const [[, first = ""] = []] = refused;
  const c = of(first);
  const lease = { agent_id: first, generation: c?.generation, lease_token: c?.leaseToken };
  for (const phase of ["DEPLOYING", "DEPLOYED"]) {
    const { accepted } = await call("report_deployment", { ...lease, report: { phase } });
    assert.equal(accepted, true, phase);
  }
  await db.pool.query(
    "update private.agent_deployments set removed_at = now() where phase = 'FAILED' and reason <> 'CRASH_LOOP'",
  );
});

test("an operator's retry makes a new generation of what FAILED, all or by reason, and hastens what waits", async () => {
  const quota = await failedAgent("QUOTA_EXCEEDED");
  const crashed = await failedAgent("CRASH_LOOP");
  const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "waits" } });
  const [waits] = (await call("claim_deployments", { worker: "w" })).filter(
    ({ agentId }: Claimed) => agentId === body.agentId,
  );
  for (let times = 0; times < 3; times += 1) {
    await call("release_deployment", {
      agent_id: body.agentId,
      lease_token: waits.leaseToken,
      error: "an outage",
    });
  }
  const row = async (id: string) => {
    const { rows } = await db.pool.query(
      "select phase, generation::int, restarts, next_attempt_at <= now() as due from private.agent_deployments where agent_id = $1",
      [id],
    );
    return rows[0];
  };
  assert.equal((await row(body.agentId)).due, false);
  const first = await call("fleet_retry", { reason: "QUOTA_EXCEEDED" });
  assert.deepEqual([first.retried, first.skipped], [1, 0]);
  assert.ok(first.hastened >= 1);
  assert.deepEqual(await row(quota), { phase: "DEPLOYING", generation: 2, restarts: 0, due: true });
  assert.equal((await row(crashed)).phase, "FAILED");
  assert.equal((await row(body.agentId)).due, true);
  assert.ok((await call("fleet_retry")).retried >= 1);
  assert.equal((await row(crashed)).phase, "DEPLOYING");
  const { rows } = await db.pool.query(
    "select actor, message from public.agent_events where agent_id = $1 order by seq desc limit 1",
    [crashed],
  );
  assert.deepEqual(rows, [{ actor: "operator", message: "Tried again by an operator" }]);
});

test("a retry skips what its user's quota does not allow, and tries the rest", async () => {
  const poor = await createUser(db);
  await db.pool.query("update private.agent_deployments set removed_at = now()");
  const fine = await failedAgent("CRASH_LOOP");
  const [was] = [alice];
  alice = poor;
  const bad = await failedAgent("CRASH_LOOP");
  alice = was;
  await db.pool.query("update public.quotas set max_replicas = 0 where user_id = $1", [poor]);
  const { retried, skipped } = await call("fleet_retry");
  assert.deepEqual([retried, skipped], [1, 1]);
  const { rows } = await db.pool.query(
    "select agent_id, phase from private.agent_deployments where removed_at is null",
  );
  assert.deepEqual(Object.fromEntries(rows.map(({ agent_id, phase }) => [agent_id, phase])), {
    [fine]: "DEPLOYING",
    [bad]: "FAILED",
  });
});

test("a retry skips an agent whose plugin the rules refuse now", async () => {
  await db.pool.query("update private.agent_deployments set removed_at = now()");
  const rule = (action: string) =>
    call("put_plugin_rule", { rule: { pattern: "denied-tool", action, reason: "an advisory" } });
  await rule("allow");
  const [plugged, fine] = [await failedAgent("CRASH_LOOP", ["denied-tool"]), await failedAgent("CRASH_LOOP")];
  await rule("deny");
  const phases = async () => {
    const { rows } = await db.pool.query(
      "select agent_id, phase from private.agent_deployments where removed_at is null",
    );
    return Object.fromEntries(rows.map(({ agent_id, phase }) => [agent_id, phase]));
  };
  const { retried, skipped } = await call("fleet_retry");
  assert.deepEqual([retried, skipped], [1, 1]);
  assert.deepEqual(await phases(), { [plugged]: "FAILED", [fine]: "DEPLOYING" });
  await rule("allow");
  assert.equal((await call("fleet_retry")).retried, 1);
  assert.equal((await phases())[plugged], "DEPLOYING");
});

test("the list shows agents of all users, FAILED ones first, filtered and paged", async () => {
  await db.pool.query("update private.agent_deployments set removed_at = now()");
  const deployed = (await rpc(db, user(alice), "launch_agent", { definition: { agentName: "new" } })).body
    .agentId;
  await db.pool.query(
    "update private.agent_deployments set next_attempt_at = now() + interval '1 hour' where agent_id = $1",
    [deployed],
  );
  const failed = await failedAgent("CRASH_LOOP");
  const all = await call("fleet_list");
  assert.equal(all.total, 2);
  assert.deepEqual(
    all.agents.map(({ agentId, phase, userId }: Record<string, string>) => [agentId, phase, userId]),
    [
      [failed, "FAILED", alice],
      [deployed, "QUEUED", alice],
    ],
  );
  assert.deepEqual(
    all.agents.map((agent: { class: string }) => agent.class),
    ["default", "default"],
  );
  await call("fleet_set_class", { name: "small", class: { description: "Small" } });
  await call("fleet_assign_class", { account: alice, class: "small" });
  assert.equal((await call("fleet_list", { phase: "failed" })).agents[0].class, "small");
  await call("fleet_assign_class", { account: alice, class: "default" });
  assert.equal((await call("fleet_list", { phase: "failed" })).agents.length, 1);
  assert.equal((await call("fleet_list", { reason: "OTHER" })).total, 0);
  assert.deepEqual((await call("fleet_list", { max_count: 1, skip: 1 })).agents[0].agentId, deployed);
  for (const who of [anon, user(alice)]) {
    for (const name of ["fleet_list", "fleet_retry"])
      assert.equal((await rpc(db, who, name, {})).status, 403);
  }
});

test("a drained controller holds nothing and claims nothing; others take over; undo or a new start ends it", async () => {
  await db.pool.query("update private.agent_deployments set removed_at = now()");
  await db.pool.query("delete from private.controllers");
  const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "moves" } });
  const ids = async (worker: string) =>
    (await call("claim_deployments", { worker })).map(({ agentId }: Claimed) => agentId);
  assert.deepEqual(await ids("w1"), [body.agentId]);
  const drained = await call("fleet_drain", { controller: "w1" });
  assert.deepEqual(drained, { controller: "w1", drained: true, released: 1 });
  assert.deepEqual(await ids("w1"), []);
  const beat = await call("heartbeat_controller", { worker: "w1", lease_seconds: 15, report: {} });
  assert.deepEqual([beat.held, beat.pending], [0, 0]);
  assert.deepEqual(await ids("w2"), [body.agentId]);
  await call("release_worker", { worker: "w2" });
  await call("fleet_drain", { controller: "w1", undo: true });
  assert.deepEqual(await ids("w1"), [body.agentId]);
  await call("fleet_drain", { controller: "w1" });
  await call("release_worker", { worker: "w1" });
  assert.deepEqual(await ids("w1"), [body.agentId], "it started anew");
  assert.equal((await rpc(db, service, "fleet_drain", { controller: "unheard" })).status, 404);
  assert.equal((await rpc(db, user(alice), "fleet_drain", { controller: "w1" })).status, 403);
});

test("a heartbeat reports how long the oldest agent has waited, by phase, whoever holds it", async () => {
  await db.pool.query("update private.agent_deployments set removed_at = now()");
  const waiting = async () =>
    (await call("heartbeat_controller", { worker: "w1", lease_seconds: 15, report: {} })).waiting;
  assert.deepEqual(await waiting(), {});
  const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "waits" } });
  const change = (sql: string) =>
    db.pool.query(`update private.agent_deployments set ${sql} where agent_id = $1`, [body.agentId]);
  // It waits after an error: no controller holds it.
  await change(
    `next_attempt_at = now() + interval '5 minutes', lease_holder = null,
       timings = jsonb_build_object('requestedAt', private.iso(now() - interval '20 minutes'))`,
  );
  const { QUEUED, ...others } = await waiting();
  assert.ok(QUEUED > 1199 && QUEUED < 1260, `${QUEUED}`);
  assert.deepEqual(others, {});
  await change(`conditions = '[{"type": "Paused", "status": "True"}]'`);
  assert.deepEqual(await waiting(), {}, "an operator paused it");
  await change(`conditions = '[]', observed_generation = generation`);
  assert.deepEqual(await waiting(), {}, "its newest change is carried out");
});

test("the list puts a deployed agent without a ready replica before those that work", async () => {
  await db.pool.query("update private.agent_deployments set removed_at = now()");
  const ids: string[] = [];
  for (const agentName of ["works", "is-down"]) {
    const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName } });
    ids.push(body.agentId);
    await db.pool.query(
      `update private.agent_deployments set phase = 'DEPLOYED', observed_generation = generation, current_replicas = 1,
         ready_replicas = $2 where agent_id = $1`,
      [body.agentId, agentName === "works" ? 1 : 0],
    );
  }
  const { agents } = await call("fleet_list", { phase: "DEPLOYED" });
  assert.deepEqual(
    agents.map(({ agentId }: Claimed) => agentId),
    ids.reverse(),
  );
});
