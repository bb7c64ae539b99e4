// What a user may store, in SQL: Storage's statements as hosted's and the embedded service make them.
import assert from "node:assert/strict";
import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import type { TestDatabase } from "../helpers/database.ts";
import { createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;
let agentId: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
});
afterAll(() => db.destroy());
beforeEach(async () => {
  [alice, bob] = [await createUser(db), await createUser(db)];
  agentId = await define(alice);
});

async function define(owner: string): Promise<string> {
  const { rows } = await db.as(user(owner), (c) =>
    c.query("insert into public.agents (name) values ('with files') returning id"),
  );
  return rows[0].id;
}

type Runs = Pick<pg.Pool, "query">;

/** The statement by which Storage completes an upload, as its own role does. */
const put = (path: string, bytes: number, on: Runs = db.superuser, bucket = "agent-assets") =>
  on.query(
    `insert into storage.objects (bucket_id, name, metadata) values ($1, $2, jsonb_build_object('size', $3::bigint))
     on conflict (bucket_id, name) do update set metadata = excluded.metadata`,
    [bucket, path, bytes],
  );
const drop = (like: string) =>
  db.as(service, async (c) => {
    await c.query("set local storage.allow_delete_query = 'true'");
    await c.query("delete from storage.objects where name like $1", [like]);
  });
const allow = (owner: string, storage: number, files = 100) =>
  db.pool.query("update public.quotas set max_storage = $2, max_files = $3 where user_id = $1", [
    owner,
    storage,
    files,
  ]);
const used = async (owner: string) =>
  (
    await db.as(user(owner), (c) =>
      c.query("select agent_id, files, bytes::int as bytes from public.storage_usage order by bytes"),
    )
  ).rows as { agent_id: string; files: number; bytes: number }[];

const BYTES = {
  code: "42501",
  message: /^RESOURCE_LIMIT_EXCEEDED: Quota of 100 bytes .*max_storage.*exceeded by \d+ bytes?\./,
};
const FILES = { code: "42501", message: /^RESOURCE_LIMIT_EXCEEDED: Quota of 2 files .*max_files.*make 3\./ };

describe("bytes", () => {
  test("are bounded over both buckets and all agents of a user; the details name the limit", async () => {
    await allow(alice, 100);
    const second = await define(alice);
    await put(`${agentId}/a`, 40);
    await put(`${agentId}/a`, 40, db.superuser, "agent-backups");
    await assert.rejects(put(`${second}/a`, 21), BYTES);
    const error = await put(`${second}/a`, 21).then(
      () => assert.fail(),
      (refused: { detail: string }) => refused,
    );
    assert.deepEqual(JSON.parse(error.detail), { quota: "max_storage", limit: 100, requested: 101 });
    await put(`${second}/a`, 20);
    assert.deepEqual(await used(alice), [
      { agent_id: second, files: 1, bytes: 20 },
      { agent_id: agentId, files: 2, bytes: 80 },
    ]);
  });

  test("count by whose agent it is, and only there", async () => {
    await allow(alice, 100);
    const theirs = await define(bob);
    await put(`${agentId}/a`, 100);
    await put(`${theirs}/a`, 1000);
    await put("nobody/a", 1000);
    await put(agentId, 1000);
    await db.superuser.query("insert into storage.buckets (id, name) values ('other', 'other')");
    await put(`${agentId}/a`, 1000, db.superuser, "other");
    assert.deepEqual(await used(alice), [{ agent_id: agentId, files: 1, bytes: 100 }]);
    assert.deepEqual(await used(bob), [{ agent_id: theirs, files: 1, bytes: 1000 }]);
    await assert.rejects(put(`${agentId}/b`, 1), BYTES);
  });

  test("of an overwritten file count by the difference, and deleting frees", async () => {
    await allow(alice, 100);
    await put(`${agentId}/a`, 60);
    await put(`${agentId}/a`, 100);
    await assert.rejects(put(`${agentId}/a`, 101), BYTES);
    await put(`${agentId}/a`, 30);
    await put(`${agentId}/b`, 70);
    await drop(`${agentId}/a`);
    await put(`${agentId}/c`, 30);
    assert.deepEqual(await used(alice), [{ agent_id: agentId, files: 2, bytes: 100 }]);
    await drop(`${agentId}/%`);
    assert.deepEqual(await used(alice), []);
  });

  test("over a lowered quota may shrink, move and go, but not grow", async () => {
    await put(`${agentId}/a`, 150);
    await put(`${agentId}/b`, 50);
    await allow(alice, 100);
    await assert.rejects(put(`${agentId}/c`, 1), BYTES);
    await put(`${agentId}/a`, 120);
    const second = await define(alice);
    await db.superuser.query("update storage.objects set name = $2 where name = $1", [
      `${agentId}/b`,
      `${second}/b`,
    ]);
    assert.deepEqual(
      (await used(alice)).map(({ bytes }) => bytes),
      [50, 120],
    );
    await put(`${agentId}/empty`, 0);
    await drop(`${agentId}/%`);
    await put(`${second}/c`, 50);
  });

  test("are judged by the declared length before an upload, which leaves no trace", async () => {
    await allow(alice, 100);
    const ask = (length: number | undefined) =>
      db.as(user(alice), async (c) => {
        await c.query(
          "insert into storage.objects (bucket_id, name, metadata) values ('agent-assets', $1, $2)",
          [`${agentId}/asked`, JSON.stringify({ mimetype: "text/plain", contentLength: length })],
        );
        await c.query("rollback; begin");
      });
    await assert.rejects(ask(101), BYTES);
    await ask(100);
    await ask(undefined);
    assert.deepEqual(await used(alice), []);
  });
});

