// Bundles in SQL: what an export holds, what an import makes of it, and what it refuses.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { agentBundle, imported, MAX_BUNDLE_BYTES } from "../../supabase/functions/_shared/contract/index.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;
let agentId: string;

const definition = {
  agentName: "traveller",
  description: "Goes from here to there",
  role: "Guide",
  character: { name: "T", bio: ["one", "two"], quirks: { odd: null } },
  plugins: ["@elizaos/plugin-discord"],
  platforms: ["discord"],
  resources: { memory: "256Mi", cpu: "100m", replicas: 2 },
  scaling_policy: { min_replicas: 1, max_replicas: 3 },
  system_prompt: "Be brief.",
  settings: { temperature: 0.5 },
  supabase_config: { project_ref: "ref", real_time: { enabled: true } },
};

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  [alice, bob] = [await createUser(db), await createUser(db)];
  const { body } = await rpc(db, user(alice), "launch_agent", {
    definition: {
      ...definition,
      environment: { TOKEN: "sekrit-value" },
      supabase_config: { ...definition.supabase_config, database_url: "postgres://u:sekrit-password@h/d" },
    },
  });
  agentId = body.agentId;
  await settle(db, agentId);
  await rpc(db, user(alice), "update_agent", {
    agent_id: agentId,
    changes: { system_prompt: "Be briefer." },
  });
  await db.pool.query(
    `insert into public.agent_conversations (agent_id, user_id, conversation_id, role, content, created_at) values
       ($1, $2, '00000000-0000-4000-8000-000000000001', 'user', 'Hello "there"', '2026-01-01T10:00:00Z'),
       ($1, $2, '00000000-0000-4000-8000-000000000001', 'assistant', 'Hi', '2026-01-01T10:00:01Z'),
       ($1, $2, '00000000-0000-4000-8000-000000000002', 'user', 'Other', '2026-01-02T10:00:00Z')`,
    [agentId, alice],
  );
  await db.superuser.query(
    `insert into storage.objects (bucket_id, name, metadata) values ('agent-assets', $1, '{"size": 5, "mimetype": "text/plain"}')`,
    [`${agentId}/notes/a.txt`],
  );
});
afterAll(() => db.destroy());

const exported = async (id = agentId, who = alice) =>
  (await rpc(db, user(who), "export_agent", { agent_id: id })).body;
const importing = (bundle: unknown, who = alice) =>
  rpc(db, user(who), "import_agent", { bundle: bundle as Record<string, unknown> });
const problems = async (change: Record<string, unknown>) => {
  const bundle = { ...(await exported()), ...change };
  const { status, body } = await importing(bundle);
  assert.equal(status, 400, JSON.stringify(body));
  return Object.keys(JSON.parse(body.details)).sort();
};

