// Keys of agents: made, listed and revoked by their owner; and who is judged to call an agent.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, describe, test } from "vitest";
import { messageKey } from "../../packages/agent-runtime/src/signature.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

const SECRET = "the secret of the function respond";

let db: TestDatabase;
let alice: string;
let bob: string;
let agent: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  await db.pool.query("select vault.create_secret($1, 'launchpad_respond_secret')", [SECRET]);
  [alice, bob] = [await createUser(db), await createUser(db)];
  agent = await launch();
});
afterAll(() => db.destroy());

async function launch(definition: Record<string, unknown> = {}): Promise<string> {
  const { body } = await rpc(db, user(alice), "launch_agent", {
    definition: { agentName: "bot", ...definition },
  });
  assert.ok(body.agentId, JSON.stringify(body));
  return body.agentId;
}

const createKey = (key: unknown, caller = user(alice), agent_id = agent) =>
  rpc(db, caller, "create_agent_key", { agent_id, key });
const judge = (args: Record<string, unknown>, caller = anon) =>
  rpc(db, caller, "judge_caller", { agent_id: agent, need: "invoke", ...args });
const codeOf = ({ status, body }: { status: number; body: { code: string } }) => [status, body.code];

describe("keys", () => {
  test("a key is shown once, and only its digest is kept", async () => {
    const { status, body } = await createKey({ name: "site", origins: ["https://app.example.com"] });
    assert.equal(status, 201);
    assert.match(body.key, /^lp_[A-Za-z0-9_-]{43}$/);
    assert.deepEqual(Object.keys(body).sort(), [
      "createdAt",
      "expiresAt",
      "id",
      "key",
      "name",
      "origins",
      "prefix",
      "scopes",
    ]);
    assert.equal(body.prefix, body.key.slice(0, 11));
    assert.deepEqual([body.scopes, body.origins], [["invoke"], ["https://app.example.com"]]);
    const { body: list } = await rpc(db, user(alice), "list_agent_keys", { agent_id: agent });
    assert.equal(list.total, 1);
    assert.deepEqual([list.keys[0].lastUsedAt, list.keys[0].revokedAt], [null, null]);
    const everywhere = await db.superuser.query(
      `select query_to_xml(format('select * from %I.%I', schemaname, tablename), true, true, '')::text as text
       from pg_tables where schemaname in ('public', 'private', 'vault', 'net')`,
    );
    const secret = body.key.slice(11);
    for (const { text } of everywhere.rows) assert.ok(!text.includes(secret), text.slice(0, 200));
  });

  for (const [what, key, field] of [
    ["no name", {}, "name"],
    ["a blank name", { name: "\u200b " }, "name"],
    ["a long name", { name: "x".repeat(101) }, "name"],
    ["an unknown scope", { name: "k", scopes: ["admin"] }, "scopes.0"],
    ["no scope", { name: "k", scopes: [] }, "scopes"],
    ["an origin with a path", { name: "k", origins: ["https://a.example/x"] }, "origins.0"],
    ["a wildcard origin", { name: "k", origins: ["*"] }, "origins.0"],
    ["the origin null", { name: "k", origins: ["null"] }, "origins.0"],
    ["an origin with its default port", { name: "k", origins: ["https://a.example:443"] }, "origins.0"],
    [
      "21 origins",
      { name: "k", origins: Array.from({ length: 21 }, (_, i) => `https://a${i}.example`) },
      "origins",
    ],
    ["an expiry in the past", { name: "k", expiresAt: "2020-01-01T00:00:00Z" }, "expiresAt"],
    ["a day of no calendar", { name: "k", expiresAt: "2027-02-31T00:00:00Z" }, "expiresAt"],
    ["an expiry beyond ten years", { name: "k", expiresAt: "2090-01-01T00:00:00Z" }, "expiresAt"],
    ["an unknown field", { name: "k", admin: true }, "admin"],
    ["a list as the body", [], "body"],
  ] as const) {
    test(`${what} is refused by the field's name`, async () => {
      const { status, body } = await createKey(key);
      assert.deepEqual([status, body.code], [400, "VALIDATION_ERROR"]);
      assert.deepEqual(Object.keys(JSON.parse(body.details)), [field]);
    });
  }

  test("an agent has at most 20 keys; a revoked one makes room", async () => {
    const id = await launch();
    const made = [];
    for (let n = 0; n < 20; n += 1) made.push((await createKey({ name: `k${n}` }, user(alice), id)).body.id);
    const over = await createKey({ name: "over" }, user(alice), id);
    assert.deepEqual(codeOf(over), [429, "RESOURCE_LIMIT_EXCEEDED"]);
    await rpc(db, user(alice), "revoke_agent_key", { agent_id: id, key_id: made[0] });
    assert.equal((await createKey({ name: "room" }, user(alice), id)).status, 201);
    const { body } = await rpc(db, user(alice), "list_agent_keys", { agent_id: id, limit: 2, offset: 1 });
    assert.deepEqual([body.keys.length, body.total], [2, 21]);
  });

  test("two requests at once cannot both make the last key", async () => {
    const id = await launch();
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, n) => createKey({ name: `k${n}` }, user(alice), id)),
    );
    assert.equal(answers.filter(({ status }) => status === 201).length, 20);
  });

  test("another user's agent is as absent as none, for every verb", async () => {
    const { body } = await createKey({ name: "mine" });
    for (const [name, args] of [
      ["create_agent_key", { key: { name: "k" } }],
      ["list_agent_keys", {}],
      ["revoke_agent_key", { key_id: body.id }],
    ] as const) {
      for (const agent_id of [agent, "agent-of-nobody"]) {
        assert.deepEqual(codeOf(await rpc(db, user(bob), name, { agent_id, ...args })), [
          404,
          "AGENT_NOT_FOUND",
        ]);
      }
      assert.equal((await rpc(db, anon, name, { agent_id: agent, ...args })).status, 403);
    }
    assert.equal((await judge({ key: body.key })).status, 200);
  });

  test("the table is its owner's to read, nobody's to write", async () => {
    const rows = (id: string) => db.asUser(id, (client) => client.query("select * from public.agent_keys"));
    assert.ok((await rows(alice)).rowCount);
    assert.equal((await rows(bob)).rowCount, 0);
    const write = db.asUser(alice, (client) =>
      client.query("update public.agent_keys set revoked_at = null where agent_id = $1", [agent]),
    );
    await assert.rejects(write, /permission denied/);
  });

  test("creation and revocation are one event each, without the key's name", async () => {
    const id = await launch();
    const { body } = await createKey({ name: "wordofmine" }, user(alice), id);
    const revoke = () => rpc(db, user(alice), "revoke_agent_key", { agent_id: id, key_id: body.id });
    assert.deepEqual([(await revoke()).status, (await revoke()).status], [204, 204]);
    const { rows } = await db.pool.query(
      "select event_type, details::text from public.agent_events where agent_id = $1 and event_type like 'KEY%' order by seq",
      [id],
    );
    assert.deepEqual(
      rows.map((row) => row.event_type),
      ["KEY_CREATED", "KEY_REVOKED"],
    );
    assert.ok(!rows.some((row) => row.details.includes("wordofmine")));
  });

  test("what is no key of the agent cannot be revoked", async () => {
    for (const key_id of ["nonsense", crypto.randomUUID()]) {
      const answer = await rpc(db, user(alice), "revoke_agent_key", { agent_id: agent, key_id });
      assert.deepEqual(codeOf(answer), [404, "NOT_FOUND"]);
    }
  });

  test("a deleted agent's keys go at once", async () => {
    const id = await launch();
    await createKey({ name: "k" }, user(alice), id);
    await rpc(db, user(alice), "delete_agent", { agent_id: id });
    const { rows } = await db.pool.query("select 1 from public.agent_keys where agent_id = $1", [id]);
    assert.equal(rows.length, 0);
    assert.deepEqual(codeOf(await createKey({ name: "k" }, user(alice), id)), [409, "CONFLICT"]);
  });
});

