// A reminder that a real elizaOS agent's plugin sends without being asked, on the whole stack: its owner sees it through supabase-js,
// the SDK and the next answer; nobody else does.
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { AgentLaunchpadClient, type Message } from "@agent-launchpad/sdk";
import { createClient } from "@supabase/supabase-js";
import { afterAll, beforeAll, describe, test } from "vitest";
import { signed } from "../../packages/agent-runtime/src/signature.ts";
import { type RunningAgent, startAgent } from "../../packages/agent-runtime/src/testing/agent.ts";
import { skipEliza as skip } from "../../packages/agent-runtime/src/testing/eliza.ts";
import { installPlugin, type TestPlugin } from "../../packages/agent-runtime/src/testing/plugin.ts";
import { api, forgedToken, launched } from "../helpers/agents.ts";
import { openTerminal, type Terminal } from "../helpers/cli.ts";
import { eventually } from "../helpers/processes.ts";
import { type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { Inbox, subscribed } from "../helpers/realtime.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

/** Reminds of what comes behind the colon, by a task: at once, or once it is told to (REMIND_NOW). */
const REMINDERS = `
const now = Promise.withResolvers();
const task = (runtime, { roomId, content }, name) => runtime.createTask({
  name, description: "", roomId, worldId: roomId, tags: ["queue"],
  metadata: { updatedAt: 1, text: content.text.split(": ")[1] },
});
const action = (name, work) => ({
  name, description: "Reminds", similes: [], examples: [], validate: async () => true,
  async handler(runtime, message) { await work(runtime, message); return { success: true, text: "noted" }; },
});
export default {
  name: "reminders",
  init(_, runtime) {
    const send = (of, { text }, { roomId }) =>
      of.sendMessageToTarget({ source: "launchpad", roomId }, { text: "Do not forget: " + text });
    runtime.registerTaskWorker({ name: "REMIND", execute: send });
    runtime.registerTaskWorker({ name: "LATER", execute: async (...task) => { await now.promise; await send(...task); } });
  },
  actions: [
    action("REMIND", (runtime, message) => task(runtime, message, "REMIND")),
    action("REMIND_LATER", (runtime, message) => task(runtime, message, "LATER")),
    action("REMIND_NOW", async () => now.resolve()),
  ],
};`;

let plugin: TestPlugin;
let provider: ProviderStub;
let stack: TestStack;
let owner: TestUser;
let other: TestUser;
let terminal: Terminal;
let agentId: string;
let messageKey: string;
/** One more replica of the agent, with elizaOS and the plugin: a package of this test, on no registry. */
let replica: RunningAgent;

beforeAll(async () => {
  if (skip) return;
  plugin = installPlugin("reminders", REMINDERS);
  provider = await startProviderStub(({ messages }) => {
    const said = messages.map(({ text }) => text).join("\n");
    if (!said.includes("<actions>"))
      return said.includes("Do not forget: the kettle") ? "I reminded you." : "I will.";
    const [, name = "REPLY"] = [...said.matchAll(/do ([A-Z_]+)/g)].at(-1) ?? [];
    return `<response><thought>so</thought><actions>${name}</actions><text></text></response>`;
  });
  stack = await startTestStack({ env: provider.environment });
  await stack.raiseRateLimits();
  [owner, other] = await Promise.all([stack.createUser(), stack.createUser()]);
  terminal = await openTerminal(stack.info);
  await terminal.login(owner);
  agentId = await launched(stack, owner, { agentName: "Ada", framework: "openai" });
  const [row] = await stack.sql<{ key: string }>("select private.message_key($1) as key", [agentId]);
  messageKey = row?.key ?? "";
  replica = await startAgent({
    config: { agentId, name: "Ada", plugins: [plugin.name], character: { name: "Ada" } },
    environment: {
      ...provider.environment,
      AGENT_ID: agentId,
      AGENT_PROJECT_URL: stack.info.apiUrl,
      AGENT_PROJECT_KEY: stack.info.publishableKey,
      AGENT_MESSAGE_KEY: messageKey,
    },
  });
});
afterAll(async () => {
  await replica?.[Symbol.asyncDispose]();
  await Promise.all([owner, other].map((user) => user?.client.removeAllChannels()));
  if (owner !== undefined) await api(stack, owner, "POST", "/agents/stop-all");
  await stack?.stop();
  await terminal?.remove();
  await provider?.close();
  plugin?.[Symbol.dispose]();
});

/** What the function `respond` does: it hands a message of a stored conversation to a replica, under the id of a leased answer. */
async function deliver(text: string, conversationId: string): Promise<void> {
  const [job] = await stack.sql<{ id: string }>(
    `insert into private.reply_jobs (message_id, agent_id, user_id, root_id, turn, state, lease_holder, lease_token, lease_expires_at)
     select m.id, $2, m.user_id, gen_random_uuid(), 1, 'running', 'test', gen_random_uuid(), now() + interval '1 hour'
     from public.messages m where m.conversation_id = $1 limit 1 returning id`,
    [conversationId, agentId],
  );
  const answer = { id: job?.id, word: "0123456789abcdef", question: randomUUID() };
  const body = JSON.stringify({ text, conversationId, history: [], answer });
  const headers = {
    "content-type": "application/json",
    ...signed(messageKey, Buffer.from(body), Date.now()),
  };
  const { status, body: said } = await replica.say(body, { headers });
  assert.equal(status, 200, JSON.stringify(said));
}
const begunIn = (conversationId: string, by = owner.client) =>
  by
    .from("messages")
    .select()
    .eq("conversation_id", conversationId)
    .is("root_id", null)
    .eq("sender_kind", "agent");
const credential = () => createHmac("sha256", messageKey).update("runtime").digest("hex");

describe("a message that an agent begins", { skip: Boolean(skip) }, () => {
  let conversationId: string;
  let begun: Message;

  test("reaches its owner through Realtime and the SDK, and nobody else", async () => {
    const client = new AgentLaunchpadClient({ supabaseClient: owner.client, baseUrl: stack.info.apiUrl });
    const asked = await client.messages.ask(agentId, "Remind me.");
    conversationId = String(asked.conversation_id);
    const [own, others] = [new Inbox<Message>(), new Inbox<Message>()];
    const all = { event: "INSERT", schema: "public", table: "messages" } as const;
    for (const [user, inbox, filter] of [
      [owner, own, { ...all, filter: `agent_id=eq.${agentId}` }],
      [other, others, all],
    ] as const) {
      const channel = user.client
        .channel(`messages-${user.id}`)
        .on("postgres_changes", filter, ({ new: row }) => inbox.push(row as Message));
      await subscribed(channel);
    }
    const heard = Promise.withResolvers<Message>();
    const stop = client.messages.subscribe({ agentId }, (update) => {
      if (update.type === "message" && update.message.root_id === null && update.message.agent_id !== null) {
        heard.resolve(update.message);
      }
    });
    await deliver("do REMIND: the kettle", conversationId);
    begun = await own.first((row) => row.content === "Do not forget: the kettle");
    assert.equal((await heard.promise).id, begun.id);
    stop();
    assert.deepEqual(
      [begun.conversation_id, begun.agent_id, begun.status, begun.reply_to, begun.root_id],
      [conversationId, agentId, "complete", null, null],
    );
    // What the other user writes comes behind whatever would have come of this one.
    const { data: bot } = await other.client.from("agents").insert({ name: "Bot" }).select().single();
    await other.client.from("messages").insert({ to_agent_id: bot?.id, content: "Hello" });
    assert.equal((await others.first()).content, "Hello");
    assert.deepEqual((await begunIn(conversationId, other.client)).data, []);
  });

  test("is in the next answer's context, in the list of messages, in the terminal and in the log", async () => {
    const client = new AgentLaunchpadClient({ supabaseClient: owner.client, baseUrl: stack.info.apiUrl });
    const { content } = await client.messages.ask(agentId, "What did you do?", { conversationId });
    assert.equal(content, "I reminded you.");
    const listed = await client.messages.list({ conversationId });
    assert.ok(listed.some(({ id }) => id === begun.id));
    const args = ["chat", agentId, "What did you do?", "--conversation", conversationId, "--json"];
    const { stdout } = await terminal.run(args);
    const said = JSON.parse(stdout);
    assert.deepEqual([said.reply, said.conversationId], ["I reminded you.", conversationId]);
    const line = replica.lines.find(({ message }) => message === "Began a message");
    assert.deepEqual([line?.metadata.messageId, line?.metadata.plugin], [begun.id, plugin.name]);
  });

  test("another user, a stranger, a forged token and a forged credential begin none", async () => {
    const args = {
      agent_id: agentId,
      credential: credential(),
      id: randomUUID(),
      conversation_id: conversationId,
      content: "Forged",
      replica: "r",
    };
    const anonymous = createClient(stack.info.apiUrl, stack.info.publishableKey);
    const forged = createClient(stack.info.apiUrl, stack.info.publishableKey, {
      accessToken: async () => forgedToken(owner),
    });
    for (const [caller, given] of [
      [other.client, args],
      [owner.client, args],
      [forged, args],
      [anonymous, { ...args, credential: "0".repeat(64) }],
    ] as const) {
      const { error } = await caller.rpc("runtime_begin_message", given);
      assert.notEqual(error, null);
    }
    const { data } = await begunIn(conversationId);
    assert.deepEqual(
      data?.map(({ content }) => content),
      ["Do not forget: the kettle"],
    );
  });

  test("is refused, and the plugin told, once the conversation is deleted or the agent stopped", async () => {
    const refused = async (code: string) => {
      const warned = () =>
        replica.lines.find(({ level, metadata }) => level === "WARN" && metadata.code === code);
      await eventually(code, warned).catch((error) => {
        throw new Error(JSON.stringify(replica.lines.slice(-20)), { cause: error });
      });
      return warned()?.message ?? "";
    };
    const { data } = await owner.client
      .from("messages")
      .insert({ to_agent_id: agentId, content: "Again." })
      .select()
      .single()
      .throwOnError();
    await deliver("do REMIND_LATER: the oven", conversationId);
    await owner.client.from("messages").delete().eq("conversation_id", conversationId).throwOnError();
    await deliver("do REMIND_NOW: all", data.conversation_id);
    assert.match(await refused("NOT_FOUND"), /it was deleted/);
    await api(stack, owner, "POST", `/agents/${agentId}/stop`);
    await deliver("do REMIND: the stove", data.conversation_id);
    assert.match(await refused("CONFLICT"), /This agent is stopped; start it/);
    assert.deepEqual((await begunIn(data.conversation_id)).data, []);
  });
});