describe("an export", () => {
  test("is the agent as the contract describes it, without a secret's value", async () => {
    const bundle = await exported();
    agentBundle.parse(bundle);
    assert.deepEqual(bundle.definition, {
      ...definition,
      framework: "openai",
      model: bundle.definition.model,
      system_prompt: "Be briefer.",
      visibility: "private",
    });
    assert.deepEqual(bundle.secrets, ["SUPABASE_DB_URL", "TOKEN"]);
    assert.deepEqual(
      bundle.revisions.map((r: { revision: number; definition: { system_prompt: string } }) => [
        r.revision,
        r.definition.system_prompt,
      ]),
      [
        [1, "Be brief."],
        [2, "Be briefer."],
      ],
    );
    assert.deepEqual(
      bundle.conversations.map((c: { messages: { content: string }[] }) => c.messages.map((m) => m.content)),
      [['Hello "there"', "Hi"], ["Other"]],
    );
    assert.deepEqual(
      bundle.assets.map((a: Record<string, unknown>) => [a.bucket, a.path, a.size, a.contentType]),
      [["agent-assets", "notes/a.txt", 5, "text/plain"]],
    );
    assert.deepEqual(bundle.omitted, { revisions: 0, messages: 0, assets: 0 });
    assert.doesNotMatch(JSON.stringify(bundle), /sekrit/);
    const { rows } = await db.pool.query(
      "select event_type, actor, details from public.agent_events where agent_id = $1 order by seq desc limit 1",
      [agentId],
    );
    assert.deepEqual(rows, [
      { event_type: "EXPORTED", actor: `user:${alice}`, details: { revisions: 2, messages: 3, assets: 1 } },
    ]);
  });

  test("is the owner's alone", async () => {
    assert.equal((await exported(agentId, bob)).code, "AGENT_NOT_FOUND");
    for (const caller of [anon, service]) {
      assert.equal((await rpc(db, caller, "export_agent", { agent_id: agentId })).status, 403);
      assert.equal((await rpc(db, caller, "import_agent", { bundle: {} })).status, 403);
    }
  });

  test("takes agents:read, an import agents:write", async () => {
    const carol = await createUser(db);
    const { body } = await importing(await exported(), carol);
    await db.pool.query(
      "delete from public.user_permissions where user_id = $1 and permission = 'agents:write'",
      [carol],
    );
    assert.equal((await importing(await exported(), carol)).body.code, "INSUFFICIENT_PERMISSIONS");
    assert.equal((await exported(body.agentId, carol)).format, "agent-launchpad/agent");
    await db.pool.query("delete from public.user_permissions where user_id = $1", [carol]);
    assert.equal((await exported(body.agentId, carol)).code, "INSUFFICIENT_PERMISSIONS");
  });

  test("keeps the newest that fit, says how many do not, and can be imported", async () => {
    const dave = await createUser(db);
    const id = (await importing({ ...(await exported()), conversations: [] }, dave)).body.agentId;
    await db.pool.query(
      `insert into public.agent_conversations (agent_id, user_id, conversation_id, role, content, created_at)
       select $1, $2, gen_random_uuid(), 'user', n || repeat(E'\\x01', 30000), '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 second'
       from generate_series(1, 40) n`,
      [id, dave],
    );
    const bundle = await exported(id, dave);
    const text = JSON.stringify(bundle);
    assert.ok(Buffer.byteLength(text) < MAX_BUNDLE_BYTES, `${Buffer.byteLength(text)} bytes`);
    assert.ok(bundle.omitted.messages > 0 && bundle.omitted.messages < 40);
    assert.equal(bundle.conversations.length + bundle.omitted.messages, 40);
    assert.match(bundle.conversations.at(-1).messages[0].content, /^40/);
    assert.equal((await importing(bundle, dave)).status, 201);
  });

  test("of an agent that is being deleted is a conflict", async () => {
    const { body } = await rpc(db, user(bob), "launch_agent", { definition: { agentName: "going" } });
    await rpc(db, user(bob), "delete_agent", { agent_id: body.agentId });
    assert.equal((await exported(body.agentId, bob)).code, "CONFLICT");
  });
});

