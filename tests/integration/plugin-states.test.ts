// What runtimes report of their agents' plugins, and what owners see of it.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

const SECRET = "a secret of respond for these tests";
const DISCORD = "@elizaos/plugin-discord";
const TELEGRAM = "@elizaos/plugin-telegram";

let db: TestDatabase;
let alice: string;
let bot: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  await db.pool.query("select private.connect_functions('http://127.0.0.1:1/functions/v1', $1)", [SECRET]);
});
beforeEach(async () => {
  alice = await createUser(db);
  bot = await launch();
});
afterAll(() => db?.destroy());

const sql = async (text: string, values: unknown[] = []) => (await db.pool.query(text, values)).rows;
async function launch(): Promise<string> {
  const { body } = await rpc(db, user(alice), "launch_agent", {
    definition: { agentName: "Bot", character: { bio: "A bot." }, plugins: [`${DISCORD}@1.3.8`, TELEGRAM] },
  });
  await sql("update private.agent_deployments set ready_replicas = 1 where agent_id = $1", [body.agentId]);
  return body.agentId;
}
const credentialOf = (agentId: string) => {
  const key = createHmac("sha256", SECRET).update(`messages of ${agentId}`).digest("hex");
  return createHmac("sha256", key).update("runtime").digest("hex");
};
const report = (plugins: unknown, { id = bot, credential = credentialOf(bot) } = {}) =>
  rpc(db, anon, "report_plugins", { agent_id: id, credential, plugins });
const refused = {
  name: DISCORD,
  ready: false,
  reason: "PLUGIN_FAILED",
  message: "An invalid token was provided.",
};
const started = { name: DISCORD, ready: true, reason: "STARTED", message: "Started" };
const conditions = async () => {
  const { body } = await rpc(db, user(alice), "get_agent_status", { agent_id: bot });
  const all = body.conditions as {
    type: string;
    status: string;
    message: string;
    lastTransitionTime: string;
  }[];
  return all.filter(({ type }) => type.startsWith("PluginReady:"));
};
const events = async () =>
  (
    await sql(
      "select event_type, message from public.agent_events where agent_id = $1 and event_type like 'PLUGIN_%' order by seq",
      [bot],
    )
  ).map(({ event_type, message }) => `${event_type} ${message}`);

describe("a plugin that fails", () => {
  test("is a condition in its own words and one event; ready again is another", async () => {
    assert.deepEqual((await report([refused])).body, { kept: 1 });
    await report([{ ...refused, message: "An invalid token was provided. (again)" }]);
    const [failed] = await conditions();
    assert.deepEqual(
      [failed?.type, failed?.status, failed?.message],
      [`PluginReady:${DISCORD}`, "False", "An invalid token was provided. (again)"],
    );
    await report([started]);
    const [ready] = await conditions();
    assert.equal(ready?.status, "True");
    assert.ok(String(ready?.lastTransitionTime) >= String(failed?.lastTransitionTime));
    for (let turn = 0; turn < 5; turn++) {
      await report([refused]);
      await report([started]);
    }
    assert.deepEqual(await events(), [
      `PLUGIN_FAILED ${DISCORD}: An invalid token was provided.`,
      `PLUGIN_READY ${DISCORD} is ready again`,
    ]);
  });

  test("is no condition once the agent names it no more, is stopped, or no replica serves", async () => {
    await report([refused, { ...started, name: TELEGRAM }, { ...started, name: "left-over" }]);
    assert.deepEqual(
      (await conditions()).map(({ type }) => type),
      [`PluginReady:${DISCORD}`, `PluginReady:${TELEGRAM}`],
    );
    await report([{ ...started, name: TELEGRAM }]);
    assert.equal((await conditions()).length, 2, "another replica runs the one that is not in the report");
    await sql("update public.agents set plugins = array[$2] where id = $1", [bot, TELEGRAM]);
    assert.equal((await conditions()).length, 1);
    await sql("update private.agent_deployments set ready_replicas = 0 where agent_id = $1", [bot]);
    assert.deepEqual(await conditions(), []);
  });
});