describe("judge_caller", () => {
  test("the owner may; a second user learns nothing; anonymous callers are refused", async () => {
    assert.equal((await judge({}, user(alice))).body.caller, `user:${alice}`);
    for (const agent_id of [agent, "agent-of-nobody"]) {
      assert.deepEqual(codeOf(await judge({ agent_id }, user(bob))), [404, "AGENT_NOT_FOUND"]);
      assert.deepEqual(codeOf(await judge({ agent_id })), [401, "INVALID_API_KEY"]);
      assert.deepEqual(codeOf(await judge({ agent_id, key: "lp_nonsense" })), [401, "INVALID_API_KEY"]);
    }
    assert.equal((await judge({}, service)).status, 403);
  });

  test("what a caller wants must be said", async () => {
    for (const need of [null, "", "write"]) {
      assert.deepEqual(codeOf(await judge({ need }, user(alice))), [400, "VALIDATION_ERROR"]);
    }
  });

  test("a second user's try is recorded as any other probe", async () => {
    const mallory = await createUser(db);
    await judge({}, user(mallory));
    const { rows } = await db.pool.query(
      "select event_type, agent_id from public.security_events where user_id = $1",
      [mallory],
    );
    assert.deepEqual(rows, [{ event_type: "AGENT_ACCESS_DENIED", agent_id: agent }]);
  });

  test("an owner without a permission lacks what it gives", async () => {
    await db.pool.query(
      "delete from public.user_permissions where user_id = $1 and permission = 'agents:write'",
      [alice],
    );
    try {
      assert.deepEqual(codeOf(await judge({}, user(alice))), [403, "INSUFFICIENT_PERMISSIONS"]);
      assert.equal((await judge({ need: "read" }, user(alice))).status, 200);
    } finally {
      await db.pool.query(
        "insert into public.user_permissions (user_id, permission) values ($1, 'agents:write')",
        [alice],
      );
    }
  });

  test("a key does what its scopes say, for its own agent alone", async () => {
    const { body: invoke } = await createKey({ name: "invoke" });
    const { body: read } = await createKey({ name: "read", scopes: ["read"] });
    assert.equal((await judge({ key: invoke.key })).body.caller, `key:${invoke.id}`);
    assert.deepEqual(codeOf(await judge({ key: invoke.key, need: "read" })), [
      403,
      "INSUFFICIENT_PERMISSIONS",
    ]);
    assert.equal((await judge({ key: read.key, need: "read" })).status, 200);
    assert.deepEqual(codeOf(await judge({ key: read.key })), [403, "INSUFFICIENT_PERMISSIONS"]);
    const other = await launch();
    assert.deepEqual(codeOf(await judge({ key: invoke.key, agent_id: other })), [401, "INVALID_API_KEY"]);
  });

  test("revoked and expired keys are refused", async () => {
    const { body: revoked } = await createKey({ name: "k" });
    await rpc(db, user(alice), "revoke_agent_key", { agent_id: agent, key_id: revoked.id });
    assert.deepEqual(codeOf(await judge({ key: revoked.key })), [401, "INVALID_API_KEY"]);
    const { body: expired } = await createKey({
      name: "k",
      expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
    });
    assert.equal((await judge({ key: expired.key })).status, 200);
    await db.pool.query("update public.agent_keys set expires_at = now() where id = $1", [expired.id]);
    assert.deepEqual(codeOf(await judge({ key: expired.key })), [401, "INVALID_API_KEY"]);
  });

  test("a banned owner's key and public agent are closed", async () => {
    const { body: key } = await createKey({ name: "k" });
    const open = await launch({ visibility: "public", maxTokensPerDay: 1000 });
    await db.superuser.query("update auth.users set banned_until = now() + interval '1 hour' where id = $1", [
      alice,
    ]);
    try {
      assert.deepEqual(codeOf(await judge({ key: key.key })), [401, "INVALID_API_KEY"]);
      assert.deepEqual(codeOf(await judge({ agent_id: open })), [401, "INVALID_API_KEY"]);
    } finally {
      await db.superuser.query("update auth.users set banned_until = null where id = $1", [alice]);
    }
  });

  test("a web page may use a key whose origins name it exactly", async () => {
    const { body: key } = await createKey({ name: "web", origins: ["https://app.example.com"] });
    const { body: program } = await createKey({ name: "program" });
    assert.equal((await judge({ key: key.key, origin: "https://app.example.com" })).status, 200);
    assert.equal((await judge({ key: key.key })).status, 200);
    for (const origin of [
      "https://app.example.com.evil",
      "http://app.example.com",
      "https://example.com",
      "null",
    ]) {
      assert.deepEqual(codeOf(await judge({ key: key.key, origin })), [403, "INSUFFICIENT_PERMISSIONS"]);
    }
    assert.deepEqual(codeOf(await judge({ key: program.key, origin: "https://app.example.com" })), [
      403,
      "INSUFFICIENT_PERMISSIONS",
    ]);
    const preflight = async (origin: string) => (await judge({ need: "preflight", origin })).body.allowed;
    assert.deepEqual(
      [await preflight("https://app.example.com"), await preflight("https://evil.example")],
      [true, false],
    );
    await rpc(db, user(alice), "revoke_agent_key", { agent_id: agent, key_id: key.id });
  });

  test("lastUsedAt is written at most once a minute", async () => {
    const { body: key } = await createKey({ name: "k" });
    const used = async () =>
      (await db.pool.query("select last_used_at, xmin::text from public.agent_keys where id = $1", [key.id]))
        .rows[0];
    assert.equal((await used()).last_used_at, null);
    await judge({ key: key.key });
    const first = await used();
    assert.ok(first.last_used_at);
    await judge({ key: key.key });
    assert.deepEqual(await used(), first);
  });

  test("no judgement counts against the user's requests", async () => {
    const before = await db.pool.query(
      "select api_used, burst_used from private.api_counters where user_id = $1",
      [alice],
    );
    await judge({}, user(alice));
    const after = await db.pool.query(
      "select api_used, burst_used from private.api_counters where user_id = $1",
      [alice],
    );
    assert.deepEqual(after.rows, before.rows);
  });
});