describe("files", () => {
  test("are bounded too, empty ones as well", async () => {
    await allow(alice, 100, 2);
    await put(`${agentId}/a`, 0);
    await put(`${agentId}/b`, 0);
    await assert.rejects(put(`${agentId}/c`, 0), FILES);
    await put(`${agentId}/b`, 100);
    await drop(`${agentId}/a`);
    await put(`${agentId}/c`, 0);
  });

  test("many in one statement are judged together", async () => {
    await allow(alice, 100, 2);
    const many = (n: number) =>
      db.superuser.query(
        "insert into storage.objects (bucket_id, name) select 'agent-assets', $1 || '/' || i from generate_series(1, $2) i",
        [agentId, n],
      );
    await assert.rejects(many(3), FILES);
    assert.deepEqual(await used(alice), []);
    await many(2);
    await drop(`${agentId}/%`);
    assert.deepEqual(await used(alice), []);
  });

  test("uploaded at once, to several agents, do not pass the quota together", async () => {
    await allow(alice, 100, 100);
    const agents = [agentId, await define(alice), await define(alice)];
    // The first holds its transaction open until another waits for it.
    const first = await db.superuser.connect();
    try {
      await first.query("begin");
      await put(`${agentId}/first`, 60, first);
      // Listened to at once: its refusal may come before this test gets to it.
      const refused = assert.rejects(put(`${agents[1]}/second`, 60, db.pool), BYTES);
      for (;;) {
        const { rows } = await first.query(
          "select from pg_sleep(0.02), pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        );
        if (rows.length > 0) break;
      }
      await first.query("commit");
      await refused;
    } finally {
      first.release();
    }
    const results = await Promise.allSettled(
      Array.from({ length: 12 }, (_, i) => put(`${agents[i % 3]}/${i}`, 10, db.pool)),
    );
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 4);
    assert.equal(
      (await used(alice)).reduce((sum, { bytes }) => sum + bytes, 0),
      100,
    );
  });

  test("of a deleted agent count until they are gone, also what comes late by a signed link", async () => {
    await allow(alice, 100);
    await put(`${agentId}/a`, 60);
    await db.as(user(alice), (c) => c.query("delete from public.agents where id = $1", [agentId]));
    const next = await define(alice);
    await assert.rejects(put(`${next}/a`, 60), BYTES);
    await put(`${agentId}/late`, 40);
    await assert.rejects(put(`${next}/a`, 1), BYTES);
    await drop(`${agentId}/%`);
    await put(`${next}/a`, 60);
    // Nobody can tell any more whose these would be.
    await put(`${agentId}/later`, 1000);
    assert.deepEqual(await used(alice), [{ agent_id: next, files: 1, bytes: 60 }]);
  });
});

describe("the count", () => {
  test("is read by its owner alone, written by nobody, and goes with the account", async () => {
    await put(`${agentId}/a`, 60);
    assert.deepEqual(await used(bob), []);
    await assert.rejects(
      db.as({ role: "anon" }, (c) => c.query("select from public.storage_usage")),
      { code: "42501" },
    );
    for (const text of [
      "update public.storage_usage set bytes = 0",
      "delete from public.storage_usage",
      "update public.quotas set max_storage = 1",
    ]) {
      await assert.rejects(
        db.as(user(alice), (c) => c.query(text)),
        { code: "42501" },
        text,
      );
    }
    const { body } = await rpc(db, user(alice), "export_my_data");
    assert.deepEqual(body.tables.storage_usage, [{ agent_id: agentId, user_id: alice, files: 1, bytes: 60 }]);
    await db.pool.query("delete from auth.users where id = $1", [alice]);
    await drop(`${agentId}/%`);
    assert.equal(
      (await db.pool.query("select from public.storage_usage where user_id = $1", [alice])).rowCount,
      0,
    );
  });

  test("never keeps anybody from deleting, and can be made again", async () => {
    await put(`${agentId}/a`, 60);
    await put(`${agentId}/b`, 40);
    await db.pool.query("update public.storage_usage set files = 1, bytes = 10 where user_id = $1", [alice]);
    await db.pool.query("select private.recount_files()");
    assert.deepEqual(await used(alice), [{ agent_id: agentId, files: 2, bytes: 100 }]);
    await db.pool.query("update public.storage_usage set bytes = 10 where user_id = $1", [alice]);
    await drop(`${agentId}/a`);
    assert.deepEqual(await used(alice), [{ agent_id: agentId, files: 1, bytes: 0 }]);
    await db.pool.query("delete from public.storage_usage where user_id = $1", [alice]);
    await drop(`${agentId}/b`);
    assert.deepEqual(await used(alice), []);
  });
});
