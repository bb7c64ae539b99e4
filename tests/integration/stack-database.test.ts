import assert from "node:assert/strict";
import { join } from "node:path";
import type { PoolClient } from "pg";
import { describe, test } from "vitest";
import { runSupabaseCli } from "../../packages/local-supabase/src/postgres/migrate.ts";
import { useTestDatabase } from "../helpers/database.ts";

const db = useTestDatabase();

/** The SQLSTATE and message of what a statement fails with. */
async function failure(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise;
  } catch (error) {
    return error as { code: string; message: string };
  }
  return assert.fail("expected an error");
}

const one = async (client: { query: PoolClient["query"] }, sql: string, args: unknown[] = []) =>
  (await client.query<{ value: unknown }>(sql, args)).rows[0]?.value;

describe("postgres, who pushes migrations", () => {
  test("is no superuser, and may bypass RLS", async () => {
    const { rows } = await db().pool.query(
      "select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls from pg_roles where rolname = current_user",
    );
    assert.deepEqual(rows[0], {
      rolsuper: false,
      rolcreatedb: true,
      rolcreaterole: true,
      rolreplication: true,
      rolbypassrls: true,
    });
  });

  for (const schema of ["auth", "storage", "realtime"]) {
    test(`cannot create in ${schema}`, async () => {
      assert.equal((await failure(db().pool.query(`create table ${schema}.mine (id int)`))).code, "42501");
      assert.equal(
        (
          await failure(
            db().pool.query(`create function ${schema}.mine() returns int language sql as 'select 1'`),
          )
        ).code,
        "42501",
      );
    });
  }

  test("cannot change or drop the platform's tables", async () => {
    for (const sql of [
      "alter table auth.users add column mine int",
      "create index on auth.users (created_at)",
      "alter table auth.users disable row level security",
      "drop table auth.identities cascade",
      "alter table storage.objects drop column version",
      "drop function auth.uid() cascade",
      "create or replace function auth.uid() returns uuid language sql as 'select null::uuid'",
      "alter table auth.users owner to postgres",
      "set role supabase_auth_admin",
      "set role supabase_admin",
    ]) {
      assert.equal((await failure(db().pool.query(sql))).code, "42501", sql);
    }
  });

  test("can put policies and triggers on the platform's tables, and take them away", async () => {
    const client = await db().pool.connect();
    try {
      await client.query("begin");
      await client.query(
        "create policy mine on realtime.messages for select to authenticated using (realtime.topic() like 'x:%')",
      );
      await client.query(
        "create policy mine on storage.objects for select to authenticated using (owner = (select auth.uid()))",
      );
      await client.query("drop policy mine on storage.objects");
      await client.query(
        "create function public.mine() returns trigger language plpgsql as 'begin return new; end'",
      );
      await client.query(
        "create trigger mine after insert on auth.users for each row execute function public.mine()",
      );
      await client.query("drop trigger mine on auth.users");
      await client.query(
        "create table public.child (user_id uuid references auth.users (id) on delete cascade)",
      );
      await client.query("alter publication supabase_realtime add table public.child");
    } finally {
      await client.query("rollback");
      client.release();
    }
  });

  test("finds extensions, and the settings of the other roles are hosted's", async () => {
    assert.equal(
      await one(db().pool, "select current_setting('search_path') as value"),
      '"$user", public, extensions',
    );
    const { rows } = await db().pool.query<{ rolname: string; rolconfig: string[] | null }>(
      "select rolname, rolconfig from pg_roles",
    );
    const config = (role: string) => rows.find((row) => row.rolname === role)?.rolconfig ?? [];
    assert.deepEqual(config("anon"), ["statement_timeout=3s"]);
    assert.deepEqual(config("authenticated"), ["statement_timeout=8s"]);
    // The last three are the migrations' own; errors of users are not logged, since they repeat their words.
    assert.deepEqual(config("authenticator"), [
      "statement_timeout=8s",
      "lock_timeout=8s",
      "log_min_messages=log",
      "pgrst.db_extra_search_path=public, extensions, pg_catalog",
      "random_page_cost=1.1",
      "pgrst.db_pre_request=private.pre_request",
    ]);
    await db().pool.query("alter role authenticator set pgrst.db_max_rows = '999'");
    await db().pool.query("alter role authenticator reset pgrst.db_max_rows");
  });
});

