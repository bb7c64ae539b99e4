// A banned account in SQL: refused at every door, its agents stopped, and started again when the ban ends.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import type { TestDatabase, TestUser } from "../helpers/database.ts";
import { createUnlimitedDatabase, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: TestUser;
let agentId: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
});
afterAll(() => db.destroy());
beforeEach(async () => {
  alice = await db.createUser();
  agentId = (await call("launch_agent", { definition: { agentName: "bot" } })).body.agentId;
  await settle(db, agentId);
});

const call = (name: string, args: Record<string, unknown> = {}, who = alice) =>
  rpc(db, user(who.id), name, args);
const ban = (until: string, who = alice) =>
  db.pool.query("update auth.users set banned_until = $2 where id = $1", [who.id, until]);
const deployment = async (id = agentId) =>
  (
    await db.pool.query("select desired, phase, reason from private.agent_deployments where agent_id = $1", [
      id,
    ])
  ).rows[0];
/** What PostgREST's pre-request says to a request of alice's. */
const preRequest = (path: string, method = "GET") =>
  db.asUser(alice, async (client) => {
    await client.query(
      "select set_config('request.path', $1, true), set_config('request.method', $2, true)",
      [path, method],
    );
    await client.query("select private.pre_request()");
  });
const refusal = (
  work: Promise<unknown>,
): Promise<{ code: string; details: Record<string, unknown> | null }> =>
  work.then(
    () => assert.fail("was not refused"),
    (error: Error) => {
      const { code, details } = JSON.parse(error.message);
      return { code, details: details === null ? null : JSON.parse(details) };
    },
  );

describe("a banned account", () => {
  beforeEach(() => ban("2999-01-01"));

  test("is refused by every verb, with the end of the ban, and the refusal is recorded", async () => {
    for (const name of ["list_agents", "launch_agent", "get_profile", "export_my_data"]) {
      const args = name === "launch_agent" ? { definition: { agentName: "x" } } : {};
      const { status, body } = await call(name, args);
      assert.equal(status, 403, name);
      assert.equal(body.code, "PERMISSION_DENIED");
      assert.deepEqual(JSON.parse(body.details), {
        account: "banned",
        banned_until: "2999-01-01T00:00:00.000Z",
      });
    }
    const { rows } = await db.pool.query(
      "select event_type from public.security_events where user_id = $1 and event_type = 'PERMISSION_DENIED'",
      [alice.id],
    );
    assert.equal(rows.length, 1);
  });

  test("a ban without end names none", async () => {
    await ban("infinity");
    assert.deepEqual(JSON.parse((await call("get_profile")).body.details), { account: "banned" });
  });

  for (const [path, method] of [
    ["/agents", "GET"],
    ["/profiles", "GET"],
    ["/messages", "POST"],
    ["/rpc/graphql", "POST"],
    ["/rpc/check_rls_policies", "POST"],
  ]) {
    test(`${method} ${path} is refused before it begins`, async () => {
      assert.equal((await refusal(preRequest(path as string, method))).code, "PERMISSION_DENIED");
    });
  }

  test("policies show no row and take none, which is what Realtime and Storage ask", async () => {
    await db.asUser(alice, async (client) => {
      for (const table of ["agents", "agent_events", "agent_logs", "tools", "messages"])
        assert.equal((await client.query(`select from public.${table}`)).rowCount, 0, table);
      await client.query("select set_config('realtime.topic', $1, true)", [`user:${alice.id}`]);
      assert.equal(
        (await client.query("select private.owns_topic($1) as yes", [`user:${alice.id}`])).rows[0].yes,
        null,
      );
    });
    await assert.rejects(
      db.asUser(alice, (client) => client.query("insert into public.agents (name) values ('x')")),
      /agents:write/,
    );
  });

  test("its agents stop with the reason, and start again when the ban is lifted", async () => {
    assert.deepEqual(await deployment(), { desired: "stopped", phase: "STOPPING", reason: "ACCOUNT_BANNED" });
    await settle(db, agentId, ["STOPPED"]);
    await ban("2000-01-01");
    assert.deepEqual(await deployment(), { desired: "running", phase: "DEPLOYING", reason: null });
    assert.equal((await call("get_profile")).status, 200);
    const { rows } = await db.pool.query(
      "select message from public.agent_events where agent_id = $1 order by seq",
      [agentId],
    );
    const said = rows.map(({ message }) => message);
    assert.ok(said.includes("Stopped: the owner's account is banned"), said.join("; "));
    assert.equal(said.at(-1), "Started: the ban of the owner's account ended");
  });

  test("a ban that ends by time is noticed by the job", async () => {
    await db.superuser.query("set session_replication_role = replica");
    await db.superuser.query("update auth.users set banned_until = now() - interval '1 s' where id = $1", [
      alice.id,
    ]);
    await db.superuser.query("set session_replication_role = origin");
    assert.equal((await deployment()).desired, "stopped");
    await db.pool.query("select private.apply_bans()");
    assert.equal((await deployment()).desired, "running");
  });

  test("an agent that was stopped before the ban, or by an operator meanwhile, stays stopped", async () => {
    const bob = await db.createUser();
    const launched = await call("launch_agent", { definition: { agentName: "b" } }, bob);
    await call("stop_agent", { agent_id: launched.body.agentId }, bob);
    await ban("2999-01-01", bob);
    await ban("2000-01-01", bob);
    assert.equal((await deployment(launched.body.agentId)).desired, "stopped");
  });

  test("another user goes on", async () => {
    const bob = await db.createUser();
    assert.equal((await call("launch_agent", { definition: { agentName: "b" } }, bob)).status, 201);
  });

  test("answers that have not begun are dropped", async () => {
    await ban("2000-01-01");
    const { rows } = await db.asUser(alice, (client) =>
      client.query("insert into public.messages (to_agent_id, content) values ($1, 'hello') returning id", [
        agentId,
      ]),
    );
    const jobs = () => db.pool.query("select from private.reply_jobs where message_id = $1", [rows[0].id]);
    assert.equal((await jobs()).rowCount, 1);
    await ban("2999-01-01");
    assert.equal((await jobs()).rowCount, 0);
  });
});

test("an account that is gone is refused by direct requests too", async () => {
  await db.pool.query("delete from auth.users where id = $1", [alice.id]);
  assert.equal((await refusal(preRequest("/profiles"))).code, "INVALID_JWT_TOKEN");
});

test("service_role and anon are not judged as accounts", async () => {
  assert.equal((await rpc(db, service, "heartbeat_controller", { worker: "w" })).status, 200);
  await db.asAnon(async (client) => {
    await client.query("select set_config('request.path', '/frameworks', true)");
    await client.query("select private.pre_request()");
  });
});
