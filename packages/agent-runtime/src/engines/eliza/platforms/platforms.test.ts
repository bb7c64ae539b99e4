// Discord and Telegram end to end: the real plugins from the registry, unchanged, against stand-ins of the platforms' APIs.
import assert from "node:assert/strict";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import {
  DISCORD_TOKEN,
  type DiscordDouble,
  IDS,
  startDiscord,
} from "../../../../../../tests/helpers/platforms/discord.ts";
import {
  startTelegram,
  TELEGRAM_TOKEN,
  type TelegramDouble,
} from "../../../../../../tests/helpers/platforms/telegram.ts";
import { eventually } from "../../../../../../tests/helpers/processes.ts";
import { type ProviderStub, startProviderStub } from "../../../../../../tests/helpers/providers.ts";
import type { PluginState } from "../../../plugin-states.ts";
import { type RunningAgent, startAgent } from "../../../testing/agent.ts";
import { skipEliza as skip } from "../../../testing/eliza.ts";

const DISCORD = "@elizaos/plugin-discord";
const TELEGRAM = "@elizaos/plugin-telegram";

let provider: ProviderStub;
let telegram: TelegramDouble;
let discord: DiscordDouble;
beforeAll(async () => {
  if (skip) return;
  const answer =
    "<response><thought>a greeting</thought><actions>REPLY</actions><providers></providers><text>Hello, I am Ada</text></response>";
  [provider, telegram, discord] = await Promise.all([
    startProviderStub(() => answer),
    startTelegram(),
    startDiscord(),
  ]);
});
afterAll(async () => {
  await provider?.close();
  await telegram?.[Symbol.asyncDispose]();
  await discord?.[Symbol.asyncDispose]();
});

/** An agent with both plugins, pointed at the stand-ins. */
const launch = (environment: Record<string, string> = {}) =>
  startAgent({
    config: { plugins: [TELEGRAM, DISCORD], character: { name: "Ada" } },
    environment: {
      ...provider.environment,
      TELEGRAM_BOT_TOKEN: TELEGRAM_TOKEN,
      TELEGRAM_API_ROOT: telegram.url,
      DISCORD_TOKEN,
      DISCORD_APPLICATION_ID: IDS.bot,
      AGENT_PLUGIN_RETRY_MS: "200",
      TEST_DISCORD_PORT: String(discord.port),
      NODE_OPTIONS: `--import=${join(import.meta.dirname, "../../../testing/redirect-discord.mjs")}`,
      ...environment,
    },
  });

const soon = <T>(look: () => T | Promise<T>, what: string) => eventually(what, look);

const stateOf = async (agent: RunningAgent, name: string): Promise<PluginState | undefined> =>
  ((await agent.get("/health")).body.pluginStates as PluginState[]).find((state) => state.name === name);

/** Waits until a plugin's platform is so, and returns the plugin's state. */
const reached = (agent: RunningAgent, name: string, status: string, words = /(?:)/) =>
  soon(async () => {
    const state = await stateOf(agent, name);
    const { platform } = state ?? {};
    return platform?.status === status && words.test(platform.message ?? "") ? state : undefined;
  }, `${name} is ${status} ${words}`);

const reports = (agent: RunningAgent): PluginState[][] =>
  agent.project.calls.filter(({ rpc }) => rpc === "report_plugins").map(({ args }) => args.plugins);

