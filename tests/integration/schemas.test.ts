// supabase/schemas and supabase/migrations make the same database, and the next migration follows from their difference.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, test } from "vitest";
import { bootstrap } from "../../packages/local-supabase/src/postgres/bootstrap.ts";
import { pushMigrations } from "../../packages/local-supabase/src/postgres/migrate.ts";
import { type Catalogue, differences, readCatalogue } from "../../packages/stack/src/upgrade/catalogue.ts";
import { mendDatabase } from "../../packages/stack/src/upgrade/mend.ts";
import { outdated } from "../../packages/stack/src/upgrade/outdated.ts";
import { migrationBetween, projectOf } from "../../scripts/migration/next.ts";
import { schemaFiles } from "../../scripts/migration/schemas.ts";
import { changingRoles, createTestDatabase, type TestDatabase } from "../helpers/database.ts";

const root = join(import.meta.dirname, "../..");
const folder = join(root, "supabase/migrations");
const migrations = Object.fromEntries(
  readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]),
);

async function catalogueOf(db: TestDatabase): Promise<Catalogue> {
  const client = await db.pool.connect();
  try {
    return await readCatalogue(client);
  } finally {
    client.release();
  }
}

/** Pushes these migrations with the Supabase CLI, as far as the database has them not. */
async function push(db: TestDatabase, files: Readonly<Record<string, string>>): Promise<void> {
  const project = projectOf(root, files);
  try {
    await changingRoles(() =>
      pushMigrations({ url: db.url("postgres"), projectFolder: project, seed: true }),
    );
  } finally {
    rmSync(project, { recursive: true });
  }
}

/** A database of the schema files, each as a migration of its own, as checkouts before the first release had them. */
async function schemaDatabase(): Promise<TestDatabase> {
  const db = await createTestDatabase("template0");
  const superuser = new pg.Client({ connectionString: db.url("supabase_admin") });
  await superuser.connect();
  try {
    await changingRoles(() => bootstrap(superuser, "test"));
  } finally {
    await superuser.end();
  }
  const files = schemaFiles(root).map(({ name, text }, at) => [`${20261121000000 + at}_${name}`, text]);
  await push(db, Object.fromEntries(files));
  return db;
}

let released: TestDatabase;
let schemas: TestDatabase;
beforeAll(async () => {
  released = await createTestDatabase();
  schemas = await schemaDatabase();
});
afterAll(async () => {
  await released?.destroy();
  await schemas?.destroy();
});

test("the schema files, one after the other, make what the migrations make", async () => {
  const made = await catalogueOf(schemas);
  assert.ok(Object.keys(made).length > 2000);
  assert.deepEqual(differences(made, await catalogueOf(released)), []);
});

describe("the next migration", () => {
  test("is refused when nothing changed", async () => {
    const between = migrationBetween(released.url("postgres"), schemas.url("postgres"));
    await assert.rejects(between, /nothing to write/);
  });

  test("makes what the edited files say: a column, a function, a policy, an index, grants, rows", async () => {
    await schemas.pool.query(EDIT);
    const next = await migrationBetween(released.url("postgres"), schemas.url("postgres"));
    const [before, wanted] = [await catalogueOf(released), await catalogueOf(schemas)];
    await push(released, { ...migrations, "29991231000000_mood.sql": next });
    const found = await catalogueOf(released);
    assert.deepEqual(differences(wanted, found), [], next);
    const changed = differences(before, found).map(({ what }) => what);
    for (const what of ["column public.swarms.mood", "function private.mood_of(public.swarms)"])
      assert.ok(changed.includes(what), what);
    const verbs = "select name, permission, status from private.verbs order by name";
    const { rows } = await released.pool.query(verbs);
    assert.deepEqual(rows, (await schemas.pool.query(verbs)).rows);
    assert.ok(rows.some(({ name, status }) => name === "feel" && status === 200));
    assert.ok(rows.some(({ name, status }) => name === "launch_agent" && status === 299));
  });
});

test("a database of the schema files is taken as it is: its rows stay, and it notes the migrations", async () => {
  const { id } = await schemas.createUser();
  const url = schemas.url("postgres");
  assert.equal((await outdated(url, root))?.unknown.length, schemaFiles(root).length);
  const { differences: found } = await mendDatabase({ url, referenceUrl: released.url("postgres") });
  assert.deepEqual(found, []);
  assert.deepEqual(await outdated(url, root), { edited: [], unknown: ["29991231000000"] });
  const { rowCount } = await schemas.pool.query("select from public.profiles where user_id = $1", [id]);
  assert.equal(rowCount, 1);
});

const EDIT = `
alter table public.swarms add column mood text not null default 'calm';
comment on column public.swarms.mood is 'How it feels.';
grant update (mood) on public.swarms to authenticated;
create index swarms_mood_idx on public.swarms (mood);
create policy "nobody sees a sad swarm" on public.swarms as restrictive for select to authenticated
  using (mood <> 'sad');
create function private.mood_of(swarm public.swarms) returns text language sql stable set search_path = ''
  return swarm.mood;
insert into private.verbs (name, permission) values ('feel', 'agents:read');
update private.verbs set status = 299 where name = 'launch_agent';
`;
