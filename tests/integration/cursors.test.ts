// Lists by cursor: nothing is skipped or repeated while rows come and go, and a cursor counts for its own list alone.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;
/** With revisions, keys and log lines. */
let agentId: string;

interface List {
  rpc: string;
  args: () => Record<string, unknown>;
  /** The argument that says how many. */
  limit: "limit" | "lines";
  items: string;
  id: (item: Record<string, unknown>) => unknown;
  /** Another filter, so that the same cursor must be refused. */
  other?: Record<string, unknown>;
}

const lists: List[] = [
  {
    rpc: "list_agents",
    args: () => ({}),
    limit: "limit",
    items: "agents",
    id: (a) => a.agentId,
    other: { status: "QUEUED" },
  },
  {
    rpc: "list_agent_revisions",
    args: () => ({ agent_id: agentId }),
    limit: "limit",
    items: "revisions",
    id: (r) => r.revision,
  },
  {
    rpc: "list_agent_keys",
    args: () => ({ agent_id: agentId }),
    limit: "limit",
    items: "keys",
    id: (k) => k.id,
  },
  { rpc: "list_budgets", args: () => ({}), limit: "limit", items: "budgets", id: (b) => b.id },
  {
    rpc: "get_usage",
    args: () => ({ group_by: "day,agent,model,source" }),
    limit: "limit",
    items: "items",
    id: (u) => [u.day, u.agentId, u.model, u.source].join(),
    other: { group_by: "day" },
  },
  {
    rpc: "list_security_events",
    args: () => ({}),
    limit: "limit",
    items: "events",
    id: (e) => e.id,
    other: { severity: "HIGH" },
  },
  {
    rpc: "get_agent_logs",
    args: () => ({ agent_id: agentId }),
    limit: "lines",
    items: "logs",
    id: (l) => l.id,
    other: { level: "ERROR" },
  },
];

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  alice = await createUser(db);
  bob = await createUser(db);
  for (const owner of [alice, bob]) {
    const { body } = await rpc(db, user(owner), "launch_agent", { definition: { agentName: "bot" } });
    if (owner === alice) agentId = body.agentId;
    // Many rows share a moment: ids decide among them.
    await db.pool.query(
      `insert into public.agents (user_id, name, created_at)
       select $1, 'a' || n, now() - make_interval(mins => n / 4) from generate_series(1, 30) n`,
      [owner],
    );
    await db.pool.query(
      `insert into public.agent_revisions (agent_id, user_id, revision, reason, spec, created_by)
       select $2, $1, n, 'update', '{}', 'system' from generate_series(2, 20) n`,
      [owner, body.agentId],
    );
    await db.pool.query(
      `insert into public.agent_keys (agent_id, user_id, name, prefix, scopes, created_at)
       select $2, $1, 'k' || n, 'lp_', '{invoke}', now() - make_interval(mins => n / 3) from generate_series(1, 12) n`,
      [owner, body.agentId],
    );
    await db.pool.query(
      `insert into public.budgets (user_id, agent_id, period, limit_micros, action, created_at)
       select $1, a.id, 'day', 5, 'notify', now() - make_interval(mins => (row_number() over ())::integer / 3)
       from public.agents a where a.user_id = $1`,
      [owner],
    );
    await db.pool.query(
      `insert into public.usage_daily (user_id, day, agent_id, model, answers, input_tokens)
       select $1, current_date - n % 5, 'agent-' || n % 3, case when n % 2 = 0 then '' else 'm' end, 1, n
       from generate_series(0, 29) n`,
      [owner],
    );
    await db.pool.query(
      `insert into public.security_events (user_id, event_type, severity, message, timestamp)
       select $1, 'AUTH_FAILURE', 'LOW', 'x', now() - make_interval(mins => n / 4) from generate_series(1, 30) n`,
      [owner],
    );
    await db.pool.query(
      `insert into public.agent_logs (agent_id, user_id, replica, sequence, timestamp, level, message, source)
       select $2, $1, 'r' || n % 2, n / 2, now() - make_interval(mins => n / 6), 'INFO', 'line ' || n, 's'
       from generate_series(1, 30) n`,
      [owner, body.agentId],
    );
  }
});
afterAll(() => db.destroy());

