// What a real elizaOS agent begins itself: sent to the conversation it belongs to, once, and refused in words where it cannot be.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, test } from "vitest";
import { eventually } from "../../../../../tests/helpers/processes.ts";
import { type ProviderStub, startProviderStub } from "../../../../../tests/helpers/providers.ts";
import { signed } from "../../signature.ts";
import { type AgentOptions, type RunningAgent, startAgent } from "../../testing/agent.ts";
import { skipEliza as skip } from "../../testing/eliza.ts";
import { installPlugin, type TestPlugin } from "../../testing/plugin.ts";
import { type Called, MESSAGE_KEY, type ProjectAnswer } from "../../testing/project.ts";

/** Begins messages in all the ways there are: "do ACTION: word" is asked for. What comes of each, it writes to the log. */
const ALARM = `
let runtime;
const send = (target, text) =>
  runtime.sendMessageToTarget({ source: "launchpad", ...target }, { text })
    .then(() => console.log("sent " + text), (error) => console.log("refused " + text + ": " + error.message));
const action = (name, handler) => ({
  name, description: name, similes: [], examples: [], validate: async () => true,
  handler: async (_, { roomId, content }) => {
    await handler(roomId, content.text.split(": ")[1]);
    return { success: true, text: "done" };
  },
});
const task = (more) => ({ name: "REMIND", description: "", tags: ["queue"], ...more, metadata: { updatedAt: 1, ...more.metadata } });
const watch = Promise.withResolvers();
export default {
  name: "alarm",
  init(_, of) {
    runtime = of;
    runtime.registerTaskWorker({
      name: "REMIND",
      verb: "Mind ",
      async execute(_, { word, place }, { roomId }) { await send({ roomId: roomId ?? place }, this.verb + word); },
    });
  },
  actions: [
    action("REMIND", (roomId, word) => runtime.createTask(task({ roomId, worldId: roomId, metadata: { word } }))),
    action("REMIND_ALL", (roomId, word) => runtime.createTask(task({ worldId: roomId, metadata: { word, place: roomId } }))),
    action("ASIDE", async (roomId, word) => { await send({ roomId }, "First " + word); await send({ roomId }, "Second " + word); }),
    action("EMPTY", (roomId) => send({ roomId }, " ")),
    action("NOWHERE", (_, word) => send({ roomId: crypto.randomUUID() }, word)),
    action("NOBODY", (_, word) => send({ entityId: crypto.randomUUID() }, word)),
    action("WATCH", async (roomId) => watch.resolve(roomId)),
  ],
  services: [class {
    static serviceType = "watch";
    static async start() {
      watch.promise.then((roomId) => send({ roomId }, "Seen"));
      return { stop: async () => undefined };
    }
  }],
};
`;

let plugin: TestPlugin;
let stub: ProviderStub;
let agent: RunningAgent;
/** The calls that are of earlier tests. */
let earlier = 0;

beforeAll(async () => {
  if (skip) return;
  plugin = installPlugin("alarm", ALARM);
  stub = await startProviderStub(({ messages }) => {
    const prompt = messages.at(-1)?.text ?? "";
    const name = [...prompt.matchAll(/do ([A-Z_]+)/g)].at(-1)?.[1] ?? "REPLY";
    return `<response><thought>so</thought><actions>${name}</actions><text>I will</text></response>`;
  });
  agent = await start();
});
beforeEach(() => {
  if (skip) return;
  agent.project.answer = () => undefined;
  earlier = agent.project.calls.length;
});
afterAll(async () => {
  await agent?.[Symbol.asyncDispose]();
  await stub?.close();
  plugin?.[Symbol.dispose]();
});

const start = (more: { folder?: string; project?: AgentOptions["project"] } = {}): Promise<RunningAgent> =>
  startAgent({
    config: { plugins: [plugin.name], character: { name: "Ada" } },
    environment: {
      ...stub.environment,
      ...(more.folder !== undefined && { AGENT_STATE_DIR: more.folder }),
    },
    ...(more.project !== undefined && { project: more.project }),
  });

/** A message of the platform in a stored conversation. */
async function tell(
  to: RunningAgent,
  text: string,
  conversationId: string = randomUUID(),
  history: unknown[] = [],
): Promise<string> {
  const answer = { id: randomUUID(), word: "0123456789abcdef", question: randomUUID() };
  const body = JSON.stringify({ text, conversationId, history, answer });
  const headers = {
    "content-type": "application/json",
    ...signed(MESSAGE_KEY, Buffer.from(body), Date.now()),
  };
  const { status, body: said } = await to.say(body, { headers });
  assert.equal(status, 200, JSON.stringify(said));
  return conversationId;
}
const sent = (by: RunningAgent = agent, from = earlier) =>
  by.project.calls
    .slice(from)
    .filter(({ rpc }) => rpc === "runtime_begin_message")
    .map(({ args }) => args);
const logged = (words: string, by: RunningAgent = agent) =>
  by.lines.filter(({ message }) => message.startsWith(words));
const until = (ready: () => boolean) => eventually(String(ready), async () => ready() || undefined, 60_000);
const only = (answer: (called: Called) => ProjectAnswer | undefined) => (called: Called) =>
  called.rpc === "runtime_begin_message" ? answer(called) : undefined;

