// A class's pods reach its users' agents as an image does: in waves. A user who gets another class is moved at once.
import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { createUser, liftRateLimits, rpc, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;

beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  alice = await createUser(db);
  bob = await createUser(db);
  await beat();
  for (const owner of [alice, alice, alice, bob]) {
    await rpc(db, user(owner), "launch_agent", { definition: { agentName: "bot" } });
  }
  await ready();
});
afterAll(() => db.destroy());

const call = async (name: string, args: Record<string, unknown> = {}) => {
  const { status, body } = await rpc(db, service, name, args);
  assert.ok(status < 300, JSON.stringify(body));
  return body;
};
const beat = async (image = "runtime:1") => {
  const platform = { content: { image }, percent: 10, maxFailures: 0, soakSeconds: 0 };
  return (await call("heartbeat_controller", { worker: "w", lease_seconds: 600, report: { platform } })).fleet
    .rollout;
};
/** As the controller that holds them reports it. */
const ready = () =>
  db.pool.query(`update private.agent_deployments d set phase = 'DEPLOYED', observed_generation = generation, current_replicas = 1,
    ready_replicas = 1, platform_seen = platform, platform_state = 'ready', platform_at = now()`);
const set = (name: string, value: Record<string, unknown>) => call("fleet_set_class", { name, class: value });
const assign = (account: string, name: string) => call("fleet_assign_class", { account, class: name });
/** Of a user's agents: which runtime class, or image, how many shall have. */
const wanted = async (of: string) => {
  const { rows } = await db.pool.query(
    `select coalesce(p.content -> 'class' ->> 'runtimeClassName', p.content -> 'class' ->> 'image', p.content ->> 'image') as what,
       count(*)::int as n from private.agent_deployments d left join private.platforms p on p.id = d.platform
     where d.user_id = $1 group by 1 order by 1`,
    [of],
  );
  return Object.fromEntries(rows.map(({ what, n }) => [what, n]));
};
const admit = async () => {
  const { id, wave } = await beat();
  return (await call("advance_rollout", { rollout: id, wave, decision: "admit" })).rollout;
};

test("a class that no user has, and one that changes no pod, begin no rollout", async () => {
  await set("sandboxed", { runtimeClassName: "gvisor" });
  await set("sandboxed", { runtimeClassName: "kata", limits: { maxAgents: 9 } });
  await set("default", { description: "all others", egress: { ports: [443] } });
  assert.equal(await beat(), null);
  assert.deepEqual(await wanted(alice), { "runtime:1": 3 });
});

test("a user's new class is what their agents shall have at once, and nobody else's", async () => {
  await assign(alice, "sandboxed");
  assert.equal(await beat(), null);
  assert.deepEqual([await wanted(alice), await wanted(bob)], [{ kata: 3 }, { "runtime:1": 1 }]);
  const claims = await call("claim_deployments", { worker: "w", max_count: 50 });
  const shown = claims.map((claim: Record<string, { class?: unknown }>) => claim.platform?.class ?? null);
  assert.deepEqual(shown.sort(), [
    { runtimeClassName: "kata" },
    { runtimeClassName: "kata" },
    { runtimeClassName: "kata" },
    null,
  ]);
  await ready();
});

test("a class that changes goes to one agent first, and to no other user", async () => {
  await set("sandboxed", { runtimeClassName: "gvisor", image: "runtime:own" });
  const rollout = await beat();
  assert.deepEqual([rollout.state, rollout.total, rollout.waiting], ["running", 3, 3]);
  await admit();
  assert.deepEqual([await wanted(alice), await wanted(bob)], [{ gvisor: 1, kata: 2 }, { "runtime:1": 1 }]);
  const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "new" } });
  assert.deepEqual(await wanted(alice), { gvisor: 1, kata: 3 }, "a launch gets what is proven");
  await ready();
  for (let wave = 0; wave < 3; wave += 1) {
    await admit();
    await ready();
  }
  assert.deepEqual(await wanted(alice), { gvisor: 4 });
  const { id, wave } = await beat();
  await call("advance_rollout", { rollout: id, wave, decision: "finish" });
  assert.equal(await beat(), null);
  assert.ok(body.agentId);
});

test("undo takes a class's users back to the pods before", async () => {
  await set("sandboxed", { runtimeClassName: "broken" });
  await beat();
  await admit();
  assert.deepEqual(await wanted(alice), { broken: 1, gvisor: 3 });
  await call("fleet_rollout", { action: "undo" });
  assert.deepEqual(await wanted(alice), { gvisor: 4 });
  await set("sandboxed", { runtimeClassName: "gvisor", image: "runtime:own" });
  assert.deepEqual(await wanted(alice), { gvisor: 4 });
  assert.equal(await beat(), null, "back to what is proven needs no wave");
});

test("a new image of the installation passes by a class with its own", async () => {
  await assign(bob, "sandboxed");
  await ready();
  assert.deepEqual(await wanted(bob), { gvisor: 1 });
  await assign(bob, "default");
  await ready();
  const { id, wave, total } = await beat("runtime:2");
  assert.equal(total, 1, "bob's agent alone");
  await call("advance_rollout", { rollout: id, wave, decision: "admit" });
  assert.deepEqual([await wanted(alice), await wanted(bob)], [{ gvisor: 4 }, { "runtime:2": 1 }]);
});

test("a deleted class leaves no target", async () => {
  await assign(alice, "default");
  await call("fleet_delete_class", { name: "sandboxed" });
  const { rows } = await db.pool.query("select class from private.rollout_targets order by 1");
  assert.deepEqual(rows, [{ class: "" }]);
});
