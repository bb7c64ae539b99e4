// Bounds on rows: every text of a user's row has one, every table a quota of rows and bytes, each with its error.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { codeOf } from "../helpers/answering.ts";
import type { TestDatabase, TestUser } from "../helpers/database.ts";
import { createUnlimitedDatabase, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: TestUser;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
});
afterAll(() => db.destroy());
beforeEach(async () => {
  alice = await db.createUser();
});

const call = (name: string, args: Record<string, unknown> = {}, headers = {}) =>
  rpc(db, user(alice.id, headers), name, args);
const query = (text: string, values: unknown[] = [], who = alice) =>
  db.asUser(who, async (client) => (await client.query(text, values)).rows);
const quota = (relation: string, change: string) =>
  db.pool.query(`update public.row_quotas set ${change} where relation = $1`, [relation]);
const launch = async () => (await call("launch_agent", { definition: { agentName: "bot" } })).body.agentId;

/** Tables of users' rows that need no quota of their own, by reason. */
const unlimited: Readonly<Record<string, string>> = {
  "public.agents": "quotas.max_agents",
  "public.agent_revisions": "the newest 100 are kept",
  "public.agent_events": "the audit; each takes a request, which the rate limit counts",
  "public.security_events": "the audit; repeats are one row",
  "public.agent_logs": "written by controllers, kept for 30 days",
  "public.agent_metrics": "written by controllers, kept for 30 days",
  "public.agent_metrics_minute": "written by controllers, kept for 30 days",
  "public.agent_metrics_hour": "written by controllers, kept for 400 days",
  "public.security_scans": "one a request, which the rate limit counts; goes with the agent",
  "public.profiles": "one per user",
  "public.quotas": "one per user",
  "public.user_permissions": "written by operators",
  "public.storage_usage": "one per agent",
  "public.knowledge_files": "quotas.max_files, and one per agent; its chunks: quotas.max_knowledge_chunks",
  "public.usage_daily": "one per agent, day, model and source",
  "private.agent_deployments": "one per agent",
  "private.embedding_use": "one per user",
  "private.erased_accounts": "one per user",
  "private.api_counters": "one per user",
  "private.rate_counters": "one per user and bucket",
  "private.reply_jobs": "answering_limit('open_jobs'); goes with the message",
  "private.reservations": "one per call of a model, which caps and rate limits count",
  "private.row_counts": "one per user and table",
  "private.rollout_canaries": "at most 100, written by operators",
  "private.suspended_agents": "one per agent",
};

