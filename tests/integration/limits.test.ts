// Requests straight to tables: PostgREST's pre-request counts writes and judges reads; the policies judge reads by any door.
import assert from "node:assert/strict";
import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { type Caller, createTestDatabase, type TestDatabase, type TestUser } from "../helpers/database.ts";
import { liftRateLimits, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: TestUser;

beforeAll(async () => {
  db = await createTestDatabase();
});
beforeEach(async () => {
  await liftRateLimits(db);
  alice = await db.createUser();
});
afterAll(() => db.destroy());

interface Refusal {
  code: string;
  details: string | null;
  status: number;
  headers: Record<string, string>;
}

/** Runs a statement as PostgREST does: settings, pre-request, statement; gives the response headers or the refusal. */
async function request(
  method: string,
  path: string,
  sql: string,
  caller: Caller = user(alice.id),
): Promise<{ rows: pg.QueryResultRow[]; headers: Record<string, string> } | Refusal> {
  try {
    return await db.as(caller, async (client) => {
      if (method === "GET") await client.query("set transaction read only");
      await client.query(
        "select set_config('request.method', $1, true), set_config('request.path', $2, true)",
        [method, path],
      );
      await client.query("select private.pre_request()");
      const { rows } = await client.query(sql);
      const set = await client.query("select nullif(current_setting('response.headers', true), '') as h");
      return { rows, headers: Object.assign({}, ...JSON.parse(set.rows[0].h ?? "[]")) };
    });
  } catch (error) {
    const { code, message, detail } = error as { code: string; message: string; detail: string };
    if (code !== "PGRST") throw error;
    return { ...JSON.parse(message), ...JSON.parse(detail) };
  }
}
const insert = (caller?: Caller) =>
  request("POST", "/agents", "insert into public.agents (name) values ('x') returning id", caller);
const limitTo = (n: number, bucket = "rest_writes") =>
  db.pool.query("update public.rate_limits set max_requests = $1 where bucket = $2", [n, bucket]);

describe("writes", () => {
  test("are counted and tell what is left; over the limit they are refused with the documented body", async () => {
    await limitTo(2);
    const first = await insert();
    assert.ok("rows" in first);
    assert.equal(first.headers["X-RateLimit-Limit"], "2");
    assert.equal(first.headers["Supabase-RateLimit-Remaining"], "1");
    await insert();
    const third = (await insert()) as Refusal;
    assert.equal(third.status, 429);
    assert.equal(third.code, "RATE_LIMIT_EXCEEDED");
    const details = JSON.parse(third.details ?? "{}");
    assert.equal(details.limit_type, "supabase_queries");
    assert.equal(details.user_id, alice.id);
    assert.match(details.reset_time, /^\d{4}-.*Z$/);
    assert.equal(third.headers["X-RateLimit-Remaining"], "0");
    assert.ok(Number(third.headers["Retry-After"]) >= 1);
    const { rows } = await db.pool.query("select count(*)::int as n from public.agents where user_id = $1", [
      alice.id,
    ]);
    assert.equal(rows[0].n, 2);
    const bob = await db.createUser();
    assert.ok("rows" in (await insert(user(bob.id))), "another user has a budget of their own");
    await limitTo(10);
    assert.ok("rows" in (await insert()), "an operator's change counts at once");
  });

  test("an RPC is counted by itself alone; service_role and anon are not counted", async () => {
    const used = async () =>
      (
        await db.pool.query(
          "select coalesce(sum(used), 0)::int as n from private.rate_counters where user_id = $1 and bucket = 'rest_writes'",
          [alice.id],
        )
      ).rows[0].n;
    await request("POST", "/rpc/list_agents", "select public.list_agents()");
    assert.equal(await used(), 0);
    await request("PATCH", "/agents", "select 1", service);
    await request("PATCH", "/agents", "select 1", { role: "anon" });
    assert.equal(await used(), 0);
    await insert();
    assert.equal(await used(), 1);
  });

  test("every function that users may call counts its POSTs: verbs themselves, the others as direct queries", async () => {
    const { rows } = await db.pool.query<{ name: string; volatility: string }>(
      `select p.proname as name, p.provolatile as volatility from pg_proc p
       where p.pronamespace = 'public'::regnamespace and has_function_privilege('authenticated', p.oid, 'execute')
         and not has_function_privilege('anon', p.oid, 'execute')
         and not exists (select from private.verbs v where v.name = p.proname) order by 1`,
    );
    assert.deepEqual(
      rows.map(({ name }) => name),
      ["check_rls_policies", "health_check"],
    );
    await limitTo(2);
    for (const { name, volatility } of rows) {
      // PostgREST runs a POST to any other function read only: nothing could count it.
      assert.equal(volatility, "v", name);
      assert.ok("rows" in (await request("POST", `/rpc/${name}`, `select public.${name}()`)), name);
    }
    const third = (await request("POST", "/rpc/health_check", "select public.health_check()")) as Refusal;
    assert.equal(third.code, "RATE_LIMIT_EXCEEDED");
    const bob = await db.createUser();
    assert.ok("rows" in (await request("POST", "/rpc/health_check", "select 1", user(bob.id))));
    assert.ok("rows" in (await request("GET", "/rpc/health_check", "select public.health_check()")));
  });

  test("a name with an escape is refused: PostgREST would decode it, the rules compare it as it came", async () => {
    for (const caller of [user(alice.id), { role: "anon" as const }]) {
      for (const path of ["/%61gents", "/rpc/%67raphql", "/rpc/%6caunch_agent"]) {
        for (const method of ["GET", "POST"]) {
          const refused = (await request(method, path, "select 1", caller)) as Refusal;
          assert.equal(refused.code, "VALIDATION_ERROR", `${method} ${path}`);
        }
      }
    }
    assert.ok("rows" in (await request("GET", "/agents", "select 1")));
  });

  test("what /api answers tells the same budget", async () => {
    await limitTo(100);
    await insert();
    await db.pool.query("select private.count_reads(jsonb_build_object($1::text, 4))", [alice.id]);
    const { headers } = await rpc(db, user(alice.id), "list_agents");
    assert.equal(headers["supabase-ratelimit-remaining"], "95");
  });
});

describe("reads", () => {
  const tables: Record<string, string[]> = {
    "agents:read": ["agents", "agent_events", "agent_revisions", "agent_secrets", "agent_conversations"],
    "monitoring:read": ["agent_logs", "agent_metrics", "agent_metrics_minute", "agent_metrics_hour"],
  };
  let agentId: string;
  const fill = async () => {
    const { body } = await rpc(db, user(alice.id), "launch_agent", {
      definition: { agentName: "bot", environment: { TOKEN: "t" } },
    });
    agentId = body.agentId;
    await settle(db, agentId);
    const line = { agentId, replica: "r", sequence: 1, timestamp: new Date().toISOString() };
    await rpc(db, service, "ingest_agent_logs", {
      rows: [{ ...line, message: "m", source: "s", level: "INFO" }],
    });
    await rpc(db, service, "ingest_agent_metrics", { rows: [line] });
    await db.pool.query("select private.roll_up_metrics()");
    await db.pool.query(
      "insert into public.agent_conversations (agent_id, user_id, conversation_id, role, content) values ($1, $2, gen_random_uuid(), 'user', 'hi')",
      [agentId, alice.id],
    );
  };

  for (const [permission, names] of Object.entries(tables)) {
    for (const table of names) {
      test(`${table} takes ${permission}`, async () => {
        await fill();
        const statement = `select agent_id from public.${table}`.replace(
          "agent_id from public.agents",
          "id from public.agents",
        );
        const allowed = await request("GET", `/${table}`, statement);
        assert.ok("rows" in allowed && allowed.rows.length > 0);
        await db.pool.query("delete from public.user_permissions where user_id = $1 and permission = $2", [
          alice.id,
          permission,
        ]);
        const refused = (await request("GET", `/${table}`, statement)) as Refusal;
        assert.deepEqual([refused.status, refused.code], [403, "PERMISSION_DENIED"]);
        assert.deepEqual(JSON.parse(refused.details ?? "{}"), { required: permission });
        // Embedded in another table's request, and by a door without a pre-request: the policies say the same.
        const embedded = await request("GET", "/models", statement);
        assert.deepEqual("rows" in embedded && embedded.rows, []);
        const { rows } = await db.as(user(alice.id), (client) => client.query(statement));
        assert.deepEqual(rows, []);
      });
    }
  }

  test("claims that change within a transaction do not keep another's permissions", async () => {
    const bob = await db.createUser();
    await db.pool.query("delete from public.user_permissions where user_id = $1", [bob.id]);
    await db.as(user(alice.id), async (client) => {
      await client.query(
        "select set_config('request.method', 'GET', true), set_config('request.path', '/agents', true)",
      );
      await client.query("select private.pre_request()");
      const may = async () =>
        (await client.query("select private.reader('agents:read') is not null as ok")).rows[0].ok;
      assert.equal(await may(), true);
      await client.query("select set_config('request.jwt.claims', $1, true)", [
        JSON.stringify({ sub: bob.id }),
      ]);
      assert.equal(await may(), false);
    });
  });
});

describe("auth requests", () => {
  test("are counted by address, whatever its case, without keeping it; the header tells the rest", async () => {
    await limitTo(30, "auth");
    const count = async (email: string) =>
      (await db.pool.query("select private.count_auth_request($1) as c", [email])).rows[0].c;
    assert.equal((await count(alice.email)).remaining, 29);
    assert.equal((await count(` ${alice.email.toUpperCase()} `)).remaining, 28);
    assert.equal((await rpc(db, user(alice.id), "list_agents")).headers["supabase-auth-rate-limit"], "28");
    const { rows } = await db.pool.query(
      "select count(*)::int as n from private.auth_counters c where c::text like '%' || $1 || '%'",
      [alice.email],
    );
    assert.equal(rows[0].n, 0);
    await limitTo(2, "auth");
    assert.equal((await count(alice.email)).remaining, -1);
  });

  test("where no gateway counts, the sessions begun in the hour stand for them", async () => {
    await limitTo(30, "auth");
    await db.pool.query(
      "insert into auth.sessions (id, user_id, created_at) values (gen_random_uuid(), $1, now())",
      [alice.id],
    );
    assert.equal((await rpc(db, user(alice.id), "list_agents")).headers["supabase-auth-rate-limit"], "29");
  });

  test("only service_role may count", async () => {
    for (const [name, args] of [
      ["count_auth_request", { email: alice.email }],
      ["count_reads", { reads: {} }],
    ] as const) {
      assert.equal((await rpc(db, user(alice.id), name, args)).status, 403);
      assert.equal((await rpc(db, service, name, args)).status, 200);
    }
  });
});

test("the setting is the authenticator's, as hosted's PostgREST reads it", async () => {
  const { rows } = await db.pool.query(
    "select setconfig from pg_db_role_setting s join pg_roles r on r.oid = s.setrole where r.rolname = 'authenticator'",
  );
  assert.ok(rows[0].setconfig.includes("pgrst.db_pre_request=private.pre_request"));
});
