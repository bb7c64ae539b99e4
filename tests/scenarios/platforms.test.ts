// An agent on a platform, as the pages about Discord and Telegram tell it: created by their commands, seen in its status, answering.
// Telegram is a stand-in of this machine; to Discord the bot's token is wrong, whether it can be reached or not.
import assert from "node:assert/strict";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, forgedToken } from "../helpers/agents.ts";
import { openTerminal, type Terminal } from "../helpers/cli.ts";
import { runMarked } from "../helpers/doc-blocks.ts";
import { startTelegram, TELEGRAM_TOKEN, type TelegramDouble } from "../helpers/platforms/telegram.ts";
import { eventually } from "../helpers/processes.ts";
import { type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

interface Platform {
  readonly name: string;
  readonly plugin: string | null;
  readonly status: string;
  readonly account: string | null;
  readonly message: string | null;
}

let stack: TestStack;
let owner: TestUser;
let terminal: Terminal;
let provider: ProviderStub;
let telegram: TelegramDouble;
beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  owner = await stack.createUser();
  terminal = await openTerminal(stack.info);
  await terminal.login(owner);
  const answer =
    "<response><thought>a greeting</thought><actions>REPLY</actions><providers></providers><text>Hello, I am Ada</text></response>";
  provider = await startProviderStub(() => answer);
  telegram = await startTelegram();
});
afterAll(async () => {
  if (owner !== undefined) await api(stack, owner, "POST", "/agents/stop-all");
  await stack?.stop();
  await terminal?.remove();
  await provider?.close();
  await telegram?.[Symbol.asyncDispose]();
});

/** Runs the commands of a page. */
const follow = async (page: "docs/telegram.md" | "docs/discord.md", replace: Record<string, string>) => {
  const options = {
    cwd: terminal.folder,
    env: {
      PATH: `${join(import.meta.dirname, "../../node_modules/.bin")}:${process.env.PATH}`,
      HOME: terminal.folder,
      XDG_CONFIG_HOME: join(terminal.folder, "config"),
      TMPDIR: terminal.folder,
      NO_COLOR: "1",
      LAUNCHPAD_URL: stack.info.apiUrl,
      LAUNCHPAD_KEY: stack.info.publishableKey,
    },
    replace: {
      "OPENAI_API_KEY=sk-…": `OPENAI_API_KEY=sk-stub-openai\nOPENAI_BASE_URL=${provider.url}/openai/v1`,
      ...replace,
    },
    timeoutMs: 240_000,
  };
  const outcomes =
    page === "docs/telegram.md"
      ? await runMarked("docs/telegram.md", import.meta.filename, options)
      : await runMarked("docs/discord.md", import.meta.filename, options);
  return outcomes.map(({ output }) => output).join("\n");
};

const agentNamed = async (name: string): Promise<string> => {
  const [row] = await stack.sql<{ id: string }>(
    "select id from public.agents where name = $1 and user_id = $2",
    [name, owner.id],
  );
  return row?.id ?? "";
};
const statusOf = (agentId: string, caller: TestUser | string = owner) =>
  api(stack, caller, "GET", `/agents/${agentId}/status`);
/** Waits until the status says so of the one platform. */
const reached = (agentId: string, status: string, words = /(?:)/) =>
  eventually(
    `${status} ${words}`,
    async () => {
      const { body } = await statusOf(agentId);
      const platform = (body.platforms as Platform[])[0];
      return platform?.status === status && words.test(platform.message ?? "") ? platform : undefined;
    },
    60_000,
  );

describe("docs/telegram.md", () => {
  let agentId: string;

  test("its commands create an agent that is connected, and answers a message", async () => {
    const said = await follow("docs/telegram.md", {
      "TELEGRAM_BOT_TOKEN=110201543:…": `TELEGRAM_BOT_TOKEN=${TELEGRAM_TOKEN}\nTELEGRAM_API_ROOT=${telegram.url}`,
    });
    assert.match(said, /Platform +telegram /);
    agentId = await agentNamed("ada-telegram");
    const { name, plugin, account, message } = await reached(agentId, "CONNECTED");
    assert.deepEqual(
      [name, plugin, account, message],
      ["telegram", "@elizaos/plugin-telegram", "@ada_bot", null],
    );
    const shown = await terminal.run(["agents", "status", "ada-telegram"]);
    assert.match(shown.stdout, /Platform +telegram connected as @ada_bot\n/);
    telegram.write("hello");
    const answer = await eventually("an answer", () => telegram.sent[0]);
    assert.equal(answer.text, "Hello, I am Ada");
  });

  test("the token is revoked → the status and the terminal say so; works again → connected", async () => {
    telegram.accept(false);
    const { message } = await reached(agentId, "DISCONNECTED", /401/);
    assert.match(String(message), /^401: Unauthorized\. Set TELEGRAM_BOT_TOKEN/);
    const { body } = await statusOf(agentId);
    assert.ok(!JSON.stringify(body).includes(TELEGRAM_TOKEN));
    const shown = await terminal.run(["agents", "status", "ada-telegram"]);
    assert.match(shown.stdout, /Platform +telegram disconnected/);
    assert.equal(shown.stdout.match(/401: Unauthorized/g)?.length, 1);
    telegram.accept(true);
    await reached(agentId, "CONNECTED");
  });

  test("another user, a forged token and an anonymous caller see no platform", async () => {
    const other = await stack.createUser();
    for (const caller of [other, forgedToken(owner), ""]) {
      const { status, body } = await statusOf(agentId, caller);
      assert.ok(status === 404 || status === 401, `${status}`);
      assert.ok(!JSON.stringify(body).includes("ada_bot"));
    }
  });

  test("stopped → disconnected, and no poll is open", async () => {
    await api(stack, owner, "POST", `/agents/${agentId}/stop`);
    await reached(agentId, "DISCONNECTED", /No replica is ready/);
    await eventually("no poll", () => !telegram.isPolled());
  });
});

test("docs/discord.md: a bot whose token is wrong lives, and its status says why it is not connected", async () => {
  const said = await follow("docs/discord.md", {
    "DISCORD_TOKEN=MTk4…": "DISCORD_TOKEN=MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.wrong",
  });
  assert.match(said, /Platform +discord /);
  const agentId = await agentNamed("ada-discord");
  const platform = await reached(agentId, "DISCONNECTED", /./);
  assert.deepEqual([platform.name, platform.plugin], ["discord", "@elizaos/plugin-discord"]);
  const { body } = await statusOf(agentId);
  assert.equal(body.status, "DEPLOYED");
});
