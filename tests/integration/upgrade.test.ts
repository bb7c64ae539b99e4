// A database of an older checkout becomes what a fresh one is, and keeps its rows.
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { differences, readCatalogue } from "../../packages/stack/src/upgrade/catalogue.ts";
import { mendDatabase } from "../../packages/stack/src/upgrade/mend.ts";
import { CODE_TABLES } from "../../packages/stack/src/upgrade/rows.ts";
import { FINGERPRINT_FILE, fingerprintText } from "../../scripts/fingerprint.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { fillOldDatabase, type OldData, oldDatabase } from "../helpers/old-database.ts";
import { anon, rpc, service, settle, user } from "../helpers/sql-api.ts";

async function catalogueOf(db: TestDatabase) {
  const client = await db.pool.connect();
  try {
    return await readCatalogue(client);
  } finally {
    client.release();
  }
}

/** The rows of every table that both have, with the columns of the first. */
async function rowsOf(db: TestDatabase, columns?: Record<string, string[]>) {
  const tables = await db.pool.query<{ name: string; columns: string[] }>(
    `select c.oid::regclass::text as name, array_agg(a.attname::text order by a.attname) as columns
     from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relkind = 'r' and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) group by c.oid`,
  );
  const rows: Record<string, { columns: string[]; rows: string[] }> = {};
  for (const { name, columns: all } of tables.rows) {
    const chosen = columns === undefined ? all : (columns[name] ?? []);
    if (chosen.length === 0) continue;
    const list = chosen.map((column) => `"${column}"`).join(", ");
    const { rows: found } = await db.pool.query<{ row: string }>(
      `select to_jsonb(t)::text as row from (select ${list} from ${name}) t order by 1`,
    );
    rows[name] = { columns: chosen, rows: found.map(({ row }) => row) };
  }
  return rows;
}

async function secretsOf(db: TestDatabase): Promise<string[]> {
  const { rows } = await db.pool.query<{ secret: string }>(
    "select decrypted_secret as secret from vault.decrypted_secrets order by 1",
  );
  return rows.map(({ secret }) => secret);
}

let fresh: TestDatabase;
beforeAll(async () => {
  fresh = await createTestDatabase();
});
afterAll(() => fresh?.destroy());

test("supabase/fingerprint.json, once there is a release, is what the migrations make (UPDATE_FINGERPRINT=1 writes it)", async () => {
  const file = join(import.meta.dirname, "../..", FINGERPRINT_FILE);
  const text = fingerprintText(await catalogueOf(fresh));
  if (process.env.UPDATE_FINGERPRINT === "1") writeFileSync(file, text);
  if (existsSync(file)) assert.equal(readFileSync(file, "utf8"), text);
});

const mend = (db: TestDatabase) =>
  mendDatabase({
    url: db.url("postgres"),
    referenceUrl: fresh.url("postgres"),
    superuserUrl: db.url("supabase_admin"),
  });