describe("an agent on Discord and Telegram", { skip: Boolean(skip) }, () => {
  let agent: RunningAgent;
  beforeAll(async () => {
    agent = await launch();
  });
  afterAll(() => agent?.[Symbol.asyncDispose]());

  test("says which account is connected where, to its project as well", async () => {
    const found = [await reached(agent, DISCORD, "CONNECTED"), await reached(agent, TELEGRAM, "CONNECTED")];
    assert.deepEqual(
      found.map((state) => [state.reason, state.platform]),
      [
        ["STARTED", { name: "discord", status: "CONNECTED", account: "ada#0420", message: null }],
        ["STARTED", { name: "telegram", status: "CONNECTED", account: "@ada_bot", message: null }],
      ],
    );
    await soon(
      async () =>
        reports(agent)
          .at(-1)
          ?.filter(({ platform }) => platform?.status === "CONNECTED").length === 2 || undefined,
      "the project knows",
    );
  });

  test("answers where it was written to", async () => {
    discord.write(`<@${IDS.bot}> hello`);
    telegram.write("hello");
    const [onDiscord, onTelegram] = await Promise.all([
      soon(async () => discord.sent[0], "an answer on Discord"),
      soon(async () => telegram.sent[0], "an answer on Telegram"),
    ]);
    assert.deepEqual([onDiscord.channelId, onDiscord.content], [IDS.channel, "Hello, I am Ada"]);
    assert.deepEqual([onTelegram.chatId, onTelegram.text], [4242, "Hello, I am Ada"]);
  });

  test("an answer that meets a rate limit is sent once the platform allows it, and once", async () => {
    const [before, beforeTelegram] = [discord.sent.length, telegram.sent.length];
    discord.limitNext(1);
    telegram.refuseNext("sendMessage", {
      status: 429,
      description: "Too Many Requests: retry after 1",
      retryAfter: 1,
    });
    const asked = Date.now();
    discord.write(`<@${IDS.bot}> again`);
    telegram.write("again");
    const [onDiscord, onTelegram] = await Promise.all([
      soon(async () => discord.sent[before], "an answer on Discord"),
      soon(async () => telegram.sent[beforeTelegram], "an answer on Telegram"),
    ]);
    for (const { at } of [onDiscord, onTelegram]) assert.ok(at - asked >= 1_000, `${at - asked} ms`);
    telegram.write("and again");
    await soon(async () => telegram.sent[beforeTelegram + 1], "the next answer");
    assert.deepEqual([discord.sent.length, telegram.sent.length], [before + 1, beforeTelegram + 2]);
  });

  test("Discord closes the connection → resumed; the session is gone → identified again; it answers", async () => {
    const since = discord.heard.length;
    const heard = () => discord.heard.slice(since).filter((name) => name !== "heartbeat");
    discord.askToReconnect();
    await soon(async () => heard().includes("resume") || undefined, "a resume");
    await reached(agent, DISCORD, "CONNECTED");
    discord.close(4000);
    await soon(async () => heard().length === 2 || undefined, "a second resume");
    await reached(agent, DISCORD, "CONNECTED");
    discord.forgetSessions();
    discord.close(4000);
    await reached(agent, DISCORD, "CONNECTING", /gateway closed the connection \(4000\)/);
    await soon(async () => heard().includes("identify") || undefined, "an identify");
    assert.equal((await reached(agent, DISCORD, "CONNECTED")).platform?.message, null);
    const before = discord.sent.length;
    discord.write(`<@${IDS.bot}> still there?`);
    await soon(async () => discord.sent[before], "an answer");
  });

  test("Telegram cannot be reached, or is slow → said, and polled again; messages of that time are answered", async () => {
    const before = telegram.sent.length;
    await telegram.down();
    const { ready } = await reached(agent, TELEGRAM, "CONNECTING", /getUpdates failed/);
    assert.equal(ready, true, "the plugin itself has not failed");
    telegram.write("are you there?");
    await telegram.up();
    await soon(async () => telegram.sent[before], "an answer");
    await reached(agent, TELEGRAM, "CONNECTED");
    telegram.refuseNext("getUpdates", {
      status: 429,
      description: "Too Many Requests: retry after 1",
      retryAfter: 1,
    });
    telegram.write("and now?");
    await soon(async () => telegram.sent[before + 1], "the next answer");
  });

  test("a call that Discord refuses leaves the connection as it is", async () => {
    const since = discord.heard.length;
    discord.refuseTyping();
    discord.write(`<@${IDS.bot}> hello`);
    await soon(
      async () => agent.lines.find(({ message }) => /Missing Permissions/.test(message)),
      "the refusal in the log",
    );
    const before = discord.sent.length;
    discord.write(`<@${IDS.bot}> hello`);
    await soon(async () => discord.sent[before], "an answer");
    assert.deepEqual(
      discord.heard.slice(since).filter((name) => name !== "heartbeat"),
      [],
    );
  });

  test("another program polls with the token → said with what to do, and connected again", async () => {
    const before = reports(agent).length;
    // It polls again once it has dealt with the last messages, behind their answers too.
    await soon(async () => telegram.isPolled() || undefined, "a poll");
    telegram.pollElsewhere();
    const refused = await soon(
      async () =>
        reports(agent)
          .slice(before)
          .flat()
          .find(({ name, ready }) => name === TELEGRAM && !ready),
      "a report",
    );
    assert.match(refused.message, /409: Conflict.* only one bot instance.*Stop the other program/);
    await reached(agent, TELEGRAM, "CONNECTED");
  });

  test("tokens revoked while it runs → both say so and what to do; set right → connected again, without a restart", async () => {
    const before = reports(agent).length;
    telegram.accept(false);
    discord.accept(false);
    discord.close(4004);
    const [onDiscord, onTelegram] = await Promise.all([
      reached(agent, DISCORD, "DISCONNECTED", /invalid token was provided\. Set DISCORD_TOKEN/),
      reached(agent, TELEGRAM, "DISCONNECTED", /401: Unauthorized\. Set TELEGRAM_BOT_TOKEN/),
    ]);
    for (const { ready, reason, message, platform } of [onDiscord, onTelegram]) {
      assert.deepEqual([ready, reason, message], [false, "PLUGIN_FAILED", platform?.message]);
    }
    const { body } = await agent.get("/health");
    assert.equal(body.status, "degraded");
    const first = reports(agent)
      .slice(before)
      .flat()
      .find(({ name, ready }) => name === DISCORD && !ready);
    assert.match(first?.message ?? "", /^Authentication failed \(4004\)/, "Discord's own words come first");
    telegram.accept(true);
    discord.accept(true);
    await Promise.all([reached(agent, DISCORD, "CONNECTED"), reached(agent, TELEGRAM, "CONNECTED")]);
    assert.equal((await stateOf(agent, TELEGRAM))?.ready, true);
    assert.ok(reports(agent).length - before < 12, `${reports(agent).length - before} reports`);
    const secrets = JSON.stringify([reports(agent), agent.lines]);
    for (const token of [DISCORD_TOKEN, TELEGRAM_TOKEN]) assert.ok(!secrets.includes(token));
  });

  test("asked to stop → it leaves both, and reports no failure", async () => {
    const before = reports(agent).length;
    agent.process.kill("SIGTERM");
    assert.equal(await agent.exited, 0);
    assert.deepEqual(
      reports(agent)
        .slice(before)
        .flat()
        .filter(({ ready }) => !ready),
      [],
    );
    assert.deepEqual([discord.isConnected(), telegram.isPolled()], [false, false]);
  });
});

