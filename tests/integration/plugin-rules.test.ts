// Operators' rules for plugins: how they are kept, and what a changed rule does to agents that have the plugin.
import assert from "node:assert/strict";
import { afterAll, afterEach, beforeAll, describe, test } from "vitest";
import type { Caller, TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let ada: string;
let bob: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  [ada, bob] = [await createUser(db), await createUser(db)];
});
afterAll(() => db?.destroy());
afterEach(async () => {
  await db.pool.query("delete from private.plugin_rules where pattern not like '@elizaos%/*'");
});

const put = (rule: object, who: Caller = service) => rpc(db, who, "put_plugin_rule", { rule });
const remove = (args: object, who: Caller = service) => rpc(db, who, "remove_plugin_rule", { ...args });
const list = async () => (await rpc(db, service, "list_plugin_rules")).body;
const launch = (plugins: string[]) =>
  rpc(db, user(ada), "launch_agent", { definition: { agentName: "a", plugins } });
const verb = (name: string, agentId: string, args: object = {}) =>
  rpc(db, user(ada), name, { agent_id: agentId, ...args });

/** The condition by which an agent's status says that a rule refuses a plugin; undefined when absent. */
const allowed = async (agentId: string) =>
  (await verb("get_agent_status", agentId)).body.conditions.find(
    ({ type }: { type: string }) => type === "PluginsAllowed",
  );

/** An agent that runs, its plugin resolved to a version. */
async function running(plugin: string, version: string): Promise<string> {
  const { body } = await launch([plugin]);
  const { body: claims } = await rpc(db, service, "claim_deployments", {
    worker: "test-worker",
    max_count: 500,
  });
  const claim = claims.find((one: { agentId: string }) => one.agentId === body.agentId);
  const kept = await rpc(db, service, "record_plugins", {
    agent_id: body.agentId,
    generation: claim.generation,
    lease_token: claim.leaseToken,
    resolved: {
      tree: "a".repeat(64),
      engine: "elizaos@1.7.2",
      plugins: [{ name: plugin, version, integrity: "sha512-x" }],
      known: [],
      lock: {},
      packages: [],
    },
  });
  assert.equal(kept.body.accepted, true, JSON.stringify(kept.body));
  await settle(db, body.agentId);
  return body.agentId;
}