describe("the catalogue", () => {
  test("every column of text, JSON, lists or bytes in a table of users' rows has a bound", async () => {
    const { rows } = await db.superuser.query<{ name: string }>(
      `select format('%I.%I.%I', n.nspname, c.relname, a.attname) as name
       from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
       join pg_type y on y.oid = a.atttypid
       where n.nspname in ('public', 'private') and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
         and (y.typname in ('text', 'varchar', 'json', 'jsonb', 'bytea', 'xml') or y.typcategory = 'A')
         and exists (select from pg_attribute u where u.attrelid = c.oid and u.attname = 'user_id' and not u.attisdropped)
         and not exists (select from pg_constraint k where k.conrelid = c.oid and a.attnum = any (k.conkey)
           and (k.contype = 'f' or (k.contype = 'c' and (
             -- A length, one of a fixed set, or a form that has an end.
             pg_get_constraintdef(k.oid) ~ format('(length|octet_length|pg_column_size)\\("?%s"?\\) <= \\d', a.attname)
             or pg_get_constraintdef(k.oid) ~ format('\\(%s (= ANY|<@|~ ''\\^.*\\$'')', a.attname)))))
       order by 1`,
    );
    assert.deepEqual(
      rows.map(({ name }) => name),
      [],
      "add it to private.bound_columns in the migration of its table or in …_bounds.sql",
    );
  });

  test("every table of users' rows has a quota of rows and bytes that is counted, or a reason why it needs none", async () => {
    const { rows } = await db.superuser.query<{ name: string; quota: boolean; triggers: number }>(
      `select format('%I.%I', n.nspname, c.relname) as name, q.relation is not null as quota,
         (select count(*)::int from pg_trigger t where t.tgrelid = c.oid and t.tgname like '\\_950\\_count\\_%' and t.tgenabled = 'O') as triggers
       from pg_class c join pg_namespace n on n.oid = c.relnamespace left join public.row_quotas q on q.relation = c.relname
       where n.nspname in ('public', 'private') and c.relkind = 'r'
         and exists (select from pg_attribute u where u.attrelid = c.oid and u.attname = 'user_id' and not u.attisdropped)`,
    );
    for (const { name, quota, triggers } of rows) {
      if (quota) assert.equal(triggers, 3, name);
      else assert.ok(unlimited[name], `${name} needs a line in row_quotas, or a reason in \`unlimited\``);
    }
    const { rows: open } = await db.superuser.query<{ name: string }>(
      `select distinct format('%I.%I', table_schema, table_name) as name from information_schema.column_privileges
       where grantee = 'authenticated' and privilege_type = 'INSERT' and table_schema in ('public', 'private')`,
    );
    for (const { name } of open)
      assert.ok(name === "public.agents" || rows.some((row) => row.name === name && row.quota), name);
  });

  test("the bounds of constraints are not below those of triggers", async () => {
    // Four bytes a character, at the largest of each that a trigger lets through.
    const wide = "\u{1F600}";
    const [agent] = await query(
      `insert into public.agents (name, description, role, system_prompt, "character", settings)
       values ($1, $2, $3, $4, $5, $6) returning id`,
      [
        wide.repeat(100),
        wide.repeat(2000),
        wide.repeat(200),
        wide.repeat(65536),
        { bio: "x".repeat(65000) },
        { stop: Array(16).fill(wide.repeat(200)) },
      ],
    );
    await query("insert into public.swarms (name, description) values ($1, $2)", [
      wide.repeat(100),
      wide.repeat(2000),
    ]);
    await query(
      "insert into public.tools (name, description, category, icon, implementation) values ($1, $2, $3, $4, $5)",
      [
        wide.repeat(64),
        wide.repeat(1000),
        wide.repeat(100),
        wide.repeat(2048),
        {
          type: "http",
          url: `https://x.example/${"y".repeat(2000)}`,
          headers: Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`h${n}`, "z".repeat(1000)])),
        },
      ],
    );
    await query("insert into public.messages (to_agent_id, content) values ($1, $2)", [
      agent?.id,
      wide.repeat(32768),
    ]);
    await call("update_profile", { changes: { username: wide.repeat(100) } });
    assert.equal((await call("deploy_agent", { agent_id: agent?.id })).status, 202);
  });
});

