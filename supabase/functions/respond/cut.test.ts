// Streams that are cut at every byte: OpenAI's Responses API, and what a deployed agent's runtime sends.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { it } from "vitest";
import { startProviderStub } from "../../../tests/helpers/providers.ts";
import { atEveryByte, cutStub, SAID } from "../../../tests/helpers/recorded-answers.ts";
import { type AnswerContext, answerByModel } from "./answer.ts";
import { answerByRuntime } from "./runtime.ts";
import { readSettings } from "./settings.ts";
import type { Task } from "./task.ts";

const taskOf = (content: string): Task => ({
  jobId: "j",
  leaseToken: "l",
  attempt: 1,
  turn: 1,
  userId: "u",
  conversationId: "c",
  agent: { id: "a", name: "Tester", framework: "openai", model: "m", settings: {} },
  messages: [{ id: "1", role: "user", content }],
  tools: [],
  knowledge: false,
  reservation: { id: "r", inputTokens: 100_000, outputTokens: 4096 },
});

const contextOf = (url: string): AnswerContext => ({
  settings: readSettings({
    SUPABASE_URL: url,
    SUPABASE_SECRET_KEYS: '{"default":"sb_secret_test"}',
    LAUNCHPAD_RESPOND_SECRET: "x".repeat(40),
    OPENAI_API: "responses",
    OPENAI_API_KEY: "k",
    OPENAI_BASE_URL: `${url}/openai/v1`,
  }),
  knowledge: [],
  database: {
    project: {
      call: async () => ({ id: "r2", inputTokens: 100_000, outputTokens: 4096 }),
      close: () => undefined,
    },
  } as unknown as AnswerContext["database"],
  signal: new AbortController().signal,
  say: () => undefined,
  note: () => undefined,
  warn: () => undefined,
});

/** Each cut is whole only behind `end`, and else an error that is tried again. */
function assertWholeOnlyBehind(end: number, outcomes: readonly string[]): void {
  assert.ok(end > 0);
  assert.equal(outcomes.at(-1), SAID);
  for (const [length, outcome] of outcomes.entries()) {
    if (length === 0 || (length > end && outcome === SAID)) continue;
    assert.equal(outcome, "MODEL_BAD_RESPONSE", `cut at ${length} of ${outcomes.length - 1}`);
  }
}

const outcomeOf = (answer: ReturnType<typeof answerByModel>) =>
  answer.then(
    ({ content }) => content,
    ({ failure }) => String(failure.code),
  );

it("an answer of OpenAI's Responses API is whole or an error, wherever it is cut", async () => {
  const recording = await (async () => {
    await using stub = await startProviderStub(() => SAID);
    const body = JSON.stringify({ model: "m", stream: true, input: [{ role: "user", content: "Hello" }] });
    const response = await fetch(`${stub.url}/openai/v1/responses`, { method: "POST", body });
    return Buffer.from(await response.arrayBuffer());
  })();
  await using stub = await cutStub(recording);
  const outcomes = await atEveryByte(recording, (length) =>
    outcomeOf(answerByModel(taskOf(length), contextOf(stub.url))),
  );
  assertWholeOnlyBehind(recording.indexOf('"response.completed"'), outcomes);
});

it("an answer of a deployed agent is whole or an error, wherever it is cut", async () => {
  const event = (name: string, data: object) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
  const pieces = SAID.match(/\S+\s*/g) ?? [];
  const done = event("done", { reply: SAID, model: "m", usage: { inputTokens: 1, outputTokens: 1 } });
  const recording = Buffer.from(pieces.map((text) => event("delta", { text })).join("") + done);
  const runtime = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const length = Number((JSON.parse(body) as { text: string }).text);
    response.writeHead(200, { "content-type": "text/event-stream" }).end(recording.subarray(0, length));
  });
  await once(runtime.listen(0, "127.0.0.1"), "listening");
  try {
    const url = `http://127.0.0.1:${(runtime.address() as AddressInfo).port}`;
    const outcomes = await atEveryByte(recording, (length) =>
      outcomeOf(answerByRuntime({ ...taskOf(length), url }, contextOf(url))),
    );
    assertWholeOnlyBehind(recording.indexOf("event: done"), outcomes);
  } finally {
    runtime.closeAllConnections();
    runtime.close();
  }
});
