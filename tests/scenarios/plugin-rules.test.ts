// Which plugins may be named, as users and operators see it: the SDK, `launchpad plugins`, and the rules, on the whole stack.
import assert from "node:assert/strict";
import { AgentLaunchpadClient } from "@agent-launchpad/sdk";
import { createClient } from "@supabase/supabase-js";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, forgedToken } from "../helpers/agents.ts";
import { openTerminal, type Terminal } from "../helpers/cli.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let owner: TestUser;
let terminal: Terminal;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  owner = await stack.createUser();
  terminal = await openTerminal(stack.info);
  await terminal.login(owner);
});
afterAll(async () => {
  await terminal?.remove();
  await stack?.stop();
});

const ok = async (...args: string[]) => {
  const ran = await terminal.run(args);
  assert.equal(ran.code, 0, ran.stderr);
  return ran;
};
const operate = (...args: string[]) =>
  terminal.run(["plugins", "rules", ...args], { env: { LAUNCHPAD_SECRET_KEY: stack.info.secretKey } });
const insert = (plugin: string) =>
  owner.client
    .from("agents")
    .insert({ name: "Plugged", plugins: [plugin] })
    .select()
    .single();

describe("which plugins may be named", () => {
  test("the SDK lists and searches them", async () => {
    const supabase = owner.client as never;
    const client = new AgentLaunchpadClient({ supabaseClient: supabase, baseUrl: stack.info.apiUrl });
    const { plugins, total } = await client.plugins.list({ limit: 2 });
    assert.equal(plugins.length, 2);
    const all = await client.plugins.list().all();
    assert.equal(all.length, total);
    const [discord, ...others] = await client.plugins.search("discord").all();
    assert.deepEqual([discord?.name, others], ["@elizaos/plugin-discord", []]);
    assert.ok(discord?.settings.some(({ name, required }) => name === "DISCORD_API_TOKEN" && required));
    assert.deepEqual(await client.plugins.search("no such words").all(), []);
  });

  test("a caller without a login, or with a forged token, is refused", async () => {
    const anonymous = createClient(stack.info.apiUrl, stack.info.publishableKey);
    assert.equal((await anonymous.rpc("list_plugins")).status, 401);
    for (const caller of [undefined, forgedToken(owner)]) {
      assert.equal((await api(stack, caller, "GET", "/plugins")).status, 401);
    }
  });

  test("launchpad plugins shows them with their settings", async () => {
    const { stdout } = await ok("plugins", "discord");
    assert.match(stdout, /^PLUGIN +VERSION +FOR +SETTINGS/);
    assert.match(stdout, /^@elizaos\/plugin-discord +\d[\w.-]+ +elizaos +DISCORD_API_TOKEN\*/m);
    const { json } = await ok("plugins", "--all", "--json");
    assert.ok(json.plugins.length > 1);
    for (const word of ["list", "ls"]) {
      assert.deepEqual((await ok("plugins", word, "--all", "--json")).json, json);
    }
    const none = await ok("plugins", "no such words");
    assert.match(none.stderr, /No known plugin matches "no such words"/);
  });
});

describe("launchpad plugins rules", () => {
  test("allows and denies a package, and says what is refused", async () => {
    assert.match((await insert("ours")).error?.message ?? "", /launchpad plugins rules allow ours/);
    const allowed = await operate("allow", "ours", "--reason", "reviewed", "--json");
    assert.deepEqual([allowed.json?.action, allowed.json?.reason], ["allow", "reviewed"], allowed.stderr);
    const { data } = await insert("ours");
    assert.deepEqual(data?.plugins, ["ours"]);

    const denied = await operate("deny", "ours", "--reason", "use theirs");
    assert.match(denied.stdout, /^ours +deny +all +use theirs$/m);
    assert.match(denied.stderr, /1 agent names a plugin that the rules refuse: what runs goes on/);
    const { stdout } = await ok("status", data.id);
    assert.match(stdout, /PluginsAllowed +Operators do not allow ours: use theirs/);
    const listed = await operate("list");
    assert.match(listed.stdout, /^@elizaos\/\* +allow +all/m);
    assert.match(listed.stdout, /^ours +deny/m);

    assert.match((await operate("remove", "ours")).stdout, /^Removed 1 rule for ours\./);
    const again = await operate("remove", "ours");
    assert.match(again.stderr, /No such rule for ours; `launchpad plugins rules list` lists them/);
  });

  test("names what is wrong, and needs the secret key", async () => {
    assert.match((await operate("allow", "../x")).stderr, /Must be the name of a package, @scope\/\*,/);
    assert.match((await operate("allow", "x", "--versions", "^1")).stderr, />=1\.2\.0 <2\.0\.0/);
    assert.match((await operate("deny", "mcp:")).stderr, /For every MCP server write mcp:\*,/);
    assert.match((await operate("deny", "https://x.example")).stderr, /write mcp:https:\/\/x\.example\/\*/);
    const named = await operate("deny", "mcp");
    assert.match(named.stderr, /the package mcp\. For MCP servers: `launchpad plugins rules deny 'mcp:\*'`/);
    const outdone = await operate("deny", "x");
    assert.equal(outdone.code, 0);
    assert.match(
      (await operate("allow", "x", "--versions", ">=1.0.0")).stderr,
      /Another rule decides: Operators do not allow x/,
    );
    assert.match((await terminal.run(["plugins", "rules", "allow", "x"])).stderr, /Set LAUNCHPAD_SECRET_KEY/);
    const wrong = await terminal.run(["plugins", "rules", "list"], {
      env: { LAUNCHPAD_SECRET_KEY: stack.info.publishableKey },
    });
    assert.match(wrong.stderr, /rejected LAUNCHPAD_SECRET_KEY/);
  });
});
