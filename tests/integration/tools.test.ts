// Tools, their assignment, and secrets of users.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { codeOf, people, responder } from "../helpers/answering.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;
const { query, agent, say } = people(
  () => db,
  () => alice,
);
const { claim } = responder(() => db);

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  alice = await createUser(db);
  bob = await createUser(db);
});
afterAll(() => db.destroy());

const WEATHER = {
  name: "weather",
  description: "Tells the weather of a city.",
  category: "web",
  icon: "cloud",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  implementation: {
    type: "http",
    method: "GET",
    url: "https://api.example.com/{{city}}",
    headers: { "x-key": "{{api_key}}" },
  },
};

const make = async (more: Record<string, unknown> = {}, as = alice) =>
  (
    await query(
      `insert into public.tools (name, description, category, icon, input_schema, implementation)
       select name, description, category, icon, input_schema, implementation from jsonb_populate_record(null::public.tools, $1) returning *`,
      [JSON.stringify({ ...WEATHER, ...more })],
      as,
    )
  )[0];
const wrong = async (more: Record<string, unknown>) => Object.keys((await codeOf(make(more))).details);
const assign = (agentId: string, toolId: string, configuration: unknown = {}) =>
  query("insert into public.agent_tools (agent_id, tool_id, configuration) values ($1, $2, $3) returning *", [
    agentId,
    toolId,
    JSON.stringify(configuration),
  ]);

describe("tools", () => {
  test("the built-in ones are everybody's to read and nobody's to change", async () => {
    const names = (await query("select name from public.tools where user_id is null order by name")).map(
      (t) => t.name,
    );
    assert.deepEqual(names, ["calculator", "conversation_search", "current_time", "http_request"]);
    for (const text of [
      "update public.tools set description = 'x' where user_id is null returning 1",
      "delete from public.tools where user_id is null returning 1",
    ]) {
      assert.deepEqual(await query(text), []);
    }
  });

  test("a user's own are read by that user alone", async () => {
    const { id } = await make();
    assert.equal((await query("select from public.tools where id = $1", [id])).length, 1);
    assert.equal((await query("select from public.tools where id = $1", [id], bob)).length, 0);
    await assert.rejects(make({}), { code: "23505" }, "a name is taken once");
    await make({}, bob);
  });

  test("every wrong field is named", async () => {
    assert.deepEqual(
      (
        await wrong({
          name: "",
          description: "",
          input_schema: [],
          implementation: { type: "builtin", name: "calculator" },
        })
      ).sort(),
      ["description", "implementation.type", "input_schema", "name"],
    );
    const http = (more: object) => ({ implementation: { ...WEATHER.implementation, ...more } });
    assert.deepEqual(await wrong(http({ url: "ftp://example.com" })), ["implementation.url"]);
    assert.deepEqual(
      await wrong(http({ url: "https://{{host}}/x" })),
      ["implementation.url"],
      "the host is fixed",
    );
    assert.deepEqual(await wrong(http({ url: "https://user:pw@example.com/" })), ["implementation.url"]);
    assert.deepEqual(await wrong(http({ method: "TRACE" })), ["implementation.method"]);
    assert.deepEqual(await wrong(http({ headers: { Host: "x" } })), ["implementation.headers.Host"]);
    assert.deepEqual(await wrong(http({ headers: { "x-a": "b\r\nc: d" } })), ["implementation.headers.x-a"]);
    assert.deepEqual(await wrong(http({ body: "x" })), ["implementation.body"]);
  });

  test("a placeholder that nothing can fill is refused, and says what to add", async () => {
    const http = (more: object) => ({ implementation: { ...WEATHER.implementation, ...more } });
    const { details } = await codeOf(make(http({ url: "https://api.example.com/{{town}}" })));
    assert.match(
      details["implementation.url"] ?? "",
      /^\{\{town\}\} has no value: add town to the properties/,
    );
    assert.deepEqual(await wrong(http({ headers: { "x-user": "{{user-id}}" } })), [
      "implementation.headers.x-user",
    ]);
    await make({
      ...http({
        url: "https://api.example.com/{{user-id}}?q={{q}}",
        headers: { "x-key": "Key {{ api_key }}" },
      }),
      name: "placeholders",
      input_schema: { type: "object", properties: { "user-id": {}, q: {} } },
    });
  });

  test("a content type is one that a body can be made for", async () => {
    const typed = (type: string) => ({
      name: `t ${type}`.slice(0, 64),
      implementation: { ...WEATHER.implementation, method: "POST", headers: { "Content-Type": type } },
    });
    assert.deepEqual(await wrong(typed("multipart/form-data")), ["implementation.headers.Content-Type"]);
    for (const type of [
      "application/x-www-form-urlencoded",
      "application/json; charset=utf-8",
      "application/ld+json",
    ])
      await make(typed(type));
  });

  test("a schema may not hold what could keep a worker busy", async () => {
    const implementation = { type: "http", url: "https://api.example.com/" };
    const patterned = (pattern: string) => ({
      implementation,
      name: `p${Math.random()}`.slice(0, 20),
      input_schema: { type: "object", properties: { x: { type: "string", pattern } } },
    });
    for (const pattern of ["(a+)+$", "(a|a)*$", "a*a*a*a*b", "(x)\\1", "(?=a)b", "x".repeat(201)]) {
      assert.deepEqual(await wrong(patterned(pattern)), ["input_schema"], pattern);
    }
    await make(patterned("^[a-z]{2,5}-[0-9]+$"));
    assert.deepEqual(await wrong({ input_schema: { type: "object", patternProperties: { ".*": {} } } }), [
      "input_schema",
    ]);
    await make({
      implementation,
      name: "named pattern",
      input_schema: { type: "object", properties: { pattern: { type: "string" } } },
    });
  });
});

