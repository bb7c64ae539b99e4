// What must hold for every table and function, from the catalogue, and the RLS matrix on rows.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { errorCodes } from "../../supabase/functions/_shared/contract/errors.ts";
import { type Caller, createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { anon, createUser, liftRateLimits, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;

before(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  alice = await createUser(db);
  bob = await createUser(db);
  // A row of Alice's in every table that holds users' rows.
  const { body } = await rpc(db, user(alice), "launch_agent", {
    definition: { agentName: "bot", environment: { TOKEN: "sekrit" } },
  });
  await settle(db, body.agentId);
  const line = { agentId: body.agentId, replica: "r", sequence: 1, timestamp: new Date().toISOString() };
  await rpc(db, service, "ingest_agent_logs", {
    rows: [{ ...line, level: "INFO", message: "m", source: "s" }],
  });
  await rpc(db, service, "ingest_agent_metrics", { rows: [line] });
  await db.pool.query("select private.roll_up_metrics()");
  await db.pool.query(
    "insert into public.agent_conversations (agent_id, user_id, conversation_id, role, content) values ($1, $2, gen_random_uuid(), 'user', 'hi')",
    [body.agentId, alice],
  );
  await rpc(db, user(alice), "scan_agent", { agent_id: body.agentId });
});
after(() => db.destroy());

const names = async (text: string) => (await db.pool.query(text)).rows.map((row) => row.name as string);

describe("the catalogue", () => {
  test("every table of public and private has row-level security on", async () => {
    assert.deepEqual(
      await names(
        `select c.oid::regclass::text as name from pg_class c
         where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind in ('r', 'p') and not c.relrowsecurity`,
      ),
      [],
    );
  });

  test("anon may read the catalogue of models and nothing else", async () => {
    assert.deepEqual(
      await names(
        `select distinct c.relname as name from pg_class c, unnest(array['SELECT','INSERT','UPDATE','DELETE','TRUNCATE']) as p
         where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind in ('r', 'p', 'v')
           and has_table_privilege('anon', c.oid, p) order by 1`,
      ),
      ["frameworks", "models"],
    );
  });

  test("anon may execute no function of public or private but what precedes each request", async () => {
    assert.deepEqual(
      await names(
        `select p.oid::regprocedure::text as name from pg_proc p
         where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace) and has_function_privilege('anon', p.oid, 'execute')`,
      ),
      ["private.pre_request()"],
    );
  });

  test("no API role may touch a table of private", async () => {
    assert.deepEqual(
      await names(
        `select c.relname || ' ' || r as name from pg_class c, unnest(array['anon', 'authenticated', 'service_role']) as r
         where c.relnamespace = 'private'::regnamespace and c.relkind in ('r', 'p')
           and (has_table_privilege(r, c.oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE') or has_any_column_privilege(r, c.oid, 'SELECT,INSERT,UPDATE'))`,
      ),
      [],
    );
  });

  test("no function of public is security definer; every definer has an empty search_path", async () => {
    assert.deepEqual(
      await names(
        `select p.oid::regprocedure::text as name from pg_proc p where p.pronamespace = 'public'::regnamespace and p.prosecdef`,
      ),
      [],
    );
    assert.deepEqual(
      await names(
        `select p.oid::regprocedure::text as name from pg_proc p where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
           and not coalesce(p.proconfig, '{}') @> array['search_path=""']`,
      ),
      [],
    );
  });

  test("every foreign key is indexed", async () => {
    assert.deepEqual(
      await names(
        `select k.conrelid::regclass || '.' || k.conname as name from pg_constraint k
         where k.contype = 'f' and k.connamespace in ('public'::regnamespace, 'private'::regnamespace)
           and not exists (select from pg_index i where i.indrelid = k.conrelid
             and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)`,
      ),
      [],
    );
  });

  test("every public table and function says what it is for", async () => {
    assert.deepEqual(
      await names(
        `select c.relname as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
           and obj_description(c.oid, 'pg_class') is null
         union all select p.proname from pg_proc p where p.pronamespace = 'public'::regnamespace
           and obj_description(p.oid, 'pg_proc') is null`,
      ),
      [],
    );
  });

  test("the error codes of SQL and of the contract are one list", async () => {
    const { rows } = await db.pool.query("select private.error_codes() as codes");
    assert.deepEqual(
      rows[0].codes,
      Object.fromEntries(Object.entries(errorCodes).map(([code, { status }]) => [code, status])),
    );
  });
});

describe("the RLS matrix", () => {
  /** Verbs that may succeed on a row of Alice's, by caller: r(ead) i(nsert) u(pdate) d(elete). */
  const matrix: Record<string, { owner: string; other: string; service: string }> = {
    agents: { owner: "rud", other: "", service: "rud" },
    agent_conversations: { owner: "r", other: "", service: "rud" },
    agent_events: { owner: "r", other: "", service: "r" },
    agent_logs: { owner: "r", other: "", service: "r" },
    agent_metrics: { owner: "r", other: "", service: "r" },
    agent_metrics_hour: { owner: "r", other: "", service: "r" },
    agent_metrics_minute: { owner: "r", other: "", service: "r" },
    agent_revisions: { owner: "r", other: "", service: "r" },
    agent_secrets: { owner: "r", other: "", service: "r" },
    profiles: { owner: "r", other: "", service: "r" },
    security_events: { owner: "r", other: "", service: "r" },
    security_scans: { owner: "r", other: "", service: "r" },
    quotas: { owner: "r", other: "", service: "rud" },
    user_permissions: { owner: "r", other: "", service: "rud" },
  };

  test("covers every table with a user_id", async () => {
    assert.deepEqual(
      await names(
        `select c.relname as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'user_id') order by 1`,
      ),
      Object.keys(matrix).sort(),
    );
  });

  const statements = {
    // A column every caller with SELECT may read: agent_secrets grants only some.
    r: (table: string) =>
      table === "agent_secrets"
        ? "select agent_id from public.agent_secrets where agent_id in (select agent_id from public.agent_secrets)"
        : `select 1 from public.${table} where user_id = $1`,
    u: (table: string) =>
      table === "agents"
        ? "update public.agents set description = description where user_id = $1 returning 1"
        : `update public.${table} set user_id = user_id where user_id = $1 returning 1`,
    d: (table: string) => `delete from public.${table} where user_id = $1 returning 1`,
  };

  /** Whether the statement reached at least one row; always rolled back. */
  async function reaches(caller: Caller, text: string): Promise<boolean> {
    const undo = new Error("undo");
    let reached = false;
    try {
      await db.as(caller, async (client) => {
        const { rowCount } = await client.query(text, text.includes("$1") ? [alice] : []);
        reached = (rowCount ?? 0) > 0;
        throw undo;
      });
    } catch (error) {
      if (error !== undo && (error as { code?: string }).code !== "42501") throw error;
    }
    return reached;
  }

  for (const [table, expected] of Object.entries(matrix)) {
    for (const [who, caller] of [
      ["owner", () => user(alice)],
      ["other", () => user(bob)],
      ["service", () => service],
      ["anon", () => anon],
    ] as const) {
      test(`${table} × ${who}`, async () => {
        const allowed = who === "anon" ? "" : expected[who];
        for (const verb of ["r", "u", "d"] as const) {
          assert.equal(
            await reaches(caller(), statements[verb](table)),
            allowed.includes(verb),
            `${who} ${verb} ${table}`,
          );
        }
      });
    }
  }

  test("nobody but the owner can make a row of the owner's", async () => {
    await assert.rejects(
      db.as(user(bob), (c) => c.query("insert into public.agents (name, user_id) values ('x', $1)", [alice])),
      { code: "42501" },
    );
    for (const table of Object.keys(matrix).filter((t) => t !== "agents")) {
      await assert.rejects(
        db.as(user(alice), (c) => c.query(`insert into public.${table} (user_id) values ($1)`, [alice])),
        { code: "42501" },
        table,
      );
    }
  });
});