test("an agent whose tokens are refused from the start lives, and says why", {
  skip: Boolean(skip),
}, async () => {
  discord.allowPrivileged(false);
  await using agent = await launch({
    TELEGRAM_BOT_TOKEN: "110201543:another",
    AGENT_PLUGIN_START_MS: "3000",
  });
  const onDiscord = await reached(agent, DISCORD, "DISCONNECTED", /disallowed intents/);
  assert.match(onDiscord.message, /Turn on the intents Presence, Server Members and Message Content/);
  const onTelegram = await reached(agent, TELEGRAM, "DISCONNECTED", /401: Unauthorized/);
  assert.deepEqual([onTelegram.ready, onTelegram.platform?.account], [false, null]);
  discord.allowPrivileged(true);
  await reached(agent, DISCORD, "CONNECTED");
  // The plugin's own five tries end without an error after 30 s: it has not started all the same.
  await soon(
    async () =>
      agent.lines.find(({ message }) => /its service telegram failed: 401: Unauthorized/.test(message)),
    "a failed start",
  );
  assert.equal((await stateOf(agent, TELEGRAM))?.ready, false);
});

test("without tokens nothing is connected, and the missing settings are named", {
  skip: Boolean(skip),
}, async () => {
  await using agent = await launch({ TELEGRAM_BOT_TOKEN: "", DISCORD_TOKEN: "" });
  for (const [name, variable] of [
    [DISCORD, "DISCORD_TOKEN"],
    [TELEGRAM, "TELEGRAM_BOT_TOKEN"],
  ] as const) {
    const state = await reached(agent, name, "DISCONNECTED", new RegExp(`No token is set. Set ${variable}`));
    assert.match(state.message, new RegExp(variable));
  }
});
