// Files of agents in SQL: the policies on storage.objects, and the list of files that have to go with their agents.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { TestDatabase } from "../helpers/database.ts";
import { createUnlimitedDatabase, createUser, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  [alice, bob] = [await createUser(db), await createUser(db)];
});
afterAll(() => db.destroy());

async function define(owner: string): Promise<string> {
  const { rows } = await db.as(user(owner), (c) =>
    c.query("insert into public.agents (name) values ('with files') returning id"),
  );
  return rows[0].id;
}

const put = (names: string[], bucket = "agent-assets") =>
  db.superuser.query("insert into storage.objects (bucket_id, name) select $1, unnest($2::text[])", [
    bucket,
    names,
  ]);
const names = async (caller: Parameters<TestDatabase["as"]>[0]) =>
  (await db.as(caller, (c) => c.query("select name from storage.objects order by name"))).rows.map(
    (row) => row.name as string,
  );
const drop = (list: string[]) =>
  db.as(service, async (c) => {
    await c.query("set local storage.allow_delete_query = 'true'");
    await c.query("delete from storage.objects where name = any ($1)", [list]);
  });
const claim = async (max_count = 100) =>
  (await rpc(db, service, "claim_file_removals", { max_count })).body as {
    agentId: string;
    files: { bucket: string; names: string[] }[];
  }[];
const report = (agent_id: string, error: string | null = null) =>
  rpc(db, service, "report_file_removal", { agent_id, error });
const removal = async (agentId: string) =>
  (
    await db.pool.query(
      `select attempts, last_error, extract(epoch from next_attempt_at - now())::float as wait
       from private.file_removals where agent_id = $1`,
      [agentId],
    )
  ).rows[0] as { attempts: number; last_error: string | null; wait: number } | undefined;

describe("the buckets", () => {
  test("are private and limited", async () => {
    const { rows } = await db.pool.query(
      "select id, public, file_size_limit::int as size, cardinality(allowed_mime_types) > 0 as types from storage.buckets where id like 'agent-%' order by id",
    );
    assert.deepEqual(rows, [
      { id: "agent-assets", public: false, size: 52_428_800, types: true },
      { id: "agent-backups", public: false, size: 52_428_800, types: true },
    ]);
  });

  test("show rows to the agent's owner alone, whatever stands in other buckets", async () => {
    const [mine, theirs] = [await define(alice), await define(bob)];
    await db.superuser.query("insert into storage.buckets (id, name) values ('other', 'other')");
    await put([`${mine}/a`, `${mine}/b/c`, `${theirs}/a`, mine, `x/${mine}`]);
    await put([`${mine}/elsewhere`], "other");
    assert.deepEqual(await names(user(alice)), [`${mine}/a`, `${mine}/b/c`]);
    assert.deepEqual(await names(user(bob)), [`${theirs}/a`]);
    assert.deepEqual(await names({ role: "anon" }), []);
    const insert = (caller: string, name: string, bucket = "agent-assets") =>
      db.as(user(caller), (c) =>
        c.query("insert into storage.objects (bucket_id, name) values ($1, $2)", [bucket, name]),
      );
    await insert(alice, `${mine}/new`);
    for (const [caller, name, bucket] of [
      [alice, `${theirs}/new`],
      [bob, `${mine}/newer`],
      [alice, `${mine}/new`, "other"],
      [alice, "new"],
    ] as const) {
      await assert.rejects(insert(caller, name, bucket), { code: "42501" }, `${name} ${bucket}`);
    }
    const rename = (caller: string, to: string) =>
      db.as(user(caller), (c) =>
        c.query("update storage.objects set name = $2 where name = $1", [`${mine}/new`, to]),
      );
    assert.equal((await rename(bob, `${theirs}/stolen`)).rowCount, 0);
    await assert.rejects(rename(alice, `${theirs}/given`), { code: "42501" });
    assert.equal((await rename(alice, `${mine}/renamed`)).rowCount, 1);
  });
});