describe("platforms of the status", () => {
  const platform = { name: "discord", status: "CONNECTED", account: "ada#0420", message: null };
  const connected = { ...started, platform };
  const lost = {
    ...refused,
    platform: { ...platform, status: "DISCONNECTED", message: "Authentication failed (4004)" },
  };
  const platforms = async (caller = alice) => {
    const { body } = await rpc(db, user(caller), "get_agent_status", { agent_id: bot });
    return body.platforms as Record<string, unknown>[];
  };

  test("a plugin's connection, in the platform's words, and since when", async () => {
    assert.deepEqual(await platforms(), []);
    await report([connected]);
    const [first] = await platforms();
    assert.match(String(first?.since), /^\d{4}-.*Z$/);
    assert.deepEqual([first], [{ ...platform, plugin: DISCORD, since: first?.since }]);
    await report([connected]);
    assert.equal((await platforms())[0]?.since, first?.since);
    await report([lost]);
    const [second] = await platforms();
    assert.deepEqual([second?.status, second?.message], ["DISCONNECTED", "Authentication failed (4004)"]);
    assert.ok(String(second?.since) > String(first?.since));
    const shown = await sql("select connection_at from private.plugin_states where agent_id = $1", [bot]);
    assert.equal(shown.length, 1);
  });

  test("no replica serves → disconnected; the plugin is named no more → gone", async () => {
    await report([connected]);
    await sql("update private.agent_deployments set ready_replicas = 0 where agent_id = $1", [bot]);
    const [stopped] = await platforms();
    assert.deepEqual(
      [stopped?.status, stopped?.message, stopped?.account],
      ["DISCONNECTED", "No replica is ready", "ada#0420"],
    );
    await sql("update private.agent_deployments set ready_replicas = 1 where agent_id = $1", [bot]);
    assert.equal((await platforms())[0]?.status, "CONNECTED");
    await sql("update public.agents set plugins = '{}' where id = $1", [bot]);
    assert.deepEqual(await platforms(), []);
  });

  test("a platform of the definition is told of before its plugin reports, and where none serves it", async () => {
    await sql("update public.agents set platforms = '{discord,slack,web}' where id = $1", [bot]);
    const told = async () => (await platforms()).map(({ name, plugin, status }) => [name, plugin, status]);
    assert.deepEqual(await told(), [
      ["discord", DISCORD, "UNKNOWN"],
      ["slack", null, "DISCONNECTED"],
    ]);
    await sql(
      "update public.agents set plugins = array_append(plugins, 'mcp:https://mcp.slack.example/mcp') where id = $1",
      [bot],
    );
    assert.deepEqual((await told())[1], ["slack", null, "DISCONNECTED"], "an MCP server is no platform");
    assert.match(String((await platforms())[1]?.message), /No plugin of this agent serves slack; add one/);
    await report([connected]);
    assert.deepEqual((await told())[0], ["discord", DISCORD, "CONNECTED"]);
  });

  test("another user, an anonymous caller and a service key see none of it", async () => {
    await report([connected]);
    const bob = await createUser(db);
    for (const caller of [user(bob), anon, service]) {
      const { body } = await rpc(db, caller, "get_agent_status", { agent_id: bot });
      assert.ok(!JSON.stringify(body).includes("ada#0420"));
    }
    for (const caller of [user(alice), user(bob), anon]) {
      const args = { agent_id: bot, credential: credentialOf(await launch()), plugins: [lost] };
      assert.ok((await rpc(db, caller, "report_plugins", args)).status >= 400);
    }
    assert.equal((await platforms())[0]?.status, "CONNECTED");
  });

  test("a report of another shape is refused; long words are cut", async () => {
    const shapes: unknown[] = [
      "discord",
      [],
      {},
      { ...platform, name: "" },
      { ...platform, name: "Dis cord" },
      { ...platform, name: "x".repeat(41) },
      { ...platform, status: "connected" },
      { ...platform, account: 7 },
      { ...platform, message: {} },
    ];
    for (const wrong of shapes) {
      const { body } = await report([{ ...started, platform: wrong }]);
      assert.equal(body.code, "VALIDATION_ERROR", JSON.stringify(wrong));
    }
    await report([{ ...started, platform: null }]);
    assert.deepEqual(await platforms(), []);
    const long = { ...platform, account: "ä".repeat(500), message: "ö".repeat(5000) };
    await report([{ ...started, platform: long }]);
    const [cut] = await platforms();
    assert.deepEqual([String(cut?.account).length, String(cut?.message).length], [200, 600]);
  });
});