describe("public agents", () => {
  test("public wants a cap, named in each door's own words", async () => {
    const launched = await rpc(db, user(alice), "launch_agent", {
      definition: { agentName: "b", visibility: "public" },
    });
    assert.deepEqual(
      [launched.status, Object.keys(JSON.parse(launched.body.details))],
      [400, ["maxTokensPerDay"]],
    );
    const update = db.asUser(alice, (client) =>
      client.query("update public.agents set visibility = 'public' where id = $1", [agent]),
    );
    await assert.rejects(update, /max_tokens_per_day/);
    const wrong = await rpc(db, user(alice), "update_agent", {
      agent_id: agent,
      changes: { visibility: "secret" },
    });
    assert.deepEqual(Object.keys(JSON.parse(wrong.body.details)), ["visibility"]);
  });

  test("agents are private until their owner says otherwise, and a change is one event", async () => {
    const id = await launch();
    const { body } = await rpc(db, user(alice), "get_agent", { agent_id: id });
    assert.deepEqual([body.visibility, body.maxTokensPerDay], ["private", null]);
    const events = async () =>
      (
        await db.pool.query("select event_type from public.agent_events where agent_id = $1 order by seq", [
          id,
        ])
      ).rows.map((row) => row.event_type);
    const count = (await events()).length;
    const changes = { visibility: "public", maxTokensPerDay: 500 };
    const { body: updated } = await rpc(db, user(alice), "update_agent", { agent_id: id, changes });
    assert.deepEqual(updated.changes_applied, { visibility: true, maxTokensPerDay: true });
    assert.deepEqual((await events()).slice(count), ["VISIBILITY_CHANGED"]);
    assert.equal((await judge({ agent_id: id })).body.caller, "public");
    assert.equal((await judge({ agent_id: id, need: "read" })).status, 401);
    assert.equal((await judge({ agent_id: id, key: "lp_wrong" })).status, 401);
    assert.equal(
      (await judge({ agent_id: id, need: "preflight", origin: "https://any.example" })).body.allowed,
      true,
    );
    const { body: status } = await rpc(db, user(alice), "get_agent_status", { agent_id: id });
    assert.deepEqual([status.visibility, status.addresses], ["public", { host: null, path: null }]);
  });

  test("20 messages a minute and address, counted for a replica alone", async () => {
    await db.pool.query("update public.rate_limits set max_requests = 20 where bucket = 'public_messages'");
    const credential = createHmac("sha256", messageKey(SECRET, agent)).update("runtime").digest("hex");
    const count = (address: string, proof: string, caller = anon) =>
      rpc(db, caller, "count_public_message", { agent_id: agent, address, credential: proof });
    const allowed = [];
    for (let n = 0; n < 22; n += 1) allowed.push((await count("192.0.2.1", credential)).body.allowed);
    assert.equal(allowed.filter(Boolean).length, 20);
    const { body } = await count("192.0.2.1", credential);
    assert.ok(body.retryAfter >= 0, String(body.retryAfter));
    assert.equal((await count("192.0.2.2", credential)).body.allowed, true);
    assert.deepEqual(codeOf(await count("192.0.2.3", "00".repeat(32))), [403, "INSUFFICIENT_PERMISSIONS"]);
    assert.equal((await count("192.0.2.3", credential, user(alice))).status, 403);
    const { rows } = await db.pool.query("select c::text as text from private.public_callers c");
    assert.ok(!rows.some(({ text }) => text.includes("192.0.2")));
  });
});
