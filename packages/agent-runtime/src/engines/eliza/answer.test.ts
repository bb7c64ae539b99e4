// How a real elizaOS agent answers: what its plugins' actions do is done once, silence is an answer, the reply does not wait.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, test } from "vitest";
import {
  type Answering,
  type ProviderStub,
  startProviderStub,
} from "../../../../../tests/helpers/providers.ts";
import { signed } from "../../signature.ts";
import { type Answered, type RunningAgent, startAgent } from "../../testing/agent.ts";
import { skipEliza as skip } from "../../testing/eliza.ts";
import { installPlugin, type TestPlugin } from "../../testing/plugin.ts";
import { granting, MESSAGE_KEY } from "../../testing/project.ts";

/** Acts as its name says, and writes each time down where the test reads it: in the log. */
const SHOP = `
const note = (name) => console.log("acted " + name + " " + crypto.randomUUID()); // the log counts equal lines as one
const action = (name, handler) => ({
  name, description: name, similes: [], examples: [], validate: async () => true,
  handler: async (runtime, message, state, options, callback) => { note(name); return handler(callback, runtime); },
});
export default { name: "shop", actions: [
  action("PAY", async (callback) => { await callback({ text: "Paid 5" }); return { success: true, text: "paid" }; }),
  action("SHIP", async () => { throw new Error("no such street, key sk-stub-openai"); }),
  action("PONDER", () => new Promise((done) => setTimeout(done, 10500)).then(() => ({ success: true, text: "late" }))),
  action("FILE", async () => ({ success: true, text: "filed" })),
  action("ASK", async (callback, runtime) => { await runtime.useModel("TEXT_LARGE", { prompt: "ASKED-AGAIN" }); }),
], evaluators: [{
  name: "SLOW", description: "", examples: [], alwaysRun: true, validate: async (_, m) => /evaluate me/.test(m.content.text),
  handler: async (runtime) => { await new Promise((done) => setTimeout(done, 1500)); note("EVALUATED"); await runtime.useModel("TEXT_SMALL", { prompt: "EVALUATION" }); },
}] };`;

const form = (actions: string, text = "", providers = "") =>
  `<response><thought>so be it</thought><actions>${actions}</actions><providers>${providers}</providers><text>${text}</text></response>`;

/** Answers as the last line of the message wants: "do ACTIONS: text". */
const obedient: Answering = ({ messages }) => {
  const prompt = messages.at(-1)?.text ?? "";
  if (prompt.includes("ASKED-AGAIN")) return { status: 400 };
  if (prompt.includes("EVALUATION")) return "fine";
  const [, actions = "REPLY", text = ""] = [...prompt.matchAll(/do ([A-Z_,]+):([^\n<]*)/g)].at(-1) ?? [];
  return form(actions, text.trim());
};

let plugin: TestPlugin;
let stub: ProviderStub;
let agent: RunningAgent;
beforeAll(async () => {
  if (skip) return;
  plugin = installPlugin("shop", SHOP);
  stub = await startProviderStub(obedient);
  agent = await startAgent({
    config: { plugins: [plugin.name], character: { name: "Ada" } },
    environment: { ...stub.environment, AGENT_MESSAGE_TIMEOUT_MS: "10000" },
  });
  await deliver("do REPLY: warm"); // the first answer loads code
});
afterAll(async () => {
  await agent?.[Symbol.asyncDispose]();
  await stub?.close();
  plugin?.[Symbol.dispose]();
});

const acted = (name: string) => agent.lines.filter(({ message }) => message.includes(`acted ${name}`)).length;

/** How often an action ran, once all lines written until now have been read: those of one more action come behind them. */
async function actedByNow(name: string): Promise<number> {
  const before = acted("FILE");
  await deliver("do FILE:");
  while (acted("FILE") === before) await new Promise(setImmediate);
  return acted(name);
}

/** A message of the platform, delivered under an id. */
async function deliver(text: string, more: Record<string, unknown> = {}): Promise<Answered> {
  const { id = randomUUID(), question = randomUUID(), begun, ...rest } = more;
  const { conversationId = randomUUID(), history = [], ...others } = rest;
  const answer = { id, word: "0123456789abcdef", question, ...(begun === true && { begun }) };
  const body = JSON.stringify({ text, conversationId, history, answer, ...others });
  const headers = {
    "content-type": "application/json",
    ...signed(MESSAGE_KEY, Buffer.from(body), Date.now()),
  };
  return agent.say(body, { headers });
}

interface Failure {
  readonly code: string;
  readonly message: string;
  readonly details?: Record<string, string>;
}
const errorOf = ({ body }: Answered) => body.error as Failure;