describe("rules", () => {
  test("allow, deny and remove a package; names are judged by them at once", async () => {
    assert.equal((await launch(["ours"])).body.code, "PLUGIN_NOT_ALLOWED");
    const { body: made } = await put({ pattern: "ours" });
    assert.deepEqual(
      { ...made, created_at: undefined },
      {
        pattern: "ours",
        action: "allow",
        versions: "",
        require_advisory_free: false,
        reason: null,
        created_at: undefined,
        agents_refused: 0,
      },
    );
    assert.equal((await launch(["ours"])).status, 201);
    const { body: denied } = await put({ pattern: "ours", action: "deny", reason: "use theirs" });
    assert.equal(denied.agents_refused, 1);
    assert.match((await launch(["ours"])).body.message, /^Operators do not allow ours: use theirs/);
    assert.deepEqual(
      (await list()).rules.map((rule: { pattern: string; action: string }) => [rule.pattern, rule.action]),
      [
        ["@elizaos-plugins/*", "allow"],
        ["@elizaos/*", "allow"],
        ["mcp:*", "allow"],
        ["ours", "deny"],
      ],
      "the denial took the place of the allowance",
    );
    const { body: gone } = await remove({ pattern: "ours" });
    assert.deepEqual(
      [gone.removed.length, gone.removed[0].reason, gone.agents_refused],
      [1, "use theirs", 1],
    );
    assert.equal((await remove({ pattern: "ours" })).body.code, "NOT_FOUND");
  });

  test("a change keeps what it does not name", async () => {
    await put({ pattern: "@acme/*", reason: "reviewed", require_advisory_free: true });
    const { body } = await put({ pattern: "@acme/*", reason: "reviewed again" });
    assert.deepEqual([body.reason, body.require_advisory_free], ["reviewed again", true]);
  });

  test("versions are part of a rule, and removed alone", async () => {
    await put({ pattern: "ranged", versions: "  >=1.2.0   <2.0.0 " });
    await put({ pattern: "ranged", action: "deny", versions: "=1.3.0" });
    for (const [plugin, status] of [
      ["ranged@1.2.0", 201],
      ["ranged@1.3.0", 422],
      ["ranged@2.0.0", 422],
    ] as const) {
      assert.equal((await launch([plugin])).status, status, plugin);
    }
    const { body } = await remove({ pattern: "ranged", versions: "=1.3.0" });
    assert.deepEqual([body.removed.length, body.removed[0].action], [1, "deny"]);
    assert.equal((await launch(["ranged@1.3.0"])).status, 201);
  });

  test("an allowance that another rule outdoes says so", async () => {
    await put({ pattern: "twice", action: "deny", reason: "never" });
    const { body } = await put({ pattern: "twice", versions: ">=1.0.0" });
    assert.equal(body.still_refused, "Operators do not allow twice: never");
  });

  test("each wrong field is named with what it must be", async () => {
    for (const [rule, field, problem] of [
      [{ pattern: "../x" }, "rule.pattern", /name of a package, @scope/],
      [{ pattern: "*/x" }, "rule.pattern", /name of a package/],
      [{ pattern: "mcp:" }, "rule.pattern", /^For every MCP server write mcp:\*,/],
      [{ pattern: "https://X.example:443/mcp" }, "rule.pattern", /write mcp:https:\/\/x\.example\/\*$/],
      [{ pattern: "mcp:http://[0:0::1]/*" }, "rule.pattern", /IPv6 address in its shortest form/],
      [{ pattern: "mcp:http://127.1/*" }, "rule.pattern", /IPv4 address in its plain form/],
      [{ pattern: "@Scope" }, "rule.pattern", /write @scope\/\*$/],
      [{ pattern: "x@1.0.0" }, "rule.pattern", /^Must have no version: name it in versions$/],
      [{ pattern: "x", action: "maybe" }, "rule.action", /allow or deny/],
      [{ pattern: "x", versions: "^1" }, "rule.versions", />=1\.2\.0 <2\.0\.0/],
      [{ pattern: "x", reason: "y".repeat(301) }, "rule.reason", /300 characters/],
      [{ pattern: 1 }, "rule.pattern", /text/],
      [{}, "rule.pattern", /./],
      [{ pattern: "x", colour: "red" }, "rule.colour", /./],
    ] as const) {
      const { status, body } = await put(rule as object);
      assert.equal(status, 400, JSON.stringify(body));
      assert.match(JSON.parse(body.details)[field] ?? "", problem, JSON.stringify([rule, body]));
    }
  });

  test("only operators may read and change them", async () => {
    for (const caller of [anon, user(ada), user(bob)]) {
      assert.equal((await put({ pattern: "x" }, caller)).status, 403);
      assert.equal((await remove({ pattern: "x" }, caller)).status, 403);
      assert.equal((await rpc(db, caller, "list_plugin_rules")).status, 403);
    }
  });
});