describe("assignments", () => {
  test("reach the claim with their configuration and the secret they name; disabled ones do not", async () => {
    const bot = await agent("Bot");
    const own = await make({ name: "own" });
    const [calculator] = await query("select id from public.tools where name = 'calculator'");
    await assign(bot, own.id, { api_key_ref: "user_weather_api_key", default_units: "metric" });
    await assign(bot, calculator.id);
    await rpc(db, user(alice), "set_user_secret", { name: "user_weather_api_key", value: "k-123" });
    await say({ agent: bot });
    const [job] = await claim();
    assert.deepEqual(
      job.tools.map(({ name }: { name: string }) => name),
      ["calculator", "own"],
    );
    assert.deepEqual(job.tools[1], {
      id: own.id,
      name: "own",
      description: WEATHER.description,
      inputSchema: WEATHER.input_schema,
      implementation: WEATHER.implementation,
      configuration: { api_key_ref: "user_weather_api_key", default_units: "metric" },
      secret: "k-123",
    });
    await query("update public.agent_tools set enabled = false where agent_id = $1 and tool_id = $2", [
      bot,
      own.id,
    ]);
    await say({ agent: bot });
    assert.deepEqual(
      (await claim())[0].tools.map(({ name }: { name: string }) => name),
      ["calculator"],
    );
  });

  test("are refused for another's agent or tool, for a wrong configuration, and twice", async () => {
    const bot = await agent("Bot");
    const mine = await make({ name: "mine" });
    const theirs = await make({ name: "theirs" }, bob);
    const bobs = await agent("Bob's", {}, bob);
    assert.equal((await codeOf(assign(bobs, mine.id))).code, "AGENT_NOT_FOUND");
    assert.equal((await codeOf(assign(bot, theirs.id))).code, "NOT_FOUND");
    for (const [configuration, field] of [
      [[], "configuration"],
      [{ api_key_ref: "not a name" }, "configuration.api_key_ref"],
      [{ api_key_ref: 1 }, "configuration.api_key_ref"],
      [{ allowed_hosts: "example.com" }, "configuration.allowed_hosts"],
      [{ allowed_hosts: ["https://example.com/"] }, "configuration.allowed_hosts"],
    ] as const) {
      assert.deepEqual(Object.keys((await codeOf(assign(bot, mine.id, configuration))).details), [field]);
    }
    await assign(bot, mine.id, { allowed_hosts: ["api.example.com", "*.example.org", "localhost:8080"] });
    await assert.rejects(assign(bot, mine.id), { code: "23505" });
  });
});

describe("secrets of users", () => {
  test("are stored, listed by name and removed; a value is never shown", async () => {
    const caller = user(await createUser(db));
    const set = (name: string, value: string) => rpc(db, caller, "set_user_secret", { name, value });
    const first = await set("API_KEY", "one");
    assert.equal(first.status, 200);
    assert.deepEqual([first.body.name, first.body.version, first.body.changed], ["API_KEY", 1, true]);
    assert.deepEqual(
      [(await set("API_KEY", "one")).body.changed, (await set("API_KEY", "two")).body.version],
      [false, 2],
    );
    const listed = await rpc(db, caller, "list_user_secrets");
    assert.deepEqual(
      listed.body.secrets.map(({ name }: { name: string }) => name),
      ["API_KEY"],
    );
    assert.equal(JSON.stringify([first.body, listed.body]).includes("two"), false);
    const columns = await query(
      "select * from (select name, version from public.user_secrets) s",
      [],
      caller.user as string,
    );
    assert.deepEqual(columns, [{ name: "API_KEY", version: 2 }]);
    await assert.rejects(query("select vault_id from public.user_secrets", [], caller.user as string), {
      code: "42501",
    });
    assert.equal((await rpc(db, caller, "remove_user_secret", { name: "API_KEY" })).status, 200);
    assert.equal((await rpc(db, caller, "remove_user_secret", { name: "API_KEY" })).body.code, "NOT_FOUND");
    const { rows } = await db.pool.query("select from vault.secrets where name like 'user/' || $1 || '/%'", [
      caller.user,
    ]);
    assert.equal(rows.length, 0);
  });

  test("are refused with bad names and values, without the permission, and to anybody else", async () => {
    const short = await rpc(db, user(alice), "set_user_secret", { name: "weather_key", value: "k-…9f" });
    assert.match(short.body.details, /"value" ?: ?"Looks shortened/);
    const bad = await rpc(db, user(alice), "set_user_secret", { name: "a b", value: "" });
    assert.equal(bad.status, 400);
    assert.deepEqual(Object.keys(JSON.parse(bad.body.details)).sort(), ["name", "value"]);
    assert.equal((await rpc(db, anon, "set_user_secret", { name: "X", value: "x" })).status, 403);
    assert.equal((await rpc(db, service, "list_user_secrets")).status, 403);
    const carol = await createUser(db);
    await db.pool.query("delete from public.user_permissions where user_id = $1", [carol]);
    assert.equal(
      (await rpc(db, user(carol), "set_user_secret", { name: "X", value: "x" })).body.code,
      "INSUFFICIENT_PERMISSIONS",
    );
  });

  test("go with their user", async () => {
    const carol = await createUser(db);
    await rpc(db, user(carol), "set_user_secret", { name: "X", value: "gone soon" });
    await db.pool.query("delete from auth.users where id = $1", [carol]);
    const { rows } = await db.pool.query(
      "select from vault.decrypted_secrets where decrypted_secret = 'gone soon'",
    );
    assert.equal(rows.length, 0);
  });
});