describe("API roles", () => {
  test("see nothing of a new table or sequence in public", async () => {
    await db().pool.query("create table public.fresh (id bigint generated always as identity primary key)");
    for (const role of ["anon", "authenticated", "service_role"]) {
      for (const privilege of ["select", "insert", "update", "delete"]) {
        assert.equal(
          await one(db().pool, "select has_table_privilege($1, 'public.fresh', $2) as value", [
            role,
            privilege,
          ]),
          false,
          `${role} ${privilege}`,
        );
      }
    }
    await db().pool.query("drop table public.fresh");
  });

  test("cannot read the users, Vault or jobs", async () => {
    for (const role of ["anon", "authenticated", "service_role"] as const) {
      for (const table of ["auth.users", "vault.secrets", "vault.decrypted_secrets", "cron.job"]) {
        assert.equal(
          (await failure(db().as({ role }, (client) => client.query(`select * from ${table}`)))).code,
          "42501",
          `${role} ${table}`,
        );
      }
    }
  });

  test("the claims of a request reach auth.uid(), auth.role(), auth.email() and auth.jwt()", async () => {
    const user = await db().createUser();
    const { rows } = await db().asUser(user, (client) =>
      client.query(
        "select auth.uid() as uid, auth.role() as role, auth.email() as email, auth.jwt() ->> 'sub' as sub",
      ),
    );
    assert.deepEqual(rows[0], { uid: user.id, role: "authenticated", email: user.email, sub: user.id });
    const anonymous = await db().asAnon((client) =>
      client.query("select auth.uid() as uid, auth.role() as role"),
    );
    assert.deepEqual(anonymous.rows[0], { uid: null, role: "anon" });
    assert.equal(await one(db().pool, "select auth.jwt() as value"), null);
  });

  test("cannot delete storage rows by SQL", async () => {
    const refused = await failure(
      db().asService((client) => client.query("delete from storage.objects where name = 'x'")),
    );
    assert.equal(refused.code, "42501");
    assert.match(refused.message, /Direct deletion from storage tables is not allowed/);
  });
});

describe("Realtime's SQL", () => {
  test("send writes a message and never fails its caller", async () => {
    const client = await db().pool.connect();
    try {
      await client.query("begin");
      await client.query("select realtime.send('{\"a\": 1}', 'moved', 'agent:1')");
      await client.query("select realtime.send(null, null, null)"); // topic is not null: a warning
      const { rows } = await client.query(
        "select topic, event, private, extension, payload -> 'a' as a, payload ? 'id' as has_id from realtime.messages",
      );
      assert.deepEqual(rows, [
        { topic: "agent:1", event: "moved", private: true, extension: "broadcast", a: 1, has_id: true },
      ]);
    } finally {
      await client.query("rollback");
      client.release();
    }
  });

  test("broadcast_changes sends the row from a trigger", async () => {
    const client = await db().pool.connect();
    try {
      await client.query("begin");
      await client.query("create table public.thing (id int primary key)");
      await client.query(`create function public.tg() returns trigger language plpgsql as $$ begin
        perform realtime.broadcast_changes('thing:' || new.id, tg_op, tg_op, tg_table_name, tg_table_schema, new, old); return null; end $$`);
      await client.query(
        "create trigger tg after insert or update on public.thing for each row execute function public.tg()",
      );
      await client.query("insert into public.thing values (7)");
      await client.query("update public.thing set id = 8");
      const { rows } = await client.query(
        "select topic, event, payload - 'id' as payload from realtime.messages order by topic",
      );
      assert.deepEqual(rows, [
        {
          topic: "thing:7",
          event: "INSERT",
          payload: {
            schema: "public",
            table: "thing",
            operation: "INSERT",
            record: { id: 7 },
            old_record: null,
          },
        },
        {
          topic: "thing:8",
          event: "UPDATE",
          payload: {
            schema: "public",
            table: "thing",
            operation: "UPDATE",
            record: { id: 8 },
            old_record: { id: 7 },
          },
        },
      ]);
    } finally {
      await client.query("rollback");
      client.release();
    }
  });

  test("a user without a policy reads no message", async () => {
    const user = await db().createUser();
    await db().pool.query("select realtime.send('{}', 'e', 'nobody:1')");
    const { rows } = await db().asUser(user, (client) =>
      client.query(
        "select set_config('realtime.topic', 'nobody:1', true), (select count(*)::int from realtime.messages where topic = 'nobody:1') as n",
      ),
    );
    assert.equal(rows[0]?.n, 0);
  });
});

test("the real advisors find no error and no warning in the project", async () => {
  const printed = await runSupabaseCli(["db", "advisors", "--level", "warn", "--fail-on", "warn"], {
    url: db().url("postgres"),
    projectFolder: join(import.meta.dirname, "../.."),
  });
  assert.match(printed, /No issues found/);
});
