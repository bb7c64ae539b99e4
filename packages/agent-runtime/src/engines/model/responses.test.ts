// Models that think and call tools on OpenAI's responses API alone: which API a call goes by, and what it carries there.
import assert from "node:assert/strict";
import { isStepCount, jsonSchema, streamText, tool } from "ai";
import { describe, it } from "vitest";
import { type Answering, startProviderStub } from "../../../../../tests/helpers/providers.ts";
import type { ModelSettings } from "../../config.ts";
import type { Reserving } from "../../meter.ts";
import { fromSdkWarnings, type ModelFacts } from "./facts.ts";
import { metered } from "./metered.ts";
import { createLanguageModel, type ModelAccess } from "./providers.ts";

const LUNA: ModelFacts = { takes: ["temperature", "top_p"], thinks: "unless_sampled", api: "responses" };

/** Calls the tool, then says what it returned. */
const useTool: Answering = ({ body }) =>
  JSON.stringify(body).includes("sunny")
    ? { pieces: ["It is ", "sunny."] }
    : { pieces: [], toolCalls: [{ name: "weather", arguments: { city: "Oslo" } }] };

/** Answers at the server of this address; undefined: at OpenAI's own, for which the stub stands. */
async function answer(
  settings: ModelSettings,
  facts: ModelFacts,
  openaiApi: ModelAccess["openaiApi"] = "auto",
  address?: string,
) {
  await using stub = await startProviderStub(useTool);
  using _ = redirect(address ?? "https://api.openai.com/v1", stub.environment.OPENAI_BASE_URL ?? "");
  const provider = { apiKey: "k", baseUrl: address, keyVariable: "OPENAI_API_KEY" };
  const reserving: Reserving = {
    reserve: async ({ outputTokens }) => ({
      outputTokens,
      facts,
      settle: () => undefined,
      release: () => undefined,
    }),
  };
  const access = { framework: "openai" as const, openaiApi, provider };
  const model = await createLanguageModel(access, "gpt-6-luna");
  const inputSchema = jsonSchema<{ city: string }>({
    type: "object",
    properties: { city: { type: "string" } },
  });
  const weather = tool({ description: "Weather", inputSchema, execute: async () => "sunny" });
  const result = streamText({
    model: metered(model, reserving, { name: "gpt-6-luna", framework: "openai", settings }),
    prompt: "How is the weather in Oslo?",
    tools: { weather },
    stopWhen: isStepCount(4),
  });
  const text = await result.text;
  const warnings = fromSdkWarnings((await result.warnings) ?? []);
  return {
    text,
    warnings,
    asked: stub.requests.map(({ path, body }) => ({ path: path.split("/v1")[1], body })),
  };
}

/** Sends calls of the process's fetch that go below one address to another. */
function redirect(from: string, to: string): Disposable {
  const { fetch: plain } = globalThis;
  globalThis.fetch = (input, init) => {
    assert.ok(String(input).startsWith(`${from}/`), String(input));
    return plain(String(input).replace(from, to), init);
  };
  return {
    [Symbol.dispose]() {
      globalThis.fetch = plain;
    },
  };
}

describe("a model of the responses API", () => {
  it("calls its tool and thinks on, and OpenAI is told to keep nothing", async () => {
    const { text, asked } = await answer({}, LUNA);
    assert.equal(text, "It is sunny.");
    assert.deepEqual(
      asked.map(({ path }) => path),
      ["/responses", "/responses"],
    );
    for (const { body } of asked) {
      assert.equal(body.store, false);
      assert.deepEqual(body.include, ["reasoning.encrypted_content"], "so that it thinks on after a tool");
      assert.deepEqual([body.temperature, body.reasoning], [undefined, undefined]);
      assert.equal((body.tools as unknown[]).length, 1);
    }
  });

  it("is asked not to think where its owner set a temperature, which counts only then", async () => {
    const { asked } = await answer({ temperature: 0.3 }, LUNA);
    for (const { body } of asked) {
      assert.equal(body.temperature, 0.3);
      assert.deepEqual(body.reasoning, { effort: "none" });
    }
  });

  it("is called as OPENAI_API says where an operator set it", async () => {
    const { text, asked } = await answer({}, LUNA, "chat");
    assert.deepEqual([text, asked[0]?.path], ["It is sunny.", "/chat/completions"]);
  });

  const cases: [address: string, openaiApi: ModelAccess["openaiApi"], path: string][] = [
    ["http://127.0.0.1:11434/v1", "auto", "/chat/completions"],
    ["https://openrouter.ai/api/v1", "auto", "/chat/completions"],
    ["https://api.openai.com.example/v1", "auto", "/chat/completions"],
    ["https://eu.api.openai.com/v1", "auto", "/responses"],
    ["https://ours.openai.azure.com/openai/v1", "auto", "/responses"],
    ["http://127.0.0.1:4000/v1", "catalogue", "/responses"],
    ["http://127.0.0.1:4000/v1", "responses", "/responses"],
  ];
  for (const [address, openaiApi, path] of cases) {
    it(`is called at ${path} of ${address} with OPENAI_API=${openaiApi}`, async () => {
      const { text, asked } = await answer({}, LUNA, openaiApi, address);
      assert.deepEqual([text, asked[0]?.path], ["It is sunny.", path]);
    });
  }
});

it("a model of which the catalogue knows nothing goes by chat completions", async () => {
  const { asked } = await answer({}, {});
  assert.equal(asked[0]?.path, "/chat/completions");
});

it("a model that cannot call tools is offered none, and that is a warning", async () => {
  const { asked, warnings } = await answer({}, { callsTools: false });
  assert.equal(asked[0]?.body.tools, undefined);
  assert.deepEqual(warnings, [{ field: "tools", message: "Left out: gpt-6-luna cannot call tools" }]);
});
