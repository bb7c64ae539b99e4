// MCP servers as plugins in the database: how they are named, who may name which, and who is given the secret they are called with.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { plugin as pluginSchema } from "../../supabase/functions/_shared/contract/index.ts";
import { people, responder } from "../helpers/answering.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

const SECRET = "a secret of respond for these tests";
const SERVER = "mcp:https://mcp.example.com/mcp";

let db: TestDatabase;
let ada: string;
let bob: string;
const { say } = people(
  () => db,
  () => ada,
);
const { claim } = responder(() => db);

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  await db.pool.query("select private.connect_functions('http://127.0.0.1:1/functions/v1', $1)", [SECRET]);
  [ada, bob] = [await createUser(db), await createUser(db)];
});
afterAll(() => db?.destroy());

const launch = (plugins: string[], who = ada) =>
  rpc(db, user(who), "launch_agent", { definition: { agentName: "a", plugins } });
const launched = async (plugins: string[], who = ada): Promise<string> => {
  const { status, body } = await launch(plugins, who);
  assert.equal(status, 201, JSON.stringify(body));
  return body.agentId;
};
const problemOf = async (plugin: string): Promise<string | undefined> => {
  const { status, body } = await launch([plugin]);
  return status === 201 ? undefined : JSON.parse(body.details)["plugins.0"];
};

describe("names", () => {
  const accepted = [
    SERVER,
    "mcp:http://localhost:3000/mcp",
    "mcp:https://mcp.example.com",
    "mcp:https://mcp.example.com:8443/a/b.c?team=7&x=@scope/y",
    "mcp:https://[2001:db8::1]:444/mcp",
    "mcp:http://[::1]/mcp",
    "mcp:http://[::]",
    "mcp:https://[2001:db8:0:1:1:1:1:1]?a=[0:0::1]",
    "mcp:https://[64:ff9b::7f00:1]#TOKEN",
    "mcp:https://203.0.113.7:444/mcp",
    "mcp:https://1.2.3.4.example.com/mcp",
    `${SERVER}#TOKEN`,
    `${SERVER}#X-Api-Key=TOKEN_2`,
  ];
  const refused: [plugin: string, problem: RegExp][] = [
    ["mcp:", /^Must be mcp: with/],
    ["mcp:mcp.example.com/mcp", /^Must be mcp: with/],
    ["mcp:ftp://mcp.example.com", /^Must be mcp: with/],
    ["mcp:https://", /^Must be mcp: with/],
    ["mcp:https://ada:secret@mcp.example.com/mcp", /^Must be mcp: with/],
    ["mcp:https://mcp.example.com/a b", /^Must be mcp: with/],
    ["mcp:https://mcp.example.com/ü", /^Must be mcp: with/],
    ["mcp:https://mcp.example.com:0443/mcp", /^Must be mcp: with/],
    ["mcp:https://3405803783/mcp", /^Must have an IPv4 address in its plain form/],
    ["mcp:https://0xcb.0.0x7107#TOKEN", /^Must have an IPv4 address in its plain form/],
    ["mcp:https://203.0.113.07:444/mcp", /^Must have an IPv4 address in its plain form/],
    ["mcp:http://[0:0::1]/mcp", /^Must have an IPv6 address in its shortest form/],
    ["mcp:http://[0:0:0:0:0:0:0:1]/mcp", /^Must have an IPv6 address in its shortest form/],
    ["mcp:http://[::01]:3000/mcp#TOKEN", /^Must have an IPv6 address in its shortest form/],
    ["mcp:https://[2001:db8:0:1:0:0:0:1]", /^Must have an IPv6 address in its shortest form/],
    ["mcp:https://[2001:0db8::1]", /^Must have an IPv6 address in its shortest form/],
    ["mcp:http://[::ffff:127.0.0.1]/", /^Must have an IPv6 .* an IPv4 address without brackets$/],
    ["mcp:http://[::ffff:7f00:1]/", /^Must have an IPv6 .* an IPv4 address without brackets$/],
    ["mcp:http://[::7f00:1]/", /^Must have an IPv6 .* an IPv4 address without brackets$/],
    ["mcp:http://[127.0.0.1]/", /^Must have an IPv6 .* an IPv4 address without brackets$/],
    ["mcp:http://[:::]/", /^Must have an IPv6 address in its shortest form/],
    [`${SERVER}#`, /^Must be mcp: with/],
    [`${SERVER}#7TOKEN`, /^Must be mcp: with/],
    [`${SERVER}#A=B=C`, /^Must be mcp: with/],
    [`${SERVER}\nx`, /^Must be mcp: with/],
    [`${SERVER}#Host=TOKEN`, /^Names a header/],
    [`${SERVER}#MCP-Session-Id=TOKEN`, /^Names a header/],
    [`${SERVER}#content-length=TOKEN`, /^Names a header/],
  ];
  test("addresses with and without a secret are accepted by database and contract", async () => {
    for (const plugin of accepted) {
      assert.equal(await problemOf(plugin), undefined, plugin);
      assert.ok(pluginSchema.safeParse(plugin).success, plugin);
    }
  });

  test("anything else after mcp: is refused by both with the same words", async () => {
    for (const [plugin, problem] of refused) {
      const said = await problemOf(plugin);
      assert.match(said ?? "", problem, plugin);
      assert.deepEqual(
        pluginSchema.safeParse(plugin).error?.issues.map(({ message }) => message),
        [said],
        plugin,
      );
    }
    assert.match((await problemOf(`${SERVER}/${"x".repeat(214)}`)) ?? "", /^Must be/);
  });

  test("do not make an agent one of elizaOS, and count as no package in a scan", async () => {
    const plain = "mcp:http://plain.example.com/mcp#TOKEN";
    const id = await launched([SERVER, plain]);
    const { rows } = await db.pool.query(
      "select resources ->> 'memory' as memory from public.agents where id = $1",
      [id],
    );
    assert.equal(rows[0].memory, "512Mi");
    const { body } = await rpc(db, user(ada), "scan_agent", { agent_id: id });
    const findings = body.results.findings.map(
      ({ check, package: named }: { check: string; package?: string }) => [check, named],
    );
    assert.deepEqual(findings, [["PLUGIN_PLAINTEXT", "mcp:http://plain.example.com/mcp"]]);
  });
});