describe("too large a value", () => {
  for (const [field, definition] of [
    ["settings.stop.0", { settings: { stop: ["x".repeat(201)] } }],
    ["character", { character: { bio: "x".repeat(70_000) } }],
    ["supabase_config.project_ref", { supabase_config: { project_ref: "x".repeat(101) } }],
    ["description", { description: "x".repeat(2001) }],
  ] as const) {
    test(`${field} of an agent is a VALIDATION_ERROR of it`, async () => {
      const { status, body } = await call("launch_agent", { definition: { agentName: "x", ...definition } });
      assert.equal(status, 400);
      assert.ok(field in JSON.parse(body.details), body.details);
    });
  }

  test("user_metadata is refused at both doors with the cure, and may shrink", async () => {
    const set = (size: number) =>
      db.pool.query(
        "update auth.users set raw_user_meta_data = jsonb_build_object('a', repeat('x', $2)) where id = $1",
        [alice.id, size],
      );
    const { code, details } = await codeOf(set(17_000));
    assert.equal(code, "VALIDATION_ERROR");
    assert.match(details.user_metadata ?? "", /at most 16 KiB/);
    assert.equal(
      (await codeOf(db.createUser(undefined, { a: "x".repeat(17_000) }))).code,
      "VALIDATION_ERROR",
    );
    // Written before there was a bound.
    await db.superuser.query("set session_replication_role = replica");
    await db.superuser.query(
      "update auth.users set raw_user_meta_data = jsonb_build_object('a', repeat('x', 40000)) where id = $1",
      [alice.id],
    );
    await db.superuser.query("set session_replication_role = origin");
    await set(30_000);
    assert.equal((await codeOf(set(35_000))).code, "VALIDATION_ERROR");
  });

  test("an idempotency key, a request id and headers are bounded", async () => {
    const long = "x".repeat(5000);
    const { status } = await call(
      "launch_agent",
      { definition: { agentName: "x" } },
      { "idempotency-key": long },
    );
    assert.equal(status, 400);
    await call("get_agent", { agent_id: long }, { "user-agent": long, "x-request-id": long });
    const { rows } = await db.pool.query("select * from public.security_events where user_id = $1", [
      alice.id,
    ]);
    assert.ok(JSON.stringify(rows).length < 3000);
  });

  test("details of a refusal are cut in the audit, and a body of many unknown fields is answered soon", async () => {
    const fields = Object.fromEntries(
      Array.from({ length: 20_000 }, (_, n) => [`field_${n}_${"x".repeat(50)}`, 1]),
    );
    const began = performance.now();
    const { status, body } = await call("launch_agent", { definition: { agentName: "x", ...fields } });
    assert.equal(status, 400);
    assert.ok(performance.now() - began < 15_000, `${performance.now() - began} ms`);
    assert.ok(body.details.length < 20_000);
    await call("refuse_request", { code: "AGENT_NOT_FOUND", message: "x", details: fields });
    const { rows } = await db.pool.query("select details from public.security_events where user_id = $1", [
      alice.id,
    ]);
    assert.ok(JSON.stringify(rows).length < 10_000);
  });

  test("what a replica says is cut, and the rest of its batch is kept", async () => {
    const agentId = await launch();
    const line = { agentId, replica: "r", timestamp: new Date().toISOString(), level: "INFO", source: "s" };
    const { body } = await rpc(db, service, "ingest_agent_logs", {
      rows: [
        { ...line, sequence: 1, message: "x".repeat(100_000), metadata: { a: "x".repeat(100_000) } },
        { ...line, sequence: 2, message: "fine", metadata: { a: 1 } },
      ],
    });
    assert.equal(body.accepted, 2);
    const { rows } = await db.pool.query(
      "select message, metadata from public.agent_logs where agent_id = $1 order by sequence",
      [agentId],
    );
    assert.equal(rows[0].message.length, 16384);
    assert.deepEqual(rows[0].metadata, { omitted: "larger than 16384 bytes" });
    assert.deepEqual(rows[1], { message: "fine", metadata: { a: 1 } });
  });
});

