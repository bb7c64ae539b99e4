// The brake's wishes in the database: only operators set them, and every controller is told with each heartbeat.
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { anon, createUser, liftRateLimits, rpc, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;

before(async () => {
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
after(() => db.destroy());

const call = async (name: string, args: Record<string, unknown> = {}) =>
  (await rpc(db, service, name, args)).body;
const beat = async () =>
  (await call("heartbeat_controller", { worker: "w", lease_seconds: 15, report: {} })).fleet;

test("a new project holds nothing, has adopted nothing and released nothing", async () => {
  const { installation, ...rest } = await beat();
  assert.match(installation, /^[0-9a-f-]{36}$/);
  assert.deepEqual(rest, { adopted: [], hold: null, holdReason: null, release: null });
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