describe("the files of deleted agents", () => {
  test("are claimed by one worker at a time, until none are left", async () => {
    const id = await define(alice);
    const near = await define(alice);
    await put([`${id}/b`, `${id}/a`, `${near}/keep`]);
    await put([`${id}/c`], "agent-backups");
    assert.equal((await claim()).length, 0, "a live agent's files stay");
    await db.as(user(alice), (c) => c.query("delete from public.agents where id = $1", [id]));
    assert.deepEqual(
      (await names(user(alice))).filter((name) => name.startsWith(id)),
      [],
      "out of sight at once",
    );
    assert.deepEqual(await claim(), [
      {
        agentId: id,
        files: [
          { bucket: "agent-assets", names: [`${id}/a`, `${id}/b`] },
          { bucket: "agent-backups", names: [`${id}/c`] },
        ],
      },
    ]);
    assert.deepEqual(await claim(), [], "taken");
    await drop([`${id}/a`]);
    assert.deepEqual((await report(id)).body, { remaining: true });
    assert.equal((await claim())[0]?.files[0]?.names.length, 1);
    await drop([`${id}/b`, `${id}/c`]);
    assert.deepEqual((await report(id)).body, { remaining: false });
    const wait = (await removal(id))?.wait ?? 0;
    assert.ok(wait > 7000 && wait < 7900, `a last look when upload links have run out: ${wait}`);

    await db.pool.query(
      "update private.file_removals set requested_at = now() - interval '3 hours', next_attempt_at = now() where agent_id = $1",
      [id],
    );
    assert.deepEqual(await claim(), [{ agentId: id, files: [] }]);
    await report(id);
    assert.equal(await removal(id), undefined);
  });

  test("a failure is kept and spaces the next attempts; a claim without an answer is taken again", async () => {
    const id = await define(alice);
    await put([`${id}/a`]);
    await db.as(user(alice), (c) => c.query("delete from public.agents where id = $1", [id]));
    const waits: number[] = [];
    for (let i = 0; i < 10; i++) {
      assert.equal((await claim()).length, 1);
      await report(id, "Storage answered 503");
      const row = await removal(id);
      assert.equal(row?.last_error, "Storage answered 503");
      waits.push(Math.round(row?.wait ?? 0));
      await db.pool.query("update private.file_removals set next_attempt_at = now() where agent_id = $1", [
        id,
      ]);
    }
    assert.deepEqual(waits, [30, 60, 120, 240, 480, 960, 1920, 3840, 3840, 3840]);
    await drop([`${id}/a`]);
    await claim();
    await report(id);
    assert.deepEqual([(await removal(id))?.attempts, (await removal(id))?.last_error], [0, null]);
  });

  test("go when a deployed agent begins to be deleted, though its row stays", async () => {
    const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "deployed" } });
    await settle(db, body.agentId);
    await put([`${body.agentId}/a`]);
    await rpc(db, user(alice), "delete_agent", { agent_id: body.agentId });
    assert.equal(
      (await db.pool.query("select from public.agents where id = $1", [body.agentId])).rowCount,
      1,
    );
    assert.ok(!(await names(user(alice))).includes(`${body.agentId}/a`));
    assert.deepEqual(
      (await claim()).map(({ agentId }) => agentId),
      [body.agentId],
    );
  });

  test("hint at the function at once where there are files, and by the sweep while any are due", async () => {
    const hints = async () => {
      const { rows } = await db.pool.query(
        "delete from net.http_request_queue returning url, convert_from(body, 'UTF8') as body",
      );
      return rows
        .filter(({ url }) => url.endsWith("/upkeep"))
        .map(({ url, body }) => `${url} ${JSON.parse(body).work}`);
    };
    const sweep = () => db.pool.query("select private.sweep_file_removals()");
    const hint = ["http://127.0.0.1:9/functions/v1/upkeep file_removals"];
    await db.pool.query("select private.connect_functions('http://127.0.0.1:9/functions/v1', $1)", [
      "s".repeat(32),
    ]);
    await db.pool.query("delete from private.file_removals");
    const [full, empty] = [await define(alice), await define(alice)];
    await put([`${full}/a`]);
    await hints();
    const remove = (id: string) =>
      db.as(user(alice), (c) => c.query("delete from public.agents where id = $1", [id]));
    await remove(empty);
    assert.deepEqual(await hints(), [], "it has no files; the sweep takes it with others");
    await sweep();
    assert.deepEqual(await hints(), hint);
    await claim();
    await remove(full);
    assert.deepEqual(await hints(), hint);
    await claim();
    await sweep();
    assert.deepEqual(await hints(), [], "both are taken");
    await db.pool.query("update private.file_removals set next_attempt_at = now()");
    await db.pool.query("update private.fleet set hold = 'removals', hold_reason = 'test'");
    await sweep();
    assert.deepEqual([await hints(), await claim()], [[], []], "held");
    await db.pool.query("update private.fleet set hold = null, hold_reason = null");
    await sweep();
    assert.deepEqual(await hints(), hint);
    await db.pool.query("delete from vault.secrets");
  });

  test("are given to the secret key alone", async () => {
    for (const [name, args] of [
      ["claim_file_removals", { max_count: 1 }],
      ["report_file_removal", { agent_id: "x" }],
    ] as const) {
      assert.equal((await rpc(db, user(alice), name, args)).status, 403);
      assert.equal((await rpc(db, { role: "anon" }, name, args)).status, 403);
    }
    assert.equal((await rpc(db, service, "claim_file_removals", { max_count: 0 })).status, 400);
  });
});
