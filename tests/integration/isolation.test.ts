// What must hold for every table and function, from the catalogue, and the RLS matrix on rows.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { errorCodes } from "../../supabase/functions/_shared/contract/errors.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import {
  type Cast,
  deviations,
  fillOwnedTables,
  foreignInserts,
  owned,
  shared,
} from "../helpers/rls-matrix.ts";
import { createUser, liftRateLimits, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let cast: Cast;

beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  const [alice, bob] = [await createUser(db), await createUser(db)];
  // A row of Alice's in every table that holds users' rows: by use where that is easy, else by column types.
  const { body } = await rpc(db, user(alice), "launch_agent", {
    definition: { agentName: "bot", environment: { TOKEN: "sekrit" } },
  });
  cast = { alice, bob, agentId: body.agentId };
  await settle(db, body.agentId);
  const line = { agentId: body.agentId, replica: "r", sequence: 1, timestamp: new Date().toISOString() };
  await rpc(db, service, "ingest_agent_logs", {
    rows: [{ ...line, level: "INFO", message: "m", source: "s" }],
  });
  await rpc(db, service, "ingest_agent_metrics", { rows: [line] });
  await rpc(db, user(alice), "scan_agent", { agent_id: body.agentId });
  await fillOwnedTables(db, cast);
});
afterAll(() => db.destroy());

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
      ["frameworks", "model_prices", "models"],
    );
  });

  test("anon may execute what judges requests and callers, and what takes a runtime's credential, alone", async () => {
    assert.deepEqual(
      await names(
        `select p.oid::regprocedure::text as name from pg_proc p
         where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace) and has_function_privilege('anon', p.oid, 'execute')
         order by p.oid::regprocedure::text collate "C"`,
      ),
      [
        "count_public_message(text,text,text)",
        "hold_platforms(text,text,text,boolean)",
        "judge_caller(text,text,text,text)",
        "private.calm_like(text)",
        "private.calm_pattern(text)",
        "private.count_public_message(text,text,text)",
        "private.hold_platforms(text,text,text,boolean)",
        "private.judge_caller(text,text,text,text)",
        "private.pre_request()",
        "private.report_plugins(text,text,jsonb)",
        "private.reserve_model_call(text,text,jsonb,jsonb,jsonb)",
        "private.runtime_acts(text,text,uuid,uuid)",
        "private.runtime_begin_message(text,text,uuid,uuid,text,text,boolean)",
        "private.runtime_knowledge(text,text,uuid,text,text,jsonb,text)",
        "private.runtime_plugin_secret(text,text,text)",
        "private.runtime_search(text,text,uuid,text,integer)",
        "private.runtime_tool_secret(text,text,uuid)",
        "private.runtime_tools(text,text)",
        "private.settle_model_calls(text,text,jsonb,jsonb)",
        "report_plugins(text,text,jsonb)",
        "reserve_model_call(text,text,jsonb,jsonb,jsonb)",
        "runtime_acts(text,text,uuid,uuid)",
        "runtime_begin_message(text,text,uuid,uuid,text,text,boolean)",
        "runtime_knowledge(text,text,uuid,text,text,jsonb,text)",
        "runtime_plugin_secret(text,text,text)",
        "runtime_search(text,text,uuid,text,integer)",
        "runtime_tool_secret(text,text,uuid)",
        "runtime_tools(text,text)",
        "settle_model_calls(text,text,jsonb,jsonb)",
      ],
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
  test("covers every table of public", async () => {
    assert.deepEqual(
      await names(
        `select c.relname as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'user_id') order by 1`,
      ),
      Object.keys(owned).sort(),
    );
    assert.deepEqual(
      await names(
        `select c.relname as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'user_id') order by 1`,
      ),
      Object.keys(shared).sort(),
    );
  });

  // Verbs, callers and expectations: tests/helpers/rls-matrix.ts. policy-mutants.test.ts proves that it notices.
  for (const table of [...Object.keys(owned), ...Object.keys(shared)]) {
    test(table, async () => assert.deepEqual(await deviations(db, cast, { tables: [table] }), []));
  }

  test("an insert that names another owner is answered the same, whatever that owner has", async () => {
    await db.pool.query("update public.quotas set max_agents = 0 where user_id = $1", [cast.alice]);
    const told = await foreignInserts(db, cast);
    await db.pool.query("update public.quotas set max_agents = 50 where user_id = $1", [cast.alice]);
    assert.ok(Object.keys(told).length >= 6);
    for (const [table, answers] of Object.entries(told)) {
      const policy = `42501 new row violates row-level security policy for table "${table}"`;
      assert.deepEqual(answers, [policy, policy], `${table} needs the trigger _060_own`);
    }
  });

  test("nobody but the owner can make a row of the owner's, with triggers and real grants", async () => {
    await assert.rejects(
      db.as(user(cast.bob), (c) =>
        c.query("insert into public.agents (name, user_id) values ('x', $1)", [cast.alice]),
      ),
      { code: "42501" },
    );
    for (const [table, { owner }] of Object.entries(owned)) {
      if (owner.includes("i")) continue;
      await assert.rejects(
        db.as(user(cast.alice), (c) =>
          c.query(`insert into public.${table} (user_id) values ($1)`, [cast.alice]),
        ),
        { code: "42501" },
        table,
      );
    }
  });
});
