// One list of an agent's fields: a column and a row in it make a field that is written, redeploys, rolls back and is exported.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { launchRequest, updateRequest } from "../../supabase/functions/_shared/contract/index.ts";
import { codeOf } from "../helpers/answering.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;
beforeAll(async () => {
  db = await createUnlimitedDatabase();
  alice = await createUser(db);
  bob = await createUser(db);
});
afterAll(() => db.destroy());

const rowsOf = async (sql: string, values: unknown[] = []) => (await db.pool.query(sql, values)).rows;

describe("the list", () => {
  test("names every column that a client may write, but the owner, the activity and a time that is corrected", async () => {
    const [row] = await rowsOf(
      `select
         (select array_agg(f.name order by f.name) from private.agent_fields f) as listed,
         (select array_agg(c.column_name::text order by c.column_name) from information_schema.column_privileges c
          where c.table_name = 'agents' and c.grantee = 'authenticated' and c.privilege_type = 'UPDATE'
            and c.column_name not in ('status', 'updated_at')) as changed,
         (select array_agg(c.column_name::text order by c.column_name) from information_schema.column_privileges c
          where c.table_name = 'agents' and c.grantee = 'authenticated' and c.privilege_type = 'INSERT'
            and c.column_name not in ('status', 'updated_at', 'user_id')) as inserted,
         (select array_agg(a.attname::text order by a.attname) from pg_attribute a
          where a.attrelid = 'public.agents'::regclass and a.attnum > 0 and not a.attisdropped and a.attname not in
            ('id', 'user_id', 'status', 'url', 'created_at', 'updated_at', 'deployed_at', 'deleted_at')) as columns`,
    );
    assert.deepEqual(row.changed, row.listed);
    assert.deepEqual(row.inserted, row.listed);
    assert.deepEqual(row.columns, row.listed);
  });

  test("gives every column that must have a value one for null", async () => {
    const lacking = await rowsOf(
      `select f.name from private.agent_fields f join pg_attribute a
         on a.attrelid = 'public.agents'::regclass and a.attname = f.name
       where a.attnotnull and f.empty is null`,
    );
    assert.deepEqual(lacking, [{ name: "name" }]);
  });

  test("accepts what the contract accepts", async () => {
    for (const [launching, request] of [
      [true, launchRequest],
      [false, updateRequest],
    ] as const) {
      const [{ shape }] = await rowsOf("select private.definition_shape($1) as shape", [launching]);
      assert.deepEqual(Object.keys(shape).sort(), Object.keys(request.shape).sort());
    }
  });

  test("is read and written by no client", async () => {
    for (const caller of [anon, user(alice), service]) {
      for (const sql of [
        "select 1 from private.agent_fields",
        "delete from private.agent_fields where true",
      ]) {
        await assert.rejects(
          db.as(caller, (client) => client.query(sql)),
          { code: "42501" },
        );
      }
    }
  });
});