test("E1: an action throws after another acted → final, named, what was said is kept; delivered again → not done again", {
  skip: Boolean(skip),
}, async () => {
  const id = randomUUID();
  const first = await deliver("do PAY,SHIP:", { id });
  const { code, message, details } = errorOf(first);
  assert.deepEqual([first.status, code, details?.final], [502, "ACTION_FAILED", "true"]);
  assert.deepEqual([details?.action, details?.plugin, details?.said], ["SHIP", plugin.name, "Paid 5"]);
  assert.match(message, new RegExp(`SHIP of ${plugin.name} failed: no such street`));
  assert.ok(!message.includes("sk-stub-openai"));
  assert.deepEqual(errorOf(await deliver("do PAY,SHIP:", { id })), errorOf(first));
  assert.deepEqual([await actedByNow("PAY"), acted("SHIP")], [1, 1]);
  // A caller at its own address does not read a plugin's words.
  const outside = await agent.say({ text: "do SHIP:" });
  assert.deepEqual([errorOf(outside).code, errorOf(outside).details?.final], ["ACTION_FAILED", "true"]);
  assert.ok(!errorOf(outside).message.includes("street"));
});

test("E1: delivered again while it is being made, and when it is made → one outcome", {
  skip: Boolean(skip),
}, async () => {
  const before = await actedByNow("PAY");
  const id = randomUUID();
  const both = await Promise.all([deliver("do PAY:", { id }), deliver("do PAY:", { id })]);
  const third = await deliver("do PAY:", { id });
  assert.deepEqual(
    [...both, third].map(({ body }) => body.reply),
    ["Paid 5", "Paid 5", "Paid 5"],
  );
  assert.equal(await actedByNow("PAY"), before + 1);
});

test("E1: an action that began at another replica → not done again, final, no model asked", {
  skip: Boolean(skip),
}, async () => {
  const paid = await actedByNow("PAY");
  agent.project.answer = (called) =>
    called.rpc === "runtime_acts" ? { body: { may: false } } : granting(called);
  const refused = errorOf(await deliver("do PAY:"));
  agent.project.answer = granting;
  assert.deepEqual([refused.code, refused.details?.final], ["ACTION_FAILED", "true"]);
  const asked = stub.requests.length;
  const begun = errorOf(await deliver("do PAY:", { begun: true }));
  assert.deepEqual([begun.code, begun.details?.final], ["ACTION_FAILED", "true"]);
  assert.equal(stub.requests.length, asked);
  assert.equal(await actedByNow("PAY"), paid);
});

test("E1: the model fails inside an action → final; before any action → may be tried again", {
  skip: Boolean(skip),
}, async () => {
  assert.equal(errorOf(await deliver("do ASK:")).details?.final, "true");
  stub.answer = () => ({ status: 400 });
  const id = randomUUID();
  const failed = errorOf(await deliver("do PAY:", { id }));
  stub.answer = obedient;
  assert.deepEqual([failed.code, failed.details], ["MODEL_REQUEST_REJECTED", undefined]);
  assert.equal((await deliver("do PAY:", { id })).body.reply, "Paid 5");
});

test("E14: an action that outlasts the message → final, named; nothing of it is said later", {
  skip: Boolean(skip),
}, async () => {
  const conversationId = randomUUID();
  const before = await actedByNow("PAY");
  const slow = await deliver("do PONDER,PAY:", { conversationId });
  assert.deepEqual([slow.status, errorOf(slow).code], [504, "ACTION_TIMEOUT"]);
  assert.match(errorOf(slow).message, new RegExp(`PONDER of ${plugin.name} did not finish in time`));
  await deliver("do REPLY: and now", { conversationId });
  await new Promise((done) => setTimeout(done, 1_500));
  assert.equal(await actedByNow("PAY"), before, "what would have come next did not begin");
});

test("E2: silence is an answer, and a text is kept whatever the action", {
  skip: Boolean(skip),
}, async () => {
  for (const [wanted, reply, silence] of [
    ["IGNORE:", "", /chose not to answer/],
    ["STOP:", "", /chose not to answer/],
    ["NONE:", "", /chose not to answer/],
    ["FILE:", "", /chose not to answer/],
    ["IGNORE: Not now", "Not now", undefined],
    ["STOP: Enough", "Enough", undefined],
    ["NONE: As you say", "As you say", undefined],
    ["UNHEARD_OF: Still here", "Still here", undefined],
  ] as const) {
    const { status, body } = await deliver(`do ${wanted}`);
    assert.deepEqual([status, body.reply], [200, reply], wanted);
    if (silence) assert.match(String(body.silence), silence, wanted);
    else assert.equal(body.silence, undefined, wanted);
  }
  const { body } = await agent.say({ text: "do IGNORE:" });
  assert.equal(body.reply, "");
});

