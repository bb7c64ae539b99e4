import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, test } from "vitest";
import { StackError } from "../errors.ts";
import { startPostgrest } from "../postgrest.ts";
import { judgeSchemas } from "../services/rest.ts";
import { bootstrap } from "./bootstrap.ts";
import { localVersions, runSupabaseCli } from "./migrate.ts";
import { prepareDatabase } from "./prepare.ts";
import { type Postgres, startPostgres } from "./server.ts";

/** A small project: what `supabase db push` and the seed see. */
const project = mkdtempSync(join(tmpdir(), "launchpad-project-test-"));
const dataDir = mkdtempSync(join(tmpdir(), "launchpad-prepare-test-"));
const migrations = join(project, "supabase", "migrations");
let server: Postgres;

const migration = (name: string, sql: string) => writeFileSync(join(migrations, name), sql);

async function rows(sql: string, url = server.url("postgres")): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

beforeAll(async () => {
  mkdirSync(migrations, { recursive: true });
  writeFileSync(
    join(project, "supabase", "config.toml"),
    'project_id = "test"\n[db]\nmajor_version = 17\n[db.seed]\nenabled = true\nsql_paths = ["./seed.sql"]\n',
  );
  migration(
    "20260101000000_things.sql",
    `
    create extension if not exists pg_net with schema extensions;
    create extension if not exists pg_cron;
    create extension if not exists supabase_vault with schema vault;
    create extension if not exists moddatetime with schema extensions;
    create table public.things (id int primary key, owner uuid references auth.users (id));
    alter table public.things enable row level security;
    grant select on public.things to anon;
    create policy "all may read" on public.things for select to anon using (true);
    create table public.hidden (id int primary key);
    alter table public.hidden enable row level security;
    select cron.schedule('nightly', '0 3 * * *', 'select 1');
    create policy "own topic" on realtime.messages for select to authenticated using (realtime.topic() = 'u:' || (select auth.uid()));
  `,
  );
  writeFileSync(join(project, "supabase", "seed.sql"), "insert into public.things (id) values (1);");
  server = await startPostgres({ dataDir, port: 0, durable: false });
});
afterAll(async () => {
  await server.kill();
  for (const folder of [project, dataDir]) rmSync(folder, { recursive: true, force: true });
});

