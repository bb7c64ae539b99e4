// What a message used, by providers' plugins that count as OpenRouter's, Groq's and Ollama's do: unknown is left out, never 0.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "vitest";
import { startProviderStub } from "../../../../../tests/helpers/providers.ts";
import { signed } from "../../signature.ts";
import { type RunningAgent, startAgent } from "../../testing/agent.ts";
import { makeElizaPart, skipEliza as skip } from "../../testing/eliza.ts";
import { MESSAGE_KEY } from "../../testing/project.ts";

/** A provider's plugin: answers itself, and emits MODEL_USED with the tokens given, or not at all. */
const provider = (name: string, tokens: string | undefined) => `
const form = "<response><thought>t</thought><actions>REPLY</actions><text>Hello</text></response>";
const count = (runtime) => ${
  tokens === undefined
    ? "undefined"
    : `runtime.emitEvent("MODEL_USED", { runtime, source: "${name}", provider: "${name}", type: "TEXT_LARGE", tokens: ${tokens} })`
};
const answer = async (runtime, { prompt }) => {
  count(runtime);
  return prompt.includes("already_known") ? "<response><thought>t</thought><facts></facts><relationships></relationships></response>" : form;
};
export default { name: "${name}", models: { TEXT_LARGE: answer, TEXT_SMALL: answer, TEXT_EMBEDDING: async () => Array(384).fill(0.1) } };`;

/** A message of the platform with its steps. */
async function deliver(agent: RunningAgent, history: { role: string; content: string }[] = []) {
  const answer = { id: randomUUID(), word: "0123456789abcdef", question: randomUUID() };
  const body = JSON.stringify({ text: "hello", conversationId: randomUUID(), history, answer });
  const headers = {
    "content-type": "application/json",
    ...signed(MESSAGE_KEY, Buffer.from(body), Date.now()),
  };
  const { status, body: said } = await agent.say(body, { headers });
  assert.equal(status, 200, JSON.stringify(said));
  return said;
}

const TABLE = [
  {
    plugin: "@elizaos/plugin-openrouter",
    name: "openrouter",
    tokens: "{ prompt: 210, completion: 40, total: 250 }",
    usage: { inputTokens: 210, outputTokens: 40 },
  },
  {
    plugin: "@elizaos/plugin-openrouter",
    name: "openrouter",
    tokens: "{ prompt: 0, completion: 0, total: 0 }",
    usage: undefined,
  },
  { plugin: "@elizaos/plugin-groq", name: "groq", tokens: undefined, usage: undefined },
  { plugin: "@elizaos/plugin-ollama", name: "ollama", tokens: undefined, usage: undefined },
];

for (const { plugin, name, tokens, usage } of TABLE) {
  test(`E10: ${name} reports ${tokens ?? "nothing"} → ${usage ? "that is the usage" : "usage is unknown"}, and a budget counts`, {
    skip: Boolean(skip),
  }, async () => {
    const stand = `${plugin.replace("@elizaos/", "test-")}`;
    using part = makeElizaPart({ [stand]: { module: provider(name, tokens) } });
    await using agent = await startAgent({
      config: { plugins: [stand] },
      environment: { AGENT_ELIZA_DIR: part.folder, [`${name.toUpperCase()}_LARGE_MODEL`]: "llama-4" },
    });
    const { usage: told, model } = await deliver(agent);
    assert.deepEqual([told, model], [usage, `${name}/llama-4`]);
    agent.process.kill("SIGTERM");
    await agent.exited;
    const steps = agent.project.steps().filter(({ kind }) => kind === "model");
    assert.deepEqual(
      steps.map(({ name: of, inputTokens, outputTokens }) => [of, inputTokens, outputTokens]),
      [[`${name}/llama-4`, usage?.inputTokens, usage?.outputTokens]],
    );
    const counted = [...agent.project.settled().values()].filter(
      ({ outputTokens }) => Number(outputTokens) > 0,
    );
    assert.equal(counted.length, 1, "an unknown usage counts as the estimate");
  });
}

test("E10: one call is counted and another is not → the message's usage is unknown", {
  skip: Boolean(skip),
}, async () => {
  const half = `
const form = "<response><thought>t</thought><actions>REPLY</actions><text>Hello</text></response>";
let calls = 0;
const answer = async (runtime) => {
  calls += 1;
  if (calls === 1) return "no form at all"; // elizaOS asks again
  runtime.emitEvent("MODEL_USED", { runtime, source: "half", provider: "half", type: "TEXT_LARGE", tokens: { prompt: 5, completion: 2 } });
  return form;
};
export default { name: "half", models: { TEXT_LARGE: answer, TEXT_SMALL: answer, TEXT_EMBEDDING: async () => Array(384).fill(0.1) } };`;
  using part = makeElizaPart({ half: { module: half } });
  await using agent = await startAgent({
    config: { plugins: ["half"] },
    environment: { AGENT_ELIZA_DIR: part.folder },
  });
  assert.equal((await deliver(agent)).usage, undefined);
  assert.deepEqual((await deliver(agent)).usage, { inputTokens: 5, outputTokens: 2 });
});

test("the call that looks back is a step of its own kind, and no part of the answer's usage", {
  skip: Boolean(skip),
}, async () => {
  await using stub = await startProviderStub(({ messages }) =>
    messages.at(-1)?.text.includes("already_known")
      ? "<response><thought>t</thought><facts></facts><relationships></relationships></response>"
      : "<response><thought>t</thought><actions>REPLY</actions><text>Hello</text></response>",
  );
  await using agent = await startAgent({
    config: { plugins: ["@elizaos/plugin-bootstrap"] },
    environment: stub.environment,
  });
  const history = Array.from({ length: 20 }, (_, place) => ({
    role: place % 2 === 0 ? "user" : "assistant",
    content: `turn ${place}`,
  }));
  assert.deepEqual((await deliver(agent, history)).usage, { inputTokens: 11, outputTokens: 7 });
  agent.process.kill("SIGTERM");
  await agent.exited;
  const steps = agent.project.steps().filter(({ kind }) => kind === "model");
  assert.deepEqual(
    steps.map(({ arguments: given, inputTokens }) => [given?.purpose, inputTokens]),
    [
      [undefined, 11],
      ["looking back", 11],
    ],
  );
});