describe("a database of 325405c with rows of two users", () => {
  let db: TestDatabase;
  let data: OldData;
  let kept: Awaited<ReturnType<typeof rowsOf>>;
  let secrets: string[];
  let mended: Awaited<ReturnType<typeof mend>>;
  beforeAll(async () => {
    db = await oldDatabase();
    data = await fillOldDatabase(db);
    kept = await rowsOf(db);
    secrets = await secretsOf(db);
    mended = await mend(db);
  });
  afterAll(() => db?.destroy());

  test("has the schema of a fresh database", async () => {
    assert.ok(mended.differences.length > 1000, `${mended.differences.length} differences before`);
    assert.deepEqual(mended.kept, []);
    assert.deepEqual(differences(await catalogueOf(fresh), await catalogueOf(db)), []);
  });

  test("keeps every row", async () => {
    const columns = Object.fromEntries(Object.entries(kept).map(([name, table]) => [name, table.columns]));
    const now = await rowsOf(db, columns);
    const lost = Object.entries(kept).flatMap(([name, before]) => {
      const there = new Set(now[name]?.rows);
      return before.rows.filter((row) => !there.has(row)).map((row) => `${name} ${row}`);
    });
    // Frameworks: defaults that their providers retire are replaced.
    const ofCode = new RegExp(`^(${CODE_TABLES.join("|")}|frameworks) `);
    assert.deepEqual(
      lost.filter((row) => !ofCode.test(row)),
      [],
    );
  });

  test("has the rows that migrations bring, and keeps what operators set", async () => {
    const [now, wanted] = [await rowsOf(db), await rowsOf(fresh)];
    const named = (rows: string[] | undefined, ...keys: string[]) =>
      (rows ?? [])
        .map((row) => keys.map((key) => (JSON.parse(row) as Record<string, unknown>)[key]).join(" "))
        .sort();
    assert.deepEqual(
      named(now["private.verbs"]?.rows, "name", "permission"),
      named(wanted["private.verbs"]?.rows, "name", "permission"),
    );
    const models = new Set(named(now.models?.rows, "framework", "name", "takes"));
    for (const model of named(wanted.models?.rows, "framework", "name", "takes"))
      assert.ok(models.has(model), model);
    const [set] = (
      await db.pool.query(
        `select (select max_agents from public.quotas where user_id = $1) as agents,
                (select count(*)::int from public.rate_limits where window_seconds = 61) as limits`,
        [data.bob],
      )
    ).rows;
    assert.deepEqual(set, { agents: 77, limits: 1 });
  });

  test("serves its users: each sees their own, nobody sees another's", async () => {
    const [ada] = data.agents;
    const seen = await rpc(db, user(data.alice), "get_agent_status", { agent_id: ada });
    assert.equal(seen.body.status, "DEPLOYED");
    assert.equal((await rpc(db, user(data.bob), "get_agent_status", { agent_id: ada })).status, 404);
    assert.notEqual((await rpc(db, anon, "get_agent_status", { agent_id: ada })).status, 200);
    const texts = await db.asUser(
      data.alice,
      async (client) => (await client.query("select content from public.messages")).rows,
    );
    assert.deepEqual(texts.map(({ content }) => content).sort(), [
      "Hello Ada",
      "Hello from Ada",
      "Hello from Ada",
      "Hello team",
    ]);
    const others = await db.asUser(
      data.bob,
      async (client) => (await client.query("select from public.messages")).rowCount,
    );
    assert.equal(others, 0);
    assert.deepEqual(await secretsOf(db), secrets);
    assert.ok(secrets.includes("value-1"));
    await rpc(db, user(data.alice), "restart_agent", { agent_id: ada });
    await settle(db, ada as string, ["DEPLOYED"]);
    const defaults = "select name, default_model from public.frameworks order by 1";
    assert.deepEqual((await db.pool.query(defaults)).rows, (await fresh.pool.query(defaults)).rows);
    await db.asUser(data.alice, (client) =>
      client.query(
        "insert into public.messages (conversation_id, to_agent_id, content) values (gen_random_uuid(), $1, 'Again')",
        [ada],
      ),
    );
    const { body: jobs } = await rpc(db, service, "claim_replies", { worker: "new-worker" });
    assert.equal(jobs.length, 1);
    const [{ jobId, leaseToken }] = jobs;
    const answer = { content: "Hello again", model: "gpt-4o", inputTokens: 3, outputTokens: 2 };
    const finished = await rpc(db, service, "finish_reply", {
      job_id: jobId,
      lease_token: leaseToken,
      answer,
    });
    assert.equal(finished.status, 200, JSON.stringify(finished.body));
    assert.equal(
      (await rpc(db, user(data.bob), "launch_agent", { definition: { agentName: "New" } })).status,
      201,
    );
  });

  test("counts the rows that were there before it counted rows", async () => {
    const counted = "select relation, rows from private.row_counts where user_id = $1 order by 1";
    const before = (await db.pool.query(counted, [data.alice])).rows;
    await db.pool.query("select private.recount_rows()");
    assert.deepEqual((await db.pool.query(counted, [data.alice])).rows, before);
    assert.ok(before.length > 0);
    const most = "select most_replicas from private.agent_deployments where agent_id = $1";
    assert.deepEqual((await db.pool.query(most, [data.agents[0]])).rows, [{ most_replicas: 3 }]);
  });

  test("a second upgrade finds nothing", async () => {
    assert.deepEqual((await mend(db)).differences, []);
  });
});

describe("a database in which others built something too", () => {
  let db: TestDatabase;
  beforeAll(async () => {
    db = await oldDatabase();
  });
  afterAll(() => db?.destroy());

  test("is not changed at all when the upgrade cannot succeed", async () => {
    const before = await catalogueOf(db);
    // A view of the users' own holds a function of ours that is gone since.
    await db.pool.query("create view public.mine as select private.cpu_millicores('1') as cpu");
    await assert.rejects(mend(db), /nothing in it has changed\. .*depend/s);
    await db.pool.query("drop view public.mine");
    assert.deepEqual(await catalogueOf(db), before);
  });

  test("keeps what its users made, and names it", async () => {
    await db.pool.query(`
      create table public.diary (id int primary key, agent_id text references public.agents (id), text text);
      alter table public.diary enable row level security;
      create policy "all may read" on public.diary for select to anon using (true);
      grant select on public.diary to anon;
      insert into public.diary (id, text) values (1, 'kept');
      create function public.my_own() returns int language sql return 1;
      alter table public.agents add column mood text;
      create index agents_mood_idx on public.agents (mood)`);
    const { kept } = await mend(db);
    assert.deepEqual(
      kept.filter((what) => /diary$|my_own|mood/.test(what)),
      [
        "column public.agents.mood",
        "function public.my_own",
        "index public.agents_mood_idx",
        "table public.diary",
      ],
    );
    const { rows } = await db.asAnon((client) => client.query("select text from public.diary"));
    assert.deepEqual(rows, [{ text: "kept" }]);
    const left = differences(await catalogueOf(fresh), await catalogueOf(db));
    assert.deepEqual(
      left.filter(({ what }) => !/diary|my_own|mood/.test(what)),
      [],
    );
  });
});
