// A database of the last release, with rows of two users and an agent that sleeps, gets the migrations after it.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, test } from "vitest";
import { bootstrap } from "../../packages/local-supabase/src/postgres/bootstrap.ts";
import { pushMigrations } from "../../packages/local-supabase/src/postgres/migrate.ts";
import { differences, readCatalogue } from "../../packages/stack/src/upgrade/catalogue.ts";
import { mendDatabase } from "../../packages/stack/src/upgrade/mend.ts";
import { CODE_TABLES } from "../../packages/stack/src/upgrade/rows.ts";
import { projectOf } from "../../scripts/migration/next.ts";
import { changingRoles, createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { fillOldDatabase, type OldData } from "../helpers/old-database.ts";
import { anon, rpc, service, settle, user } from "../helpers/sql-api.ts";

const root = join(import.meta.dirname, "../..");
const folder = join(root, "supabase/migrations");
const all = Object.fromEntries(
  readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]),
);
const { migrations } = JSON.parse(readFileSync(join(root, "supabase/released.json"), "utf8")) as {
  migrations: Record<string, string>;
};
const released = Object.fromEntries(Object.entries(all).filter(([name]) => name in migrations));

async function catalogueOf(db: TestDatabase) {
  const client = await db.pool.connect();
  try {
    return await readCatalogue(client);
  } finally {
    client.release();
  }
}

/** As operators do: `supabase db push`. */
async function push(db: TestDatabase, files: Readonly<Record<string, string>>, seed: boolean): Promise<void> {
  const project = projectOf(root, files);
  try {
    await changingRoles(() => pushMigrations({ url: db.url("postgres"), projectFolder: project, seed }));
  } finally {
    rmSync(project, { recursive: true });
  }
}

async function releasedDatabase(): Promise<TestDatabase> {
  const db = await createTestDatabase("template0");
  const superuser = new pg.Client({ connectionString: db.url("supabase_admin") });
  await superuser.connect();
  try {
    await changingRoles(() => bootstrap(superuser, "test"));
  } finally {
    await superuser.end();
  }
  await push(db, released, true);
  return db;
}

/** Every row of every table but those that the code brings, as text. */
async function rowsOf(db: TestDatabase): Promise<Set<string>> {
  const { rows: tables } = await db.pool.query<{ name: string; columns: string }>(
    `select c.oid::regclass::text as name, string_agg(quote_ident(a.attname), ', ' order by a.attname) as columns
     from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relkind = 'r' and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
       and not (c.relname, a.attname) = ('plugin_states', 'works_alone') group by c.oid`,
  );
  const found = new Set<string>();
  for (const { name, columns } of tables) {
    const { rows } = await db.pool.query<{ row: string }>(
      `select to_jsonb(t)::text as row from (select ${columns} from ${name}) t`,
    );
    if (!CODE_TABLES.includes(name)) for (const { row } of rows) found.add(`${name} ${row}`);
  }
  return found;
}

let fresh: TestDatabase;
beforeAll(async () => {
  fresh = await createTestDatabase();
});
afterAll(() => fresh?.destroy());

const WAYS: [string, (db: TestDatabase) => Promise<unknown>][] = [
  ["supabase db push", (db) => push(db, all, false)],
  [
    "npm run upgrade",
    (db) =>
      mendDatabase({
        url: db.url("postgres"),
        referenceUrl: fresh.url("postgres"),
        superuserUrl: db.url("supabase_admin"),
      }),
  ],
];
describe.each(WAYS)("a database of the last release after %s", (_, upgrade) => {
  let db: TestDatabase;
  let data: OldData;
  let sleeper: string;
  let before: Set<string>;
  beforeAll(async () => {
    db = await releasedDatabase();
    data = await fillOldDatabase(db);
    [sleeper = ""] = data.agents;
    await rpc(db, user(data.alice), "sleep_agent", { agent_id: sleeper });
    await settle(db, sleeper, ["ASLEEP"]);
    before = await rowsOf(db);
    await upgrade(db);
  });
  afterAll(() => db?.destroy());

  test("has the schema of a fresh one, and every row", async () => {
    assert.deepEqual(differences(await catalogueOf(fresh), await catalogueOf(db)), []);
    const now = await rowsOf(db);
    assert.deepEqual(
      [...before].filter((row) => !now.has(row)),
      [],
    );
  });

  test("serves its users, and wakes the sleeper for its controller alone", async () => {
    const wake = (caller: Parameters<typeof rpc>[1], args = {}) =>
      rpc(db, caller, "wake_deployment", { agent_id: sleeper, ...args });
    for (const caller of [anon, user(data.alice), user(data.bob)])
      assert.notEqual((await wake(caller)).status, 200);
    const stranger = await wake(service, { cause: "anonymous" });
    assert.deepEqual([stranger.body.state, stranger.body.code], ["refused", "INVALID_API_KEY"]);
    const listed = await rpc(db, user(data.bob), "list_agents", {});
    assert.ok(!JSON.stringify(listed.body).includes(sleeper));
    // A controller of the last release names no credential.
    assert.equal((await wake(service, { cause: "request" })).body.state, "waking");
    await settle(db, sleeper, ["DEPLOYED"]);
  });
});