type Page = { ids: unknown[]; nextCursor: string | null };

async function page(list: List, size: number, args: Record<string, unknown>, owner = alice): Promise<Page> {
  const { status, body } = await rpc(db, user(owner), list.rpc, {
    ...list.args(),
    [list.limit]: size,
    ...args,
  });
  assert.equal(status, 200, JSON.stringify(body));
  const ids = body[list.items].map(list.id);
  return { ids: list.items === "logs" ? ids.reverse() : ids, nextCursor: body.nextCursor };
}

async function walk(
  list: List,
  size: number,
  between: (shown: unknown[]) => Promise<unknown> = async () => {},
) {
  const shown: unknown[] = [];
  for (let next: string | null | undefined; next !== null; ) {
    const { ids, nextCursor } = await page(list, size, next === undefined ? {} : { after: next });
    shown.push(...ids);
    assert.equal(ids.length === size || nextCursor === null, true, "a page is full or the last");
    await between(ids);
    next = nextCursor;
  }
  return shown;
}

for (const list of lists) {
  describe(list.rpc, () => {
    test("pages of any size give the same rows in the same order", async () => {
      const { ids: whole, nextCursor } = await page(list, 100, {});
      assert.equal(nextCursor, null);
      assert.ok(whole.length >= 12);
      for (const size of [1, 4, 7, whole.length])
        assert.deepEqual(await walk(list, size), whole, `size ${size}`);
    });

    test("a cursor follows a page that began at an offset", async () => {
      if (list.rpc === "list_security_events" || list.rpc === "get_agent_logs") return;
      const { ids: whole } = await page(list, 100, {});
      const { nextCursor } = await page(list, 3, { offset: 4 });
      assert.deepEqual((await page(list, 2, { after: nextCursor })).ids, whole.slice(7, 9));
      const both = await rpc(db, user(alice), list.rpc, { ...list.args(), offset: 1, after: nextCursor });
      assert.deepEqual([both.status, Object.keys(JSON.parse(both.body.details))], [400, ["offset"]]);
    });

    test("another user, another filter and a changed cursor are refused by field", async () => {
      const { nextCursor } = await page(list, 2, {});
      assert.ok(nextCursor !== null && nextCursor.length < 300);
      const position = nextCursor.slice(16);
      const packed = (keys: unknown) =>
        nextCursor.slice(0, 16) + Buffer.from(JSON.stringify(keys)).toString("base64url");
      const wrong = [
        "",
        "x",
        "0".repeat(16) + position,
        nextCursor.slice(0, 16),
        `${nextCursor.slice(0, 16)}!`,
        nextCursor.slice(0, 17),
        packed(["never", "never", "never", "never"]),
        packed([]),
        packed({ a: 1 }),
        packed([null, null, null]),
        packed(["2026-01-01T00:00:00Z", "a\u0000b"]),
        nextCursor + "A".repeat(4000),
        "'; drop table agents; --",
      ];
      for (const after of wrong) {
        const { status, body } = await rpc(db, user(alice), list.rpc, { ...list.args(), after });
        assert.deepEqual(
          [status, body.code, Object.keys(JSON.parse(body.details))],
          [400, "VALIDATION_ERROR", ["after"]],
          after,
        );
        assert.match(body.message, /`after`.*leave it out/);
      }
      if (list.other !== undefined) {
        const filtered = await rpc(db, user(alice), list.rpc, {
          ...list.args(),
          ...list.other,
          after: nextCursor,
        });
        assert.equal(filtered.status, 400);
      }
      const args = { ...list.args(), after: nextCursor };
      const bobs = await rpc(db, user(bob), list.rpc, args);
      assert.ok(bobs.status === 400 || bobs.status === 404, String(bobs.status));
      for (const stranger of [anon, user("00000000-0000-4000-8000-000000000000")]) {
        const { status } = await rpc(db, stranger, list.rpc, args);
        assert.ok(status === 401 || status === 403 || status === 404, String(status));
      }
    });
  });
}