test("E11: a muted conversation is told as muted, with the way out, and others are not muted", {
  skip: Boolean(skip),
}, async () => {
  const say = async (text: string, conversationId: string) => (await deliver(text, { conversationId })).body;
  const [muted, other] = [randomUUID(), randomUUID()];
  stub.answer = ({ messages }) =>
    /<response>|shouldRespond|should.*mute/i.test(messages.at(-1)?.text ?? "") &&
    !/do MUTE_ROOM/.test(messages.at(-1)?.text ?? "")
      ? obedient({ messages } as never)
      : /"yes"|yes or no|YES/i.test(messages.at(-1)?.text ?? "") &&
          !/<actions>/.test(messages.at(-1)?.text ?? "")
        ? "yes"
        : obedient({ messages } as never);
  await say("do MUTE_ROOM:", muted);
  const silent = await say("do REPLY: hello", muted);
  assert.equal(silent.reply, "");
  assert.match(String(silent.silence), /muted this conversation.*"Ada, unmute/);
  assert.equal((await say("do REPLY: hello", other)).reply, "hello");
  assert.equal((await say("Ada, do REPLY: I hear you", muted)).reply, "I hear you");
  stub.answer = obedient;
});

test("E7: the reply goes out before the evaluators, whose calls are counted all the same", {
  skip: Boolean(skip),
}, async () => {
  const { body } = await deliver("evaluate me, do REPLY: at once");
  assert.equal(body.reply, "at once");
  assert.equal(acted("EVALUATED"), 0);
  while (!stub.requests.some(({ messages }) => messages.at(-1)?.text.includes("EVALUATION")))
    await new Promise(setImmediate);
});

test("E7: turns are recalled under the same ids, so that reflection looks at what is new alone", {
  skip: Boolean(skip),
}, async () => {
  const conversationId = randomUUID();
  const history: { id: string; role: string; content: string }[] = [];
  const reflections = () =>
    stub.requests.filter(({ messages }) => /already_known|in_bio/.test(messages.at(-1)?.text ?? "")).length;
  stub.answer = (asked) =>
    /already_known/.test(asked.messages.at(-1)?.text ?? "")
      ? "<response><thought>x</thought><facts><fact><claim>c</claim></fact></facts><relationships><relationship></relationship></relationships></response>"
      : obedient(asked);
  const before = reflections();
  for (let turn = 0; turn < 20; turn++) {
    const [id, question] = [randomUUID(), randomUUID()];
    const { body } = await deliver(`do REPLY: answer ${turn}`, { id, question, conversationId, history });
    history.push({ id: question, role: "user", content: `do REPLY: answer ${turn}` });
    history.push({ id, role: "assistant", content: String(body.reply) });
  }
  stub.answer = obedient;
  const made = reflections() - before;
  assert.ok(made >= 2 && made <= 6, `${made} reflections over 20 messages`);
});

test("reflection: off → the model is never asked to look back on a conversation", {
  skip: Boolean(skip),
}, async () => {
  await using silentAgent = await startAgent({
    config: { plugins: [plugin.name], character: { name: "Ada" }, settings: { reflection: "off" } },
    environment: stub.environment,
  });
  const since = stub.requests.length;
  // More than a quarter of what elizaOS looks back on (32): with reflection on, at least one is due.
  for (let turn = 0; turn < 12; turn++) {
    const text = `do REPLY: answer ${turn}`;
    const { body } = await silentAgent.say({ text, conversationId: "one" });
    assert.equal(body.reply, `answer ${turn}`);
  }
  const asked = stub.requests.slice(since).map(({ messages }) => messages.at(-1)?.text ?? "");
  assert.equal(asked.length, 12, "one call a message");
  assert.ok(!asked.some((prompt) => /already_known|in_bio/.test(prompt)));
});

test("E10: what a provider did not count is unknown", { skip: Boolean(skip) }, async () => {
  const { body } = await deliver("do REPLY: counted");
  assert.deepEqual(body.usage, { inputTokens: 11, outputTokens: 7 });
});

test("E17: the sender's name goes along; an id is no name", { skip: Boolean(skip) }, async () => {
  const userId = randomUUID();
  await deliver("do REPLY: hello", { userId, userName: "Grace" });
  assert.match(stub.requests.at(-1)?.messages.at(-1)?.text ?? "", /Grace: .*do REPLY/);
  await deliver("do REPLY: hello", { userId: randomUUID() });
  const prompt = stub.requests.at(-1)?.messages.at(-1)?.text ?? "";
  assert.match(prompt, /User: .*do REPLY/);
});