describe("a field that two statements add", () => {
  let agentId: string;
  beforeAll(async () => {
    await db.pool.query("alter table public.agents add column motto text");
    await db.pool.query(
      `insert into private.agent_fields (name, field, takes, spec, effect)
       values ('motto', 'motto', '"string 1 60"', 'motto', 'revision')`,
    );
    const { status, body } = await rpc(db, user(alice), "launch_agent", {
      definition: { agentName: "ada", motto: "one" },
    });
    assert.equal(status, 201, JSON.stringify(body));
    agentId = body.agentId;
    await settle(db, agentId);
  });

  const shown = async (id = agentId) => (await rpc(db, user(alice), "get_agent", { agent_id: id })).body;
  const revision = async (number: number) =>
    (
      await rowsOf("select spec from public.agent_revisions where agent_id = $1 and revision = $2", [
        agentId,
        number,
      ])
    )[0]?.spec;
  const patch = (motto: string, caller = user(alice)) =>
    db.as(caller, (client) =>
      client.query("update public.agents set motto = $2 where id = $1 returning status", [agentId, motto]),
    );

  test("is stored, shown and kept by the first revision", async () => {
    assert.equal((await shown()).motto, "one");
    assert.equal((await revision(1)).motto, "one");
  });

  test("is judged as the list says", async () => {
    for (const call of [
      rpc(db, user(alice), "launch_agent", { definition: { agentName: "b", motto: "x".repeat(61) } }),
      rpc(db, user(alice), "update_agent", { agent_id: agentId, changes: { motto: "x".repeat(61) } }),
    ]) {
      const { status, body } = await call;
      assert.equal(status, 400);
      assert.deepEqual(Object.keys(JSON.parse(body.details)), ["motto"]);
    }
  });

  test("redeploys when PUT changes it, and says so", async () => {
    const { status, body } = await rpc(db, user(alice), "update_agent", {
      agent_id: agentId,
      changes: { motto: "two" },
    });
    assert.equal(status, 202);
    assert.equal(body.status, "UPDATING");
    assert.deepEqual(body.changes_applied, { motto: true });
    assert.equal((await revision(2)).motto, "two");
    await settle(db, agentId, ["DEPLOYED"]);
  });

  test("redeploys when a row is changed directly", async () => {
    const { rows } = await patch("three");
    assert.deepEqual(rows, [{ status: "deployed" }], "the answer is of the row, the phase follows");
    assert.equal((await shown()).status, "UPDATING");
    assert.equal((await revision(3)).motto, "three");
    const [event] = await rowsOf(
      "select event_type, details from public.agent_events where agent_id = $1 order by seq desc limit 1",
      [agentId],
    );
    assert.deepEqual(event, { event_type: "UPDATING", details: { changed: ["motto"] } });
    await settle(db, agentId, ["DEPLOYED"]);
  });

  test("reaches the controller", async () => {
    await rpc(db, user(alice), "restart_agent", { agent_id: agentId });
    const { body } = await rpc(db, service, "claim_deployments", { worker: "test-worker", max_count: 500 });
    const claim = body.find((one: { agentId: string }) => one.agentId === agentId);
    assert.equal(claim.spec.motto, "three");
    await settle(db, agentId, ["DEPLOYED"]);
  });

  test("rolls back with its revision", async () => {
    const { body } = await rpc(db, user(alice), "rollback_agent", { agent_id: agentId, revision: 1 });
    assert.equal(body.revision, 4);
    assert.equal((await shown()).motto, "one");
    assert.equal((await revision(4)).motto, "one");
    await settle(db, agentId, ["DEPLOYED"]);
  });

  test("is empty after a rollback to a revision that is older than the field", async () => {
    await db.pool.query(
      "update public.agent_revisions set spec = spec - 'motto' where agent_id = $1 and revision = 2",
      [agentId],
    );
    await rpc(db, user(alice), "rollback_agent", { agent_id: agentId, revision: 2 });
    assert.equal((await shown()).motto, null);
    await settle(db, agentId, ["DEPLOYED"]);
  });

  test("is exported with the agent and its revisions, and imported", async () => {
    await patch("four");
    const { body: bundle } = await rpc(db, user(alice), "export_agent", { agent_id: agentId });
    assert.equal(bundle.definition.motto, "four");
    assert.equal(bundle.revisions[0].definition.motto, "one");
    const { status, body } = await rpc(db, user(bob), "import_agent", { bundle });
    assert.equal(status, 201, JSON.stringify(body));
    const [copy] = await rowsOf("select user_id, motto from public.agents where id = $1", [body.agentId]);
    assert.deepEqual(copy, { user_id: bob, motto: "four" });
    const [first] = await rowsOf(
      "select spec from public.agent_revisions where agent_id = $1 and revision = 1",
      [body.agentId],
    );
    assert.equal(first.spec.motto, "one");
  });

  test("is another user's to neither see nor change, and an anonymous caller's neither", async () => {
    assert.equal((await patch("bob's", user(bob))).rowCount, 0);
    assert.equal((await rpc(db, user(bob), "get_agent", { agent_id: agentId })).status, 404);
    const forged = user("00000000-0000-4000-8000-000000000000");
    assert.equal((await codeOf(patch("forged", forged))).code, "PERMISSION_DENIED");
    await assert.rejects(patch("nobody's", anon), { code: "42501" });
    assert.equal((await shown()).motto, "four");
  });

  test("is emptied when the agent is deleted", async () => {
    await rpc(db, user(alice), "delete_agent", { agent_id: agentId });
    const [row] = await rowsOf("select motto, name from public.agents where id = $1", [agentId]);
    assert.deepEqual(row, { motto: null, name: "ada" });
  });

  test("that leaves the list can no longer be written, though its column stays", async () => {
    const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bea" } });
    await db.pool.query("delete from private.agent_fields where name = 'motto'");
    const write = (column: string) =>
      db.as(user(alice), (client) =>
        client.query(`update public.agents set ${column} = 'late' where id = $1`, [body.agentId]),
      );
    await assert.rejects(write("motto"), { code: "42501" });
    await assert.rejects(
      db.as(user(alice), (client) =>
        client.query("insert into public.agents (name, motto) values ('cleo', 'late')"),
      ),
      { code: "42501" },
    );
    assert.equal((await write("description")).rowCount, 1);
    await db.pool.query("update private.agent_fields set field = 'about' where name = 'description'");
    assert.equal((await write("description")).rowCount, 1, "what changes in the list stays writable");
    await db.pool.query("update private.agent_fields set field = 'description' where name = 'description'");
    const refused = await rpc(db, user(alice), "update_agent", {
      agent_id: body.agentId,
      changes: { motto: "late" },
    });
    assert.deepEqual(JSON.parse(refused.body.details), { motto: "Unknown field" });
    const named = await rpc(db, user(alice), "update_agent", {
      agent_id: body.agentId,
      changes: { agentName: "dora" },
    });
    assert.equal(named.status, 202);
  });
});