describe("a quota of rows", () => {
  const addTool = (name: string, who = alice) =>
    query(
      `insert into public.tools (name, description, implementation) values ($1, 'd', '{"type": "http", "url": "https://x.example"}') returning id`,
      [name],
      who,
    );

  test("refuses one more with what it is, frees by deleting, and is each user's own", async () => {
    await quota("tools", "max_rows = 2");
    try {
      await addTool("one");
      await addTool("two");
      const { code, message, details } = await codeOf(addTool("three"));
      assert.equal(code, "RESOURCE_LIMIT_EXCEEDED");
      assert.match(message, /Delete some, or ask an operator/);
      assert.deepEqual(details, { quota: "tools.max_rows", limit: 2, requested: 3 });
      await addTool("one", await db.createUser());
      await query("delete from public.tools where name = 'one'");
      await addTool("three");
      assert.equal((await codeOf(addTool("four"))).code, "RESOURCE_LIMIT_EXCEEDED");
    } finally {
      await quota("tools", "max_rows = 500");
    }
  });

  test("counts bytes, and a change that grows; shrinking stays possible over the quota", async () => {
    await addTool("one");
    await quota("tools", "max_bytes = 1000");
    try {
      const grow = (n: number) => query("update public.tools set description = repeat('x', $1)", [n]);
      await grow(500);
      const { code, details } = await codeOf(grow(900));
      assert.equal(code, "RESOURCE_LIMIT_EXCEEDED");
      assert.equal(details.quota, "tools.max_bytes");
      await quota("tools", "max_bytes = 100");
      await grow(400);
      await query("delete from public.tools where name = 'one'");
    } finally {
      await quota("tools", "max_bytes = 8388608");
    }
  });

  test("two inserts at once cannot both be the last", async () => {
    await quota("tools", "max_rows = 1");
    try {
      const done = await Promise.allSettled(["a", "b", "c"].map((name) => addTool(name)));
      assert.equal(done.filter(({ status }) => status === "fulfilled").length, 1);
    } finally {
      await quota("tools", "max_rows = 500");
    }
  });

  test("what the platform writes for a user is counted, not refused", async () => {
    const agentId = await launch();
    await quota("agent_conversations", "max_rows = 0");
    try {
      await db.pool.query(
        "insert into public.agent_conversations (agent_id, user_id, conversation_id, role, content) values ($1, $2, gen_random_uuid(), 'assistant', 'x')",
        [agentId, alice.id],
      );
      const { code } = await codeOf(
        query("insert into public.messages (to_agent_id, content) values ($1, 'hello')", [agentId]),
      );
      assert.equal(code, "RESOURCE_LIMIT_EXCEEDED");
    } finally {
      await quota("agent_conversations", "max_rows = 400000");
    }
  });

  test("holds for secrets of agents and idempotency keys, which verbs write", async () => {
    await quota("agent_secrets", "max_rows = 2");
    await quota("idempotency_keys", "max_rows = 1");
    try {
      const environment = { A: "1", B: "2", C: "3" };
      const { body } = await call("launch_agent", { definition: { agentName: "x", environment } });
      assert.equal(body.code, "RESOURCE_LIMIT_EXCEEDED");
      assert.equal(JSON.parse(body.details).quota, "agent_secrets.max_rows");
      const definition = { agentName: "x" };
      assert.equal((await call("launch_agent", { definition }, { "idempotency-key": "1" })).status, 201);
      assert.equal((await call("launch_agent", { definition }, { "idempotency-key": "2" })).status, 429);
    } finally {
      await quota("agent_secrets", "max_rows = 2000");
      await quota("idempotency_keys", "max_rows = 20000");
    }
  });

  test("a count that was lost is made again, and agrees with what triggers counted", async () => {
    await addTool("one");
    const counts = async () =>
      (await db.pool.query("select * from private.row_counts where rows > 0 order by user_id, relation"))
        .rows;
    const before = await counts();
    await db.pool.query("select private.recount_rows()");
    assert.deepEqual(await counts(), before);
  });

  test("anonymous callers and API roles cannot write quotas or counts", async () => {
    for (const sql of ["update public.row_quotas set max_rows = 1", "delete from private.row_counts"]) {
      await assert.rejects(query(sql), /permission denied/);
      await assert.rejects(
        db.asAnon((client) => client.query(sql)),
        /permission denied/,
      );
    }
  });
});

test("of revisions the newest hundred and the one that runs are kept, and a rollback is possible", async () => {
  const agentId = await launch();
  await settle(db, agentId);
  const change = (n: number) =>
    query("update public.agents set system_prompt = $1 where id = $2", [`p${n}`, agentId]);
  for (let n = 0; n < 120; n++) await change(n);
  const kept = async () =>
    (
      await db.pool.query("select revision from public.agent_revisions where agent_id = $1 order by 1", [
        agentId,
      ])
    ).rows.map(({ revision }) => revision);
  // The one that ran before the last change may be one more.
  assert.ok((await kept()).length <= 101);
  assert.equal((await kept()).at(-1), 121);
  assert.equal((await call("rollback_agent", { agent_id: agentId, revision: 100 })).status, 202);
  assert.equal((await call("rollback_agent", { agent_id: agentId, revision: 3 })).status, 404);
  // Large ones: what four megabytes hold, and never less than ten.
  for (let n = 0; n < 30; n++)
    await query("update public.agents set system_prompt = $1 where id = $2", [
      `${n}${"\u{1F600}".repeat(65000)}`,
      agentId,
    ]);
  const { rows } = await db.pool.query(
    "select sum(octet_length(spec::text))::int as bytes from public.agent_revisions where agent_id = $1",
    [agentId],
  );
  assert.ok(rows[0].bytes < 5_000_000, String(rows[0].bytes));
  assert.ok((await kept()).length >= 10);
});
