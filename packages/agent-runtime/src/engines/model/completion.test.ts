// Answers that break off: cut at every byte, filtered, failed, used up by thinking; and turns whose tools have acted.
import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { type Provider, startProviderStub } from "../../../../../tests/helpers/providers.ts";
import {
  atEveryByte,
  cutStub,
  ENDINGS,
  recordAnswer,
  SAID,
} from "../../../../../tests/helpers/recorded-answers.ts";
import type { Config } from "../../config.ts";
import { AgentError } from "../../errors.ts";
import { createLog } from "../../log.ts";
import type { Meter, Reserving } from "../../meter.ts";
import { createPluginStates } from "../../plugin-states.ts";
import { noAbilities } from "../../testing/abilities.ts";
import type { Engine, Listener } from "../engine.ts";
import { afterActing, isFinal, requireWhole } from "./completion.ts";
import { startModelEngine } from "./engine.ts";

const PROVIDERS: Provider[] = ["openai", "anthropic", "google"];
const PATHS = { openai: "/openai/v1", anthropic: "/anthropic/v1", google: "/google/v1beta" };
const unmetered: Reserving = {
  reserve: async ({ outputTokens }) => ({ outputTokens, settle: () => undefined, release: () => undefined }),
};

const engineFor = (framework: Provider, url: string, settings = {}): Promise<Engine> =>
  startModelEngine(
    {
      agentId: "a",
      name: "Tester",
      framework,
      model: "m",
      provider: { apiKey: "k", baseUrl: `${url}${PATHS[framework]}`, keyVariable: "KEY" },
      openaiApi: "chat",
      plugins: [],
      builtInPlugins: [],
      environment: {},
      settings,
      secrets: [],
      modelRetries: 0,
    } as unknown as Config,
    createLog({ write: () => undefined }),
    unmetered as Meter,
    noAbilities,
    createPluginStates(),
  );

const deaf: Listener = { delta: () => undefined, tool: () => undefined };
async function say(
  engine: Engine,
  text: string,
  listener: Listener | undefined,
  caller = "public",
): Promise<string> {
  const message = { text, conversationId: text, caller, userId: undefined, history: [] };
  return (await engine.reply(message, AbortSignal.timeout(20_000), listener)).text;
}

for (const provider of PROVIDERS) {
  for (const streams of [true, false]) {
    describe(`an answer of ${provider}, ${streams ? "streamed" : "as JSON"}`, () => {
      const listener = streams ? deaf : undefined;

      it("is whole or an error, wherever it is cut", async () => {
        const recording = await recordAnswer(provider, streams);
        await using stub = await cutStub(recording);
        const engine = await engineFor(provider, stub.url);
        const outcomes = await atEveryByte(recording, (length) => say(engine, length, listener));
        const end = recording.indexOf(ENDINGS[provider].whole);
        assert.ok(end > 0);
        assert.equal(outcomes[recording.length], SAID);
        for (const [length, outcome] of outcomes.entries()) {
          if (length === 0 || (length > end && outcome === SAID)) continue;
          assert.equal(outcome, "MODEL_BAD_RESPONSE", `cut at ${length} of ${recording.length}`);
        }
      });

      for (const [ending, code] of [
        ["filtered", "MODEL_REFUSED"],
        ["odd", "MODEL_BAD_RESPONSE"],
      ] as const) {
        it(`that ends ${ending} after a text is an error`, async () => {
          const { whole, [ending]: other } = ENDINGS[provider];
          const recording = (await recordAnswer(provider, streams)).toString().replace(whole, other);
          await using stub = await startProviderStub(() => ({ raw: recording }));
          const engine = await engineFor(provider, stub.url);
          await assert.rejects(say(engine, "Hello", listener), { code });
        });
      }
    });
  }
}

describe("an answer that is not tried again", () => {
  const judge = (text: string, finishReason: string, raw: string | undefined) => {
    try {
      requireWhole({ text, finishReason, rawFinishReason: raw }, "openai", 4096);
    } catch (error) {
      return error as AgentError;
    }
    return undefined;
  };

  it("used up max_tokens without a text, and says so", () => {
    const error = judge("", "length", "length");
    assert.ok(error !== undefined && isFinal(error));
    assert.match(error.message, /max_tokens \(4096\).+set a larger max_tokens/);
  });

  it("was still calling tools at its last step, whatever it said before", () => {
    const error = judge("Let me look.", "tool-calls", "tool_calls");
    assert.ok(error !== undefined && isFinal(error));
  });

  it("had tools that acted, whatever failed", () => {
    const failure = new AgentError("MODEL_UNAVAILABLE", "openai is failing (503).");
    assert.ok(!isFinal(failure));
    const error = afterActing(failure);
    assert.ok(isFinal(error));
    assert.equal(error.code, "MODEL_UNAVAILABLE");
    assert.match(error.message, /had acted/);
  });

  it("is none of those that broke off or were cut by max_tokens after a text", () => {
    const broken = judge("Half", "other", undefined);
    assert.ok(broken !== undefined && !isFinal(broken));
    assert.equal(judge("As long as it may be", "length", "length"), undefined);
  });
});

/** The parts of the providers' requests that are looked at. */
interface Sampling {
  readonly top_p?: number;
  readonly temperature?: number;
  readonly generationConfig?: { readonly topP?: number; readonly temperature?: number };
}

for (const provider of PROVIDERS) {
  it(`the top_p that a user set reaches ${provider}, without a temperature beside it`, async () => {
    await using stub = await startProviderStub();
    await say(await engineFor(provider, stub.url, { top_p: 0.2 }), "Hello", undefined);
    const body = stub.requests[0]?.body as Sampling | undefined;
    const { generationConfig } = body ?? {};
    assert.equal(generationConfig?.topP ?? body?.top_p, 0.2);
    assert.equal(generationConfig?.temperature ?? body?.temperature, undefined);
  });
}

for (const [caller, who, told] of [
  [
    "platform",
    "the owner",
    /rejected the request \(400\)\. It says: .*'stop' is not supported by \[secret\]/,
  ],
  ["public", "nobody else", /rejected the request \(400\)\.$/],
] as const) {
  it(`${who} is told the provider's own words about a refused request, without its keys`, async () => {
    const message = "'stop' is not supported by sk-proj-0123456789abcdef";
    await using stub = await startProviderStub(() => ({ status: 400, message }));
    const engine = await engineFor("openai", stub.url);
    await assert.rejects(say(engine, "Hello", undefined, caller), { message: told });
  });
}