describe("preparing the database", () => {
  test("pushes as postgres, seeds once, and does nothing the second time", async () => {
    const first = await prepareDatabase(server, { projectFolder: project });
    assert.deepEqual(first.migrations, { applied: ["20260101000000"], upToDate: false });
    assert.deepEqual(await rows("select tableowner from pg_tables where tablename = 'things'"), [
      { tableowner: "postgres" },
    ]);
    assert.deepEqual(await rows("select id from public.things"), [{ id: 1 }]);
    await rows("delete from public.things where id = 1");
    const second = await prepareDatabase(server, { projectFolder: project });
    assert.deepEqual(second.migrations, { applied: [], upToDate: true });
    assert.deepEqual(await rows("select id from public.things"), []);
  });

  test("applies what was added, without seeding again", async () => {
    migration("20260102000000_more.sql", "alter table public.things add column note text;");
    const { migrations: pushed } = await prepareDatabase(server, { projectFolder: project });
    assert.deepEqual(pushed.applied, ["20260102000000"]);
    assert.deepEqual(await rows("select note from public.things"), []);
  });

  test("the real advisors find nothing at fault with the bootstrap", async () => {
    const printed = await runSupabaseCli(["db", "advisors", "--level", "warn", "--fail-on", "warn"], {
      url: server.url("postgres"),
      projectFolder: project,
    });
    assert.match(printed, /No issues found/);
  });

  test("PostgREST serves it, and hears of new objects", async () => {
    const rest = await startPostgrest({ dbUrl: server.url("authenticator"), jwtKeys: "x".repeat(40) });
    try {
      assert.deepEqual(
        [(await fetch(`${rest.url}/things`)).status, (await fetch(`${rest.url}/hidden`)).status],
        [200, 401],
      );
      await rows(
        "create table public.late (id int); alter table public.late enable row level security; grant select on public.late to anon",
      );
      for (let attempt = 0; (await fetch(`${rest.url}/late`)).status !== 200; attempt++) {
        assert.ok(attempt < 100, "the schema cache was not reloaded");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    } finally {
      await rest.stop();
    }
  });

  test("config.toml's [api] reaches PostgREST; a schema that is missing is left out", async () => {
    await rows(
      "create schema personal; grant usage on schema personal to anon; create table personal.notes (id int); insert into personal.notes values (1), (2); grant select on personal.notes to anon",
    );
    const wanted = ["public", "graphql_public", "personal", "gone"];
    const { there, missing } = await judgeSchemas(server.url("postgres"), wanted);
    assert.deepEqual([there, missing], [["public", "personal"], ["gone"]]);
    const rest = await startPostgrest({
      dbUrl: server.url("authenticator"),
      jwtKeys: "x".repeat(40),
      api: { schemas: there, extra_search_path: ["public", "extensions"], max_rows: 1 },
    });
    try {
      const of = (profile: string) => fetch(`${rest.url}/notes`, { headers: { "accept-profile": profile } });
      assert.deepEqual(await (await of("personal")).json(), [{ id: 1 }]);
      assert.equal((await of("gone")).status, 406);
    } finally {
      await rest.stop();
    }
  });

  test.runIf(process.platform === "linux")(
    "PostgREST has little memory for new objects, and keeps connections",
    async () => {
      const rest = await startPostgrest({ dbUrl: server.url("authenticator"), jwtKeys: "x".repeat(40) });
      try {
        const variables = readFileSync(`/proc/${rest.pid}/environ`, "utf8").split("\0");
        for (const expected of [
          "GHCRTS=-A2m -n512k",
          "PGRST_DB_POOL_MAX_IDLETIME=600",
          "PGRST_DB_POOL_MAX_LIFETIME=14400",
        ])
          assert.ok(variables.includes(expected), expected);
        // It would have refused an option that it does not know.
        assert.equal((await fetch(`${rest.url}/things`)).status, 200);
      } finally {
        await rest.stop();
      }
    },
  );

  test("the bootstrap may run again on a database in use", async () => {
    const superuser = new pg.Client({ connectionString: server.superuserUrl });
    await superuser.connect();
    try {
      await bootstrap(superuser, "another key");
    } finally {
      await superuser.end();
    }
    const claims = '{"sub":"7b1e2a34-0000-4000-8000-000000000001"}';
    assert.deepEqual(await rows(`select set_config('request.jwt.claims', '${claims}', false), auth.uid()`), [
      { set_config: claims, uid: "7b1e2a34-0000-4000-8000-000000000001" },
    ]);
    assert.deepEqual(await rows("select tableowner from pg_tables where schemaname = 'auth' group by 1"), [
      { tableowner: "supabase_auth_admin" },
    ]);
    // prepareDatabase sees that its own bootstrap is not the last and runs it again.
    assert.ok((await prepareDatabase(server, { projectFolder: project })).migrations.upToDate);
  });

  test("a failing migration is explained", async () => {
    migration("20260103000000_broken.sql", "select * from public.nowhere;");
    await assert.rejects(prepareDatabase(server, { projectFolder: project }), (error: unknown) => {
      assert.ok(error instanceof StackError);
      assert.match(error.message, /20260103000000_broken\.sql/);
      assert.match(error.message, /relation "public\.nowhere" does not exist/);
      assert.ok(!error.message.includes(new URL(server.url("postgres")).password));
      return true;
    });
    rmSync(join(migrations, "20260103000000_broken.sql"));
    assert.deepEqual(localVersions(project), ["20260101000000", "20260102000000"]);
  });
});