describe("a rule that changes while agents run", () => {
  test("leaves what runs alone, says so in status, and refuses the next launch", async () => {
    await put({ pattern: "changing" });
    const agentId = await running("changing", "1.3.0");
    assert.equal(await allowed(agentId), undefined);

    await put({ pattern: "changing", action: "deny", versions: "<1.4.0", reason: "it leaks" });
    const { body: status } = await verb("get_agent_status", agentId);
    assert.equal(status.status, "DEPLOYED");
    const condition = await allowed(agentId);
    assert.deepEqual([condition.status, condition.reason], ["False", "PLUGIN_NOT_ALLOWED"]);
    assert.match(
      condition.message,
      /changing@1\.3\.0: it leaks.*next launch is refused until plugins change/,
    );
    assert.equal(status.health.overall, (await verb("get_agent_status", agentId)).body.health.overall);

    for (const [name, args] of [
      ["scale_agent", { scale: { replicas: 2 } }],
      ["restart_agent", {}],
      ["update_agent", { changes: { system_prompt: "Be short." } }],
    ] as const) {
      const { status, body } = await verb(name, agentId, args);
      assert.ok(status < 300, `${name}: ${JSON.stringify(body)}`);
      await settle(db, agentId, ["DEPLOYED"]);
    }
    await verb("stop_agent", agentId);
    await settle(db, agentId, ["STOPPED"]);
    const refused = await verb("start_agent", agentId);
    assert.deepEqual([refused.status, refused.body.code], [422, "PLUGIN_NOT_ALLOWED"]);
    assert.deepEqual(Object.keys(JSON.parse(refused.body.details)), ["plugins.0"]);
    assert.equal((await verb("deploy_agent", agentId)).body.code, "PLUGIN_NOT_ALLOWED");
    assert.equal((await verb("get_agent_status", agentId)).body.status, "STOPPED");

    await remove({ pattern: "changing", action: "deny" });
    assert.ok((await verb("start_agent", agentId)).status < 300);
    assert.equal(await allowed(agentId), undefined);
  });

  test("refuses a rollback to a version that it denies, and changes nothing", async () => {
    await put({ pattern: "rolled" });
    const agentId = await running("rolled", "1.0.0");
    await verb("update_agent", agentId, { changes: { plugins: [] } });
    await settle(db, agentId, ["DEPLOYED"]);
    await put({ pattern: "rolled", action: "deny", versions: "=1.0.0" });
    assert.equal(await allowed(agentId), undefined, "it has the plugin no more");
    const refused = await verb("rollback_agent", agentId, { revision: 1 });
    assert.deepEqual([refused.status, refused.body.code], [422, "PLUGIN_NOT_ALLOWED"]);
    const { rows } = await db.pool.query("select plugins from public.agents where id = $1", [agentId]);
    assert.deepEqual(rows, [{ plugins: [] }]);
  });

  test("refuses the first deployment of a definition that named it before", async () => {
    await put({ pattern: "drafted" });
    const { rows } = await db.as(user(ada), (client) =>
      client.query(
        "insert into public.agents (user_id, name, plugins) values ($1, 'd', '{drafted}') returning id",
        [ada],
      ),
    );
    await put({ pattern: "drafted", action: "deny" });
    assert.equal((await verb("deploy_agent", rows[0].id)).body.code, "PLUGIN_NOT_ALLOWED");
  });

  test("tells another user and a caller without a login nothing", async () => {
    await put({ pattern: "mine" });
    const agentId = await running("mine", "1.0.0");
    await put({ pattern: "mine", action: "deny" });
    const other = await rpc(db, user(bob), "get_agent_status", { agent_id: agentId });
    assert.equal(other.body.code, "AGENT_NOT_FOUND");
    assert.ok((await rpc(db, anon, "get_agent_status", { agent_id: agentId })).status >= 401);
  });
});

test("versions sort as versions, pre-releases before their release", async () => {
  const versions = [
    "0.9.9",
    "0.10.0",
    "1.0.0-alpha",
    "1.0.0-alpha.2",
    "1.0.0-alpha.10",
    "1.0.0-alpha.x",
    "1.0.0-beta",
    "1.0.0",
    "1.0.1",
    "10.0.0",
  ];
  const { rows } = await db.pool.query(
    "select v from unnest($1::text[]) with ordinality x (v, n) order by private.version_order(v)",
    [versions.toReversed()],
  );
  assert.deepEqual(
    rows.map(({ v }) => v),
    versions,
  );
  const { rows: odd } = await db.pool.query("select private.version_order('built-in') as v");
  assert.equal(odd[0].v, null);
});

test("a quota of memory is refused in words", async () => {
  const carol = await createUser(db);
  await db.pool.query("update public.quotas set max_memory = 1610612736 where user_id = $1", [carol]);
  const { body } = await rpc(db, user(carol), "launch_agent", {
    definition: { agentName: "big", resources: { memory: "2Gi" } },
  });
  assert.equal(body.message, "Quota of 1.5 GiB of memory exceeded");
  const { rows } = await db.pool.query(
    "select array(select private.size_text(n) from unnest('{0,1,1023,1024,1048577,1610612736,1125899906842624}'::numeric[]) n) as words",
  );
  assert.deepEqual(rows[0].words, [
    "0 bytes",
    "1 byte",
    "1023 bytes",
    "1 KiB",
    "1 MiB",
    "1.5 GiB",
    "1024 TiB",
  ]);
});
