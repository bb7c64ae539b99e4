// public.agents through /rest/v1, as HIVE and the Launchpad spec's direct queries use it.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type Caller, createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { anon, createUser, liftRateLimits, rpc, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;

beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  alice = await createUser(db);
  bob = await createUser(db);
});
afterAll(() => db.destroy());

const query = async (text: string, values: unknown[] = [], caller: Caller = user(alice)) =>
  (await db.as(caller, (client) => client.query(text, values))).rows;

const insert = async (columns = "name", values = "'bot'") =>
  (await query(`insert into public.agents (${columns}) values (${values}) returning *`))[0];

/** The coded error a statement raises. */
async function raised(
  text: string,
  values: unknown[] = [],
): Promise<{ code: string; details: Record<string, string> }> {
  try {
    await query(text, values);
  } catch (error) {
    const body = JSON.parse((error as Error).message);
    return { code: body.code, details: JSON.parse(body.details ?? "{}") };
  }
  throw new Error("nothing was raised");
}

describe("insert", () => {
  test("makes a definition that is idle and not deployed", async () => {
    const agent = await insert();
    assert.match(agent.id, /^[0-9a-f-]{36}$/);
    assert.equal(agent.user_id, alice);
    assert.equal(agent.status, "idle");
    assert.equal(agent.framework, "openai");
    assert.equal(agent.model, "gpt-6-luna");
    assert.deepEqual(agent.settings, {});
    const { rows } = await db.pool.query("select from private.agent_deployments where agent_id = $1", [
      agent.id,
    ]);
    assert.equal(rows.length, 0);
  });

  test("takes updated_at and writes its own", async () => {
    const agent = await insert("name, updated_at", "'bot', '1999-01-01'");
    assert.deepEqual(agent.updated_at, agent.created_at);
  });

  test("names every wrong field in one error", async () => {
    const { code, details } = await raised("insert into public.agents (name, framework) values ('', 'acme')");
    assert.equal(code, "VALIDATION_ERROR");
    assert.deepEqual(details, {
      name: "Name is required",
      framework: "Framework must be one of: openai, anthropic, google, echo",
    });
  });

  test("callers cannot choose the id, the url or another owner", async () => {
    for (const [columns, values] of [
      ["name, id", "'x', 'mine'"],
      ["name, url", "'x', 'http://x'"],
      ["name, deleted_at", "'x', now()"],
    ] as const) {
      await assert.rejects(query(`insert into public.agents (${columns}) values (${values})`), {
        code: "42501",
      });
    }
    await assert.rejects(query("insert into public.agents (name, user_id) values ('x', $1)", [bob]), {
      code: "42501",
    });
  });

  test("a lifecycle value as status is a VALIDATION_ERROR", async () => {
    const { code, details } = await raised(
      "insert into public.agents (name, status) values ('x', 'deployed')",
    );
    assert.equal(code, "VALIDATION_ERROR");
    assert.ok(details.status);
  });

  test("a database URL goes to Vault, not into the row", async () => {
    const agent = await insert(
      "name, supabase_config",
      `'x', '{"project_ref": "p", "database_url": "postgresql://u:sekrit@h/d"}'`,
    );
    assert.deepEqual(agent.supabase_config, { project_ref: "p" });
    const { rows } = await db.pool.query(
      "select v.decrypted_secret from public.agent_secrets s join vault.decrypted_secrets v on v.id = s.vault_id where s.agent_id = $1",
      [agent.id],
    );
    assert.deepEqual(rows, [{ decrypted_secret: "postgresql://u:sekrit@h/d" }]);
  });
});