test("deleting every agent while walking leaves none; agents launched meanwhile do not push others out", async () => {
  const carol = await createUser(db);
  await db.pool.query(
    "insert into public.agents (user_id, name) select $1, 'a' || n from generate_series(1, 45) n",
    [carol],
  );
  const list = lists[0] as List;
  const seen: unknown[] = [];
  for (let next: string | null | undefined; next !== null; ) {
    const { ids, nextCursor } = await page(list, 20, next === undefined ? {} : { after: next }, carol);
    seen.push(...ids);
    await db.pool.query("delete from public.agents where id = any ($1)", [ids]);
    await db.pool.query("insert into public.agents (user_id, name) values ($1, 'late')", [carol]);
    next = nextCursor;
  }
  assert.equal(new Set(seen).size, 45);
  assert.equal(seen.length, 45);
  const { rows } = await db.pool.query("select name from public.agents where user_id = $1", [carol]);
  assert.deepEqual([...new Set(rows.map(({ name }) => name))], ["late"]);
});

test("a search of log lines goes on where its look ended", async () => {
  const list: List = { ...(lists[6] as List), args: () => ({ agent_id: agentId, text: "LINE 1" }) };
  const { ids: whole } = await page(list, 100, {});
  assert.equal(whole.length, 11);
  assert.deepEqual(await walk(list, 4), whole);
});

test("a page deep in a list reads its rows by an index, not the list", async () => {
  const dave = await createUser(db);
  await db.pool.query(
    `insert into public.security_events (user_id, event_type, severity, message, timestamp)
     select $1, 'AUTH_FAILURE', 'LOW', 'x', now() - make_interval(secs => n) from generate_series(1, 20000) n`,
    [dave],
  );
  await db.pool.query("analyze public.security_events");
  const { rows } = await db.pool.query(
    `explain (analyze, format json) select * from public.security_events x
     where x.user_id = $1 and x.timestamp >= '-infinity' and x.timestamp <= now() - interval '5 hours'
       and (x.timestamp < now() - interval '5 hours' or x.id > 'event-a')
     order by x.timestamp desc, x.id limit 21`,
    [dave],
  );
  const plan = JSON.stringify(rows[0]["QUERY PLAN"]);
  assert.match(plan, /security_events_user_id_timestamp_idx/);
  const most = Math.max(...[...plan.matchAll(/"Actual Rows":(\d+)/g)].map(([, count]) => Number(count)));
  assert.ok(most < 100, `${most} rows read`);
});

test("every page of agents says how many there are in all, and in what form each is shown", async () => {
  const list = async (args: Record<string, unknown>) =>
    (await rpc(db, user(alice), "list_agents", { limit: 100, ...args })).body;
  const { agents, nextCursor, total } = await list({});
  assert.deepEqual([agents.length, nextCursor], [total, null]);
  const { nextCursor: second } = await list({ limit: 5 });
  for (const args of [
    { limit: total },
    { limit: total - 1 },
    { limit: 5, offset: 10 },
    { limit: 50, offset: 10 },
    { offset: total },
    { limit: 5, after: second },
    { after: second },
  ])
    assert.equal((await list(args)).total, total, JSON.stringify(args));
  assert.equal((await list({ limit: 5, status: "QUEUED" })).total, 1);
  assert.equal((await list({ limit: 5, platform: "none" })).total, 0);
  assert.deepEqual(Object.keys(agents[0]), [
    "agentId",
    "name",
    "status",
    "user_id",
    "platforms",
    "supabase_integration",
    "createdAt",
    "url",
  ]);
  assert.match(agents[0].createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual([agents[0].platforms, agents[0].url, agents[0].supabase_integration], [[], null, true]);
});