describe("rules", () => {
  const rule = (pattern: string, action: string) =>
    db.pool.query("insert into private.plugin_rules (pattern, action) values ($1, $2)", [pattern, action]);
  const forget = (pattern: string) =>
    db.pool.query("delete from private.plugin_rules where pattern = $1", [pattern]);

  test("every server is allowed by default; an operator denies one, however its port is written", async () => {
    await rule("mcp:https://closed.example.com/*", "deny");
    for (const [plugin, expected] of [
      ["mcp:https://closed.example.com/mcp", 422],
      ["mcp:https://closed.example.com:443/mcp", 422],
      ["mcp:https://closed.example.com?x", 422],
      ["mcp:https://closed.example.com#TOKEN", 422],
      ["mcp:https://closed.example.com.other.example/mcp", 201],
      ["mcp:https://open.example.com/mcp", 201],
    ] as const) {
      const { status, body } = await launch([plugin]);
      assert.equal(status, expected, plugin);
      if (status === 422) assert.equal(body.code, "PLUGIN_NOT_ALLOWED");
    }
  });

  test("without mcp:* only servers that are named may be used, and * means them too", async () => {
    await forget("mcp:*");
    await rule("mcp:https://team.example.com/*", "allow");
    assert.equal((await launch([SERVER])).status, 422);
    assert.equal((await launch(["mcp:https://team.example.com/mcp"])).status, 201);
    await rule("*", "allow");
    assert.equal((await launch([SERVER])).status, 201);
    await forget("*");
    await rule("mcp:*", "allow");
  });

  test("a denied IPv6 address is denied in every accepted spelling of its address, and the others are refused", async () => {
    await rule("mcp:http://[2001:db8::7]/*", "deny");
    const codes = await Promise.all(
      ["[2001:db8::7]", "[2001:db8::7]:80", "[2001:db8:0::7]", "[2001:0db8::0007]"].map(
        async (host) => (await launch([`mcp:http://${host}/mcp#TOKEN`])).body.code,
      ),
    );
    assert.deepEqual(codes, [
      "PLUGIN_NOT_ALLOWED",
      "PLUGIN_NOT_ALLOWED",
      "VALIDATION_ERROR",
      "VALIDATION_ERROR",
    ]);
  });

  test("are written as those of packages are", async () => {
    const put = (pattern: string) =>
      rpc(db, service, "put_plugin_rule", { rule: { pattern, action: "deny", reason: "ask us" } });
    assert.equal((await put("mcp:https://x.example.com:8443/*")).status, 200);
    const { body } = await launch(["mcp:https://x.example.com:8443/mcp"]);
    assert.match(body.message, /: ask us$/);
    assert.match(
      (await put("mcp:https://x.example.com")).body.details,
      /write mcp:https:\/\/x\.example\.com\/\*/,
    );
  });

  test("a pattern that could never match is refused", async () => {
    for (const pattern of [
      "mcp:",
      "mcp:https://x",
      "mcp:https://X/*",
      "mcp:https://x/mcp",
      "mcp:https://x:443/*",
      "mcp:http://x:80/*",
      "mcp:http://[0:0::1]/*",
      "mcp:http://[::ffff:7f00:1]/*",
      "mcp:http://0x7f.1/*",
      "mcp:http://127.1/*",
    ]) {
      await assert.rejects(rule(pattern, "deny"), { code: "23514" }, pattern);
    }
  });
});