describe("update", () => {
  test("of a deployed agent's configuration redeploys; updated_at is the server's; status 'updated' means nothing", async () => {
    const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot" } });
    await settle(db, body.agentId);
    const [row] = await query(
      `update public.agents set status = 'updated', resources = '{"memory": "2Gi", "cpu": "1000m"}', updated_at = '2024-01-15T13:10:00Z'
       where id = $1 returning status, resources, updated_at`,
      [body.agentId],
    );
    assert.deepEqual(row.resources, { memory: "2Gi", cpu: "1000m" });
    assert.ok(row.updated_at > new Date("2025-01-01"));
    const [after] = await query("select status from public.agents where id = $1", [body.agentId]);
    assert.equal(after.status, "updating");
    const { body: status } = await rpc(db, user(alice), "get_agent_status", { agent_id: body.agentId });
    assert.equal(status.status, "UPDATING");
    assert.equal(status.revision, 2);
  });

  test("of the database URL alone redeploys, as through /api", async () => {
    const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot" } });
    await settle(db, body.agentId);
    for (const [password, revision] of [
      ["one", 2],
      ["one", 2],
      ["two", 3],
    ] as const) {
      await query("update public.agents set supabase_config = $2 where id = $1", [
        body.agentId,
        { project_ref: "p", database_url: `postgresql://u:${password}@h/d` },
      ]);
      const { body: status } = await rpc(db, user(alice), "get_agent_status", { agent_id: body.agentId });
      assert.equal(status.revision, revision);
    }
    const [event] = await query(
      "select message, details from public.agent_events where agent_id = $1 order by seq desc limit 1",
      [body.agentId],
    );
    assert.deepEqual(event, {
      message: "Environment changed",
      details: { changed: ["environment"], names: ["SUPABASE_DB_URL"] },
    });
  });

  test("of the database URL to null removes it, here and through /api, and stays in no row", async () => {
    const config = { project_ref: "p", database_url: "postgresql://u:sekrit@h/d" };
    const names = async (id: string) =>
      (await db.pool.query("select name from public.agent_secrets where agent_id = $1", [id])).rows;
    const change = (id: string, supabase_config: object) =>
      rpc(db, user(alice), "update_agent", { agent_id: id, changes: { supabase_config } });
    const row = (id: string, supabase_config: object) =>
      query("update public.agents set supabase_config = $2 where id = $1", [id, supabase_config]);
    const none = { agentName: "bot", supabase_config: { ...config, database_url: null } };
    const { body } = await rpc(db, user(alice), "launch_agent", { definition: none });
    const id = body.agentId;
    for (const write of [row, change]) {
      await write(id, config);
      assert.deepEqual(await names(id), [{ name: "SUPABASE_DB_URL" }]);
      await write(id, { project_ref: "p", database_url: null });
      assert.deepEqual(await names(id), []);
      const [kept] = await query("select supabase_config from public.agents where id = $1", [id]);
      assert.deepEqual(kept.supabase_config, { project_ref: "p" });
    }
  });

  test("of replicas scales", async () => {
    const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot" } });
    await settle(db, body.agentId);
    await query("update public.agents set replicas = 3 where id = $1", [body.agentId]);
    const { body: status } = await rpc(db, user(alice), "get_agent_status", { agent_id: body.agentId });
    assert.deepEqual([status.status, status.revision], ["SCALING", 1]);
  });

  test("activity covers the phase, and idle shows it again", async () => {
    const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot" } });
    await settle(db, body.agentId);
    const write = async (status: string) =>
      (
        await query("update public.agents set status = $2 where id = $1 returning status", [
          body.agentId,
          status,
        ])
      )[0].status;
    assert.equal(await write("thinking"), "thinking");
    assert.equal(await write("responding"), "responding");
    const { body: list } = await rpc(db, user(alice), "list_agents", { status: "DEPLOYED" });
    const listed = list.agents.find((agent: { agentId: string }) => agent.agentId === body.agentId);
    assert.equal(listed?.status, "DEPLOYED");
    assert.equal(await write("idle"), "deployed");
    const { code } = await raised("update public.agents set status = 'stopped' where id = $1", [
      body.agentId,
    ]);
    assert.equal(code, "VALIDATION_ERROR");
  });

  test("a model that the framework lacks is INVALID_MODEL", async () => {
    const agent = await insert();
    const { code } = await raised("update public.agents set model = 'gemini-2.5-pro' where id = $1", [
      agent.id,
    ]);
    assert.equal(code, "INVALID_MODEL");
  });

  test("the owner cannot be changed", async () => {
    const agent = await insert();
    await assert.rejects(query("update public.agents set user_id = $2 where id = $1", [agent.id, bob]), {
      code: "42501",
    });
  });
});

describe("delete", () => {
  test("of a deployed agent: the row goes at once, the teardown is the verb's", async () => {
    const { body } = await rpc(db, user(alice), "launch_agent", {
      definition: { agentName: "bot", environment: { TOKEN: "x" } },
    });
    await settle(db, body.agentId);
    await query("delete from public.agents where id = $1", [body.agentId]);
    assert.equal((await query("select from public.agents where id = $1", [body.agentId])).length, 0);
    const { rows } = await db.pool.query(
      `select d.desired, d.phase, (select count(*)::int from public.agent_secrets s where s.agent_id = d.agent_id) as secrets
       from private.agent_deployments d where d.agent_id = $1`,
      [body.agentId],
    );
    assert.deepEqual(rows, [{ desired: "absent", phase: "DELETING", secrets: 0 }]);
    await settle(db, body.agentId, ["DELETED"]);
  });
});

describe("others", () => {
  test("see, change and delete nothing", async () => {
    const agent = await insert();
    assert.equal((await query("select from public.agents where id = $1", [agent.id], user(bob))).length, 0);
    assert.equal(
      (await query("update public.agents set name = 'x' where id = $1 returning id", [agent.id], user(bob)))
        .length,
      0,
    );
    assert.equal(
      (await query("delete from public.agents where id = $1 returning id", [agent.id], user(bob))).length,
      0,
    );
    await assert.rejects(query("select from public.agents", [], anon), { code: "42501" });
    assert.equal((await query("select name from public.agents where id = $1", [agent.id]))[0].name, "bot");
  });
});