describe("a report", () => {
  test("needs the agent's own credential; users and a forged one are refused", async () => {
    const other = await launch();
    for (const credential of ["", "0".repeat(64), credentialOf(other)]) {
      assert.equal(
        (await report([refused], { credential })).body.code,
        "INSUFFICIENT_PERMISSIONS",
        credential,
      );
    }
    for (const caller of [user(alice), service]) {
      const args = { agent_id: bot, credential: credentialOf(bot), plugins: [refused] };
      assert.equal((await rpc(db, caller, "report_plugins", args)).body.code, "42501");
    }
    assert.deepEqual(await conditions(), []);
    await report([refused]);
    const bob = await createUser(db);
    const { body } = await rpc(db, user(bob), "get_agent_status", { agent_id: bot });
    assert.ok(!JSON.stringify(body).includes("invalid token"));
  });

  test("of another shape is refused, and a long message is cut", async () => {
    const table = [
      null,
      {},
      ["x"],
      [{ name: "a" }],
      [{ ...refused, ready: "yes" }],
      [{ ...refused, name: "" }],
    ];
    const shapes = [...table, [{ ...refused, reason: "not a reason" }], Array(101).fill(refused)];
    for (const plugins of shapes) {
      assert.equal(
        (await report(plugins)).body.code,
        "VALIDATION_ERROR",
        JSON.stringify(plugins).slice(0, 80),
      );
    }
    await report([{ ...refused, message: "x".repeat(5000) }]);
    assert.equal((await conditions())[0]?.message.length, 600);
  });
});

describe("an agent's platforms", () => {
  const hold = async (replica: string, release = false, credential = credentialOf(bot)) =>
    (await rpc(db, anon, "hold_platforms", { agent_id: bot, credential, replica, release })).body;

  test("are held by one replica, until it gives them back or is gone for 30 seconds", async () => {
    assert.deepEqual(await hold("one"), { held: true });
    assert.deepEqual([await hold("two"), await hold("one")], [{ held: false }, { held: true }]);
    await hold("two", true);
    assert.deepEqual(await hold("two"), { held: false }, "only who holds them gives them back");
    await hold("one", true);
    assert.deepEqual([await hold("two"), await hold("one")], [{ held: true }, { held: false }]);
    await sql("update private.platform_leases set expires_at = now() where agent_id = $1", [bot]);
    assert.deepEqual(await hold("one"), { held: true });
    const all = await Promise.all(Array.from({ length: 20 }, (_, index) => hold(`replica-${index}`)));
    assert.ok(all.every(({ held }) => held === false));
  });

  test("are nobody's with another agent's credential, nor a user's", async () => {
    assert.equal((await hold("one", false, credentialOf(await launch()))).code, "INSUFFICIENT_PERMISSIONS");
    const args = { agent_id: bot, credential: credentialOf(bot), replica: "one" };
    assert.equal((await rpc(db, user(alice), "hold_platforms", args)).body.code, "42501");
    assert.equal((await hold("")).code, "VALIDATION_ERROR");
  });
});

describe("a plugin that works without a request", () => {
  const reason = async () =>
    (await rpc(db, user(alice), "get_agent_status", { agent_id: bot })).body.sleep.reason;
  const works = { ...started, worksAlone: true };

  test("is why its agent with an idle time stays awake, while the plugin is named and says so", async () => {
    await report([works]);
    assert.equal(await reason(), null, "it is not to sleep when idle");
    await rpc(db, user(alice), "update_agent", { agent_id: bot, changes: { idle: { afterSeconds: 60 } } });
    assert.equal(await reason(), "PLUGIN_WORKS");
    await report([started]);
    assert.equal(await reason(), null);
    await report([works]);
    await rpc(db, user(alice), "update_agent", { agent_id: bot, changes: { plugins: [TELEGRAM] } });
    assert.equal(await reason(), null);
  });

  test("is refused where it is no boolean, and of another agent without its credential", async () => {
    const wrong = await report([{ ...works, worksAlone: "yes" }]);
    assert.equal(wrong.body.code, "VALIDATION_ERROR");
    const forged = await report([works], { credential: "0".repeat(64) });
    assert.ok(forged.status >= 400);
    const other = await launch();
    assert.ok((await report([works], { id: other })).status >= 400);
  });
});