describe("secrets", () => {
  const credentialOf = (agentId: string) => {
    const key = createHmac("sha256", SECRET).update(`messages of ${agentId}`).digest("hex");
    return createHmac("sha256", key).update("runtime").digest("hex");
  };
  const ask = (agentId: string, plugin: string, credential = credentialOf(agentId)) =>
    rpc(db, anon, "runtime_plugin_secret", { agent_id: agentId, credential, plugin });
  const store = (name: string, value: string, who = ada) =>
    rpc(db, user(who), "set_user_secret", { name, value });

  test("come from the agent, else from its owner, for a plugin that it names alone", async () => {
    await store("MCP_TOKEN", "of-ada-herself");
    const plugin = `${SERVER}#X-Api-Key=MCP_TOKEN`;
    const id = await launched([plugin, SERVER]);
    assert.deepEqual((await ask(id, plugin)).body, { secret: "of-ada-herself" });
    const set = await rpc(db, user(ada), "update_agent", {
      agent_id: id,
      changes: { environment: { MCP_TOKEN: "of-this-agent" } },
    });
    assert.ok(set.status < 300, JSON.stringify(set.body));
    assert.deepEqual((await ask(id, plugin)).body, { secret: "of-this-agent" });
    assert.deepEqual((await ask(id, SERVER)).body, { secret: null });
    for (const other of [`${SERVER}#OTHER`, `${SERVER}#MCP_TOKEN`, "@elizaos/plugin-web3", "OTHER"]) {
      assert.equal((await ask(id, other)).status, 404, other);
    }
  });

  test("of another user, or with a forged credential, are never given", async () => {
    await store("ONLY_ADAS", "of-ada-herself");
    const plugin = `${SERVER}#ONLY_ADAS`;
    const his = await launched([plugin], bob);
    assert.deepEqual((await ask(his, plugin)).body, { secret: null });
    const hers = await launched([plugin]);
    for (const credential of ["", "0".repeat(64), credentialOf(his)]) {
      const { status, body } = await ask(hers, plugin, credential);
      assert.deepEqual([status, body.code], [403, "INSUFFICIENT_PERMISSIONS"]);
    }
    for (const role of [user(ada), user(bob), service]) {
      const args = { agent_id: hers, credential: credentialOf(hers), plugin };
      assert.equal((await rpc(db, role, "runtime_plugin_secret", args)).status, 403);
    }
  });

  test("travel with the claim of an answer, of an agent that is not deployed", async () => {
    await store("CLAIMED", "of-ada-herself");
    const plugins = ["@elizaos/plugin-web3", `${SERVER}#CLAIMED`, SERVER];
    const { rows } = await db.pool.query(
      "insert into public.agents (user_id, name, plugins) values ($1, 'undeployed', $2) returning id",
      [ada, plugins],
    );
    await db.pool.query("delete from private.reply_jobs");
    await say({ agent: rows[0].id });
    const [job] = (await claim()) as unknown as { mcpServers: unknown }[];
    assert.deepEqual(job?.mcpServers, [
      { plugin: `${SERVER}#CLAIMED`, secret: "of-ada-herself" },
      { plugin: SERVER, secret: null },
    ]);
  });
});