test("E12: a reminder's task begins a message in the conversation it was made in, with the plugin in the log", {
  skip: Boolean(skip),
}, async () => {
  const conversationId = await tell(agent, "do REMIND: kettle");
  await until(() => logged("sent Mind kettle").length > 0);
  const [first, ...more] = sent();
  const { credential, id, ...args } = first;
  assert.deepEqual(args, {
    agent_id: "agent-test",
    conversation_id: conversationId,
    content: "Mind kettle",
    replica: "agent-test-abc234",
    by_service: false,
  });
  assert.ok(credential && more.every((again) => again.id === id));
  const line = agent.lines.find(({ metadata }) => metadata.messageId === id);
  assert.deepEqual(
    [line?.level, line?.message, line?.metadata.plugin, line?.metadata.conversationId],
    ["INFO", "Began a message", plugin.name, conversationId],
  );
  // The next answer's history has it under the same id: it is remembered once.
  const history = [{ id, role: "assistant", content: "Mind kettle" }];
  await tell(agent, "What did you say?", conversationId, history);
  const prompts = stub.requests.flatMap(({ messages }) => messages.at(-1)?.text ?? []);
  const prompt = prompts.findLast((text) => text.includes("What did you say?")) ?? "";
  assert.equal(prompt.split("Ada: Mind kettle").length - 1, 1, prompt);
});

test("E12: killed while the project takes the message → the task runs again and sends it under the same id", {
  skip: Boolean(skip),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "agent-begun-"));
  try {
    const ids = new Set<string>();
    const silent = only(() => ({ body: {}, after: new Promise(() => undefined) }));
    {
      await using first = await start({ folder, project: silent });
      await tell(first, "do REMIND: kettle");
      // elizaOS runs a task that is not over once more each second.
      await until(() => sent(first, 0).length > 1);
      first.process.kill("SIGKILL");
      await first.exited;
      for (const { id } of sent(first, 0)) ids.add(id);
    }
    await using second = await start({ folder });
    await until(() => logged("sent Mind kettle", second).length > 0);
    for (const { id } of sent(second, 0)) ids.add(id);
    assert.equal(ids.size, 1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("E12: messages begun within an answer have an id each; of a task without a room one replica sends", {
  skip: Boolean(skip),
}, async () => {
  await tell(agent, "do ASIDE: one");
  const [first, second] = sent();
  assert.deepEqual([first.content, second.content], ["First one", "Second one"]);
  assert.deepEqual([first.by_service, second.by_service, first.id === second.id], [false, false, false]);
  agent.project.answer = only(() => ({ body: { messageId: null } }));
  await tell(agent, "do REMIND_ALL: lunch");
  await until(() => logged("sent Mind lunch").length > 0);
  assert.equal(sent().at(-1)?.by_service, true);
  assert.ok(logged(`Another replica sends what ${plugin.name} begins`).length > 0);
});

test("E12: a service's message is sent by the replica with the platforms", {
  skip: Boolean(skip),
}, async () => {
  await tell(agent, "do WATCH: it");
  await until(() => logged("sent Seen").length > 0);
  assert.deepEqual([sent()[0]?.by_service, sent()[0]?.content], [true, "Seen"]);
});

test("E12: without a text, without a conversation, at the agent's own address → refused in words, nothing is sent", {
  skip: Boolean(skip),
}, async () => {
  for (const [order, words] of [
    ["EMPTY: -", /^refused {2}: .* It has no text/],
    ["NOWHERE: there", /^refused there: .*Name the conversation/],
    ["NOBODY: you", /^refused you: .*Name the conversation/],
  ] as const) {
    await tell(agent, `do ${order}`);
    await until(() => agent.lines.some(({ message }) => words.test(message)));
  }
  await agent.say({ text: "do ASIDE: two", conversationId: randomUUID() });
  await until(() => agent.lines.some(({ message }) => /^refused Second two: .*own address/.test(message)));
  assert.equal(sent().length, 0);
  const warned = logged(`${plugin.name} could not begin a message`);
  assert.deepEqual(
    warned.map(({ level, metadata }) => [level, metadata.plugin, metadata.code]),
    [
      ["WARN", plugin.name, "NO_TEXT"],
      ["WARN", plugin.name, "NO_CONVERSATION"],
    ],
    "each kind once",
  );
});

test("E12: a refusal of the project reaches the plugin in its words; a project that is down is tried again", {
  skip: Boolean(skip),
}, async () => {
  const refusal = (status: number, code: string, message: string, details: string | null = null) => ({
    status,
    body: { code, message, details },
  });
  const answers: ProjectAnswer[] = [
    refusal(409, "CONFLICT", "This agent is stopped"),
    refusal(429, "RATE_LIMIT_EXCEEDED", "Too many", '{"limit_type": "begun_messages"}'),
    { status: 503, body: {} },
    refusal(429, "RATE_LIMIT_EXCEEDED", "Busy"),
  ];
  agent.project.answer = only(() => answers.shift());
  await tell(agent, "do ASIDE: three");
  await until(() => logged("refused Second three").length > 0);
  const why = `${plugin.name} could not begin a message in a conversation: `;
  assert.equal(logged("refused First three")[0]?.message, `refused First three: ${why}This agent is stopped`);
  assert.equal(logged("refused Second three")[0]?.message, `refused Second three: ${why}Too many`);
  await tell(agent, "do REMIND: tea");
  await until(() => logged("sent Mind tea").length > 0);
  const ids = sent()
    .slice(2)
    .map(({ id }) => id);
  assert.ok(ids.length >= 3 && new Set(ids).size === 1);
});