describe("an import", () => {
  test("makes a new agent of the caller's, never deployed, with its history", async () => {
    const bundle = await exported();
    const { status, body } = await importing(bundle, bob);
    assert.equal(status, 201, JSON.stringify(body));
    imported.parse(body);
    assert.notEqual(body.agentId, agentId);
    assert.deepEqual(
      [
        body.status,
        body.revisions,
        body.conversations,
        body.messages,
        body.missingSecrets,
        body.missingAssets,
      ],
      ["IDLE", 2, 2, 3, ["SUPABASE_DB_URL", "TOKEN"], 1],
    );
    const again = await exported(body.agentId, bob);
    assert.deepEqual(again.definition, bundle.definition);
    assert.deepEqual(again.revisions, bundle.revisions);
    assert.deepEqual(
      again.conversations.map((c: { messages: unknown }) => c.messages),
      bundle.conversations.map((c: { messages: unknown }) => c.messages),
    );
    assert.deepEqual([again.secrets, again.assets], [[], []]);
    const status_of = await rpc(db, user(bob), "get_agent_status", { agent_id: body.agentId });
    assert.deepEqual([status_of.body.status, status_of.body.generation], ["IDLE", null]);
    const { rows } = await db.pool.query(
      "select event_type, details from public.agent_events where agent_id = $1 order by seq",
      [body.agentId],
    );
    assert.deepEqual(
      rows.slice(0, 2).map((row) => row.event_type),
      ["CREATED", "IMPORTED"],
    );
    assert.deepEqual(rows[1].details, { from: agentId, revisions: 2, messages: 3 });
    const { rows: ids } = await db.pool.query(
      "select count(distinct conversation_id)::int as n from public.agent_conversations where agent_id = any ($1)",
      [[agentId, body.agentId]],
    );
    assert.equal(ids[0].n, 4, "conversations are not shared");
  });

  test("can be deployed, and rolled back to a revision of its history", async () => {
    const { body } = await importing(await exported(), bob);
    const deploy = await rpc(db, user(bob), "deploy_agent", { agent_id: body.agentId });
    assert.deepEqual([deploy.status, deploy.body.revision], [202, 3]);
    await settle(db, body.agentId);
    const back = await rpc(db, user(bob), "rollback_agent", { agent_id: body.agentId, revision: 1 });
    assert.equal(back.status, 202, JSON.stringify(back.body));
    const { rows } = await db.pool.query("select system_prompt from public.agents where id = $1", [
      body.agentId,
    ]);
    assert.equal(rows[0].system_prompt, "Be brief.");
  });

  test("names every wrong field and makes nothing", async () => {
    const count = async () => (await db.pool.query("select count(*)::int as n from public.agents")).rows[0].n;
    const before = await count();
    assert.deepEqual(await problems({ format: "zip", version: 2 }), ["format", "version"]);
    assert.deepEqual(await problems({ extra: 1, definition: null, revisions: {} }), [
      "definition",
      "extra",
      "revisions",
    ]);
    assert.deepEqual(
      await problems({ definition: { agentName: "", plugins: ["no spaces"], resources: { memory: "1Ti" } } }),
      ["definition.agentName", "definition.plugins.0", "definition.resources.memory"],
    );
    assert.deepEqual(await problems({ definition: { ...definition, environment: { A: "x" } } }), [
      "definition.environment",
    ]);
    assert.deepEqual(
      await problems({ definition: { ...definition, supabase_config: { database_url: "x" } } }),
      ["definition.supabase_config.database_url"],
    );
    const [first, second] = (await exported()).revisions;
    assert.deepEqual(
      await problems({
        revisions: [first, { ...second, createdAt: "yesterday", definition: { agentName: 5 } }],
      }),
      ["revisions.1.createdAt", "revisions.1.definition.agentName"],
    );
    assert.deepEqual(await problems({ revisions: [first, first] }), ["revisions.1.revision"]);
    assert.deepEqual(await problems({ revisions: ["x", { revision: 0, createdAt: "2026-13-01" }] }), [
      "revisions.0",
      "revisions.1.definition",
    ]);
    assert.deepEqual(
      await problems({ conversations: [{ messages: [{ role: "root", content: 5, createdAt: "x" }, null] }] }),
      [
        "conversations.0.messages.0.content",
        "conversations.0.messages.0.createdAt",
        "conversations.0.messages.0.role",
        "conversations.0.messages.1",
      ],
    );
    assert.deepEqual(await problems({ conversations: ["x", {}] }), [
      "conversations.0",
      "conversations.1.messages",
    ]);
    assert.equal(
      (
        await importing({
          ...(await exported()),
          conversations: [{ messages: [{ role: "user", content: "x", createdAt: "2026-02-31T00:00:00Z" }] }],
        })
      ).status,
      400,
    );
    for (const nonsense of [null, '"text"', [], 5]) assert.equal((await importing(nonsense)).status, 400);
    assert.equal(await count(), before);
  });

  test("knows a framework or model it lacks by its code, and leaves out such a revision", async () => {
    const bundle = await exported();
    const other = { ...definition, framework: "openai", model: "gpt-none" };
    assert.equal((await importing({ ...bundle, definition: other })).body.code, "INVALID_MODEL");
    assert.equal(
      (await importing({ ...bundle, definition: { ...other, framework: "none" } })).body.code,
      "INVALID_FRAMEWORK",
    );
    const [first, second] = bundle.revisions;
    const { status, body } = await importing({
      ...bundle,
      revisions: [{ ...first, definition: other }, second],
    });
    assert.deepEqual([status, body.revisions, body.skippedRevisions], [201, 1, [1]]);
  });

  test("keeps no time of the future, and no secret versions of elsewhere", async () => {
    const bundle = await exported();
    const future = "2999-01-01T00:00:00Z";
    const { body } = await importing({
      ...bundle,
      revisions: [{ ...bundle.revisions[0], createdAt: future }],
      conversations: [{ messages: [{ role: "user", content: "x", createdAt: future }] }],
    });
    const { rows } = await db.pool.query(
      `select r.created_at <= now() as made, r.spec -> 'secretVersions' as versions, c.created_at <= now() as said
       from public.agent_revisions r join public.agent_conversations c using (agent_id) where agent_id = $1`,
      [body.agentId],
    );
    assert.deepEqual(rows, [{ made: true, versions: {}, said: true }]);
  });

  test("is bounded by size and by the owner's quota, and repeats its answer for a key", async () => {
    const bundle = await exported();
    const huge = {
      ...bundle,
      conversations: [
        {
          messages: [
            { role: "user", content: "x".repeat(MAX_BUNDLE_BYTES), createdAt: "2026-01-01T00:00:00Z" },
          ],
        },
      ],
    };
    assert.deepEqual(await importing(huge).then(({ status, body }) => [status, body.code]), [
      413,
      "PAYLOAD_TOO_LARGE",
    ]);
    const erin = await createUser(db);
    await db.pool.query("update public.quotas set max_agents = 1 where user_id = $1", [erin]);
    const keyed = user(erin, { "idempotency-key": "once" });
    const [one, two] = [
      await rpc(db, keyed, "import_agent", { bundle }),
      await rpc(db, keyed, "import_agent", { bundle }),
    ];
    assert.deepEqual([one.status, two.status, two.body.agentId], [201, 201, one.body.agentId]);
    assert.equal((await importing(bundle, erin)).body.code, "AGENT_LIMIT_REACHED");
  });
});
