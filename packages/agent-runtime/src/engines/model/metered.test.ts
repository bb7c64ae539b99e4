import assert from "node:assert/strict";
import { APICallError, generateText, streamText } from "ai";
import { MockLanguageModelV4, simulateReadableStream } from "ai/test";
import { describe, it } from "vitest";
import type { MeteredCall, Reserving, TokensUsed, Wanted } from "../../meter.ts";
import { metered, mostInput } from "./metered.ts";

const OPTIONS = { name: "m", framework: "openai", settings: {} };
const USAGE = {
  inputTokens: { total: 30, noCache: 10, cacheRead: 20, cacheWrite: 0 },
  outputTokens: { total: 7, text: 7, reasoning: 0 },
};
const FINISH = {
  type: "finish" as const,
  finishReason: { unified: "stop" as const, raw: "stop" },
  usage: USAGE,
};
const text = (...deltas: string[]) => [
  { type: "stream-start" as const, warnings: [] },
  { type: "text-start" as const, id: "1" },
  ...deltas.map((delta) => ({ type: "text-delta" as const, id: "1", delta })),
];

/** A meter that grants `grant` tokens of output and keeps what was reported. */
function meter(grant = 100) {
  const wanted: Wanted[] = [];
  const told: (TokensUsed | "released")[] = [];
  const reserving: Reserving = {
    async reserve(call) {
      wanted.push(call);
      let ended = false;
      const end = (item: TokensUsed | "released") => {
        if (!ended) told.push(item);
        ended = true;
      };
      const metering: MeteredCall = {
        outputTokens: Math.min(grant, call.outputTokens),
        settle: end,
        release: () => end("released"),
      };
      return metering;
    },
  };
  return { reserving, wanted, told };
}

describe("a metered model", () => {
  it("asks for no more output than it was granted, and settles what the provider counted", async () => {
    const { reserving, wanted, told } = meter(9);
    const model = new MockLanguageModelV4({
      doGenerate: {
        content: [{ type: "text", text: "hi" }],
        finishReason: FINISH.finishReason,
        usage: USAGE,
        warnings: [],
      },
    });
    await generateText({
      model: metered(model, reserving, OPTIONS),
      prompt: "hello",
      instructions: "Be brief.",
    });
    assert.equal(model.doGenerateCalls[0]?.maxOutputTokens, 9);
    assert.deepEqual(told, [{ inputTokens: 30, cachedInputTokens: 20, outputTokens: 7 }]);
    assert.equal(wanted[0]?.outputTokens, 4096);
    assert.ok((wanted[0]?.inputTokens ?? 0) >= "helloBe brief.".length);
  });

  it("settles a stream at its end, once", async () => {
    const { reserving, told } = meter();
    const model = new MockLanguageModelV4({
      doStream: {
        stream: simulateReadableStream({
          chunks: [...text("a", "b"), { type: "text-end", id: "1" }, FINISH],
        }),
      },
    });
    const result = streamText({ model: metered(model, reserving, OPTIONS), prompt: "hello" });
    assert.equal(await result.text, "ab");
    assert.deepEqual(told, [{ inputTokens: 30, cachedInputTokens: 20, outputTokens: 7 }]);
  });

  it("counts the text of a stream whose listener hangs up", async () => {
    const { reserving, told } = meter();
    const gone = new AbortController();
    const model = new MockLanguageModelV4({
      doStream: async ({ abortSignal }) => ({
        stream: new ReadableStream({
          start(controller) {
            for (const part of text("four", "more")) controller.enqueue(part);
            abortSignal?.addEventListener("abort", () => controller.error(abortSignal.reason));
          },
        }),
      }),
    });
    const result = streamText({
      model: metered(model, reserving, OPTIONS),
      prompt: "hello",
      abortSignal: gone.signal,
      onError: () => undefined,
    });
    for await (const piece of result.textStream) if (piece === "more") gone.abort();
    assert.equal(told.length, 1);
    const [used] = told;
    assert.ok(used !== "released" && used !== undefined);
    assert.equal(used.outputTokens, 4, "two bytes a token");
    assert.ok(used.inputTokens > 0);
  });

  for (const [what, statusCode, ends] of [
    ["refuses", 429, "released"],
    ["cannot be reached", undefined, "released"],
    ["sends what cannot be read", 200, "counted"],
  ] as const) {
    it(`is ${ends} where the provider ${what}`, async () => {
      const { reserving, told } = meter();
      const model = new MockLanguageModelV4({
        doGenerate: async () => {
          const failure = { message: "no", url: "http://x", requestBodyValues: {}, isRetryable: false };
          throw new APICallError({ ...failure, ...(statusCode !== undefined && { statusCode }) });
        },
      });
      const wrapped = metered(model, reserving, OPTIONS);
      await assert.rejects(generateText({ model: wrapped, prompt: "hello", maxRetries: 0 }));
      assert.equal(told.length, 1);
      assert.equal(told[0] === "released" ? "released" : "counted", ends);
    });
  }

  it("does not ask a spent account again, as it does one that asks too often", async () => {
    for (const [code, calls] of [
      ["insufficient_quota", 1],
      ["rate_limit_exceeded", 2],
    ] as const) {
      const { reserving, told } = meter();
      const model = new MockLanguageModelV4({
        doGenerate: async () => {
          const responseBody = JSON.stringify({ error: { code, message: "no" } });
          const failure = { message: "no", url: "http://x", requestBodyValues: {}, statusCode: 429 };
          throw new APICallError({ ...failure, responseBody, responseHeaders: { "retry-after-ms": "1" } });
        },
      });
      const wrapped = metered(model, reserving, OPTIONS);
      await assert.rejects(generateText({ model: wrapped, prompt: "hello", maxRetries: 1 }));
      assert.equal(model.doGenerateCalls.length, calls, code);
      assert.deepEqual(told, Array(calls).fill("released"));
    }
  });

  it("reserves each step of a tool loop, and not without the meter's word", async () => {
    const { reserving, wanted } = meter();
    let step = 0;
    const model = new MockLanguageModelV4({
      doGenerate: async () => ({
        content: [{ type: "tool-call", toolCallId: `${step++}`, toolName: "none", input: "{}" }],
        finishReason: { unified: "tool-calls", raw: "tool_calls" },
        usage: USAGE,
        warnings: [],
      }),
    });
    const { isStepCount, jsonSchema, tool } = await import("ai");
    const none = tool({ inputSchema: jsonSchema({ type: "object" }), execute: async () => "nothing" });
    await generateText({
      model: metered(model, reserving, OPTIONS),
      prompt: "hello",
      tools: { none },
      stopWhen: isStepCount(3),
    });
    assert.equal(wanted.length, 3);
    assert.ok(
      (wanted[2]?.inputTokens ?? 0) > (wanted[0]?.inputTokens ?? 0),
      "results of tools are input too",
    );
    const refusing: Reserving = { reserve: () => Promise.reject(new Error("no")) };
    const refused = metered(model, refusing, OPTIONS);
    const calls = model.doGenerateCalls.length;
    await assert.rejects(generateText({ model: refused, prompt: "hello", maxRetries: 0 }));
    assert.equal(model.doGenerateCalls.length, calls);
  });

  it("counts bytes, of which no token is smaller", () => {
    const said = (content: string) =>
      mostInput({ prompt: [{ role: "user", content: [{ type: "text", text: content }] }] });
    assert.ok(said("é") > said("e"));
    assert.ok(said("x".repeat(1000)) >= 1000);
  });
});