test("what the runtime's own plugins read travels with the claim of an answer that is not deployed, and no more", async () => {
  const plugins = ["@elizaos/plugin-web3", "@elizaos/plugin-supabase@1.0.0", SERVER];
  const add = async (who: string, environment: object) => {
    const { rows } = await db.pool.query(
      "insert into public.agents (user_id, name, plugins, supabase_config) values ($1, 'own', $2, $3) returning id",
      [who, plugins, { project_ref: `of-${who.slice(0, 8)}` }],
    );
    const [{ id }] = rows;
    const { status, body } = await rpc(db, user(who), "update_agent", {
      agent_id: id,
      changes: { environment },
    });
    assert.ok(status < 300, JSON.stringify(body));
    return id;
  };
  const hers = await add(ada, {
    WEB3_RPC_URL: "https://node.example/key-of-ada",
    SUPABASE_ANON_KEY: "anon-of-ada",
    DISCORD_API_TOKEN: "not for these",
    SUPABASE_DB_URL: "postgres://postgres:password@db.example.com/postgres",
    SUPABASE_SERVICE_ROLE_KEY: "above the rules",
  });
  await add(bob, { COINGECKO_API_KEY: "key-of-bob" });
  await db.pool.query("delete from private.reply_jobs");
  await say({ agent: hers });
  const [job] = (await claim()) as unknown as { ownPlugins: unknown }[];
  assert.deepEqual(job?.ownPlugins, {
    names: ["@elizaos/plugin-supabase", "@elizaos/plugin-web3"],
    project: `of-${ada.slice(0, 8)}`,
    environment: {
      WEB3_RPC_URL: "https://node.example/key-of-ada",
      SUPABASE_ANON_KEY: "anon-of-ada",
    },
  });
  for (const caller of [anon, user(ada), user(bob)])
    await assert.rejects(
      db.as(caller, (client) => client.query("select private.own_plugins(a) from public.agents a")),
      { code: "42501" },
    );
});

test("every variable that the runtime's own plugins read travels with such a claim", async () => {
  const plugins = join(import.meta.dirname, "../../packages/agent-runtime/src/plugins");
  const read = ["supabase.ts", "web3.ts"].flatMap((file) => [
    ...readFileSync(join(plugins, file), "utf8").matchAll(/environment\.([A-Z0-9_]+)/g),
  ]);
  const names = [...new Set(read.map(([, name]) => name))].sort();
  assert.ok(names.length > 5);
  const { rows } = await db.pool.query("select prosrc as source from pg_proc where proname = 'own_plugins'");
  const travels = [...rows[0].source.matchAll(/'((?:SUPABASE|COINGECKO|WEB3)_[A-Z_0-9]+)'/g)];
  assert.deepEqual(travels.map(([, name]) => name).sort(), names);
});

test("the state of a server is a condition of the agent under its whole name", async () => {
  const plugin = `${SERVER}#TOKEN`;
  const id = await launched([plugin]);
  await db.pool.query("update private.agent_deployments set ready_replicas = 1 where agent_id = $1", [id]);
  const key = createHmac("sha256", SECRET).update(`messages of ${id}`).digest("hex");
  const credential = createHmac("sha256", key).update("runtime").digest("hex");
  const message = "The server rejected the secret TOKEN (HTTP 401)";
  const plugins = [{ name: plugin, ready: false, reason: "PLUGIN_FAILED", message }];
  const told = await rpc(db, anon, "report_plugins", { agent_id: id, credential, plugins });
  assert.deepEqual(told.body, { kept: 1 });
  const { body } = await rpc(db, user(ada), "get_agent_status", { agent_id: id });
  const condition = body.conditions.find(({ type }: { type: string }) => type.startsWith("PluginReady:"));
  assert.deepEqual(
    [condition.type, condition.status, condition.message],
    [`PluginReady:${plugin}`, "False", message],
  );
});
