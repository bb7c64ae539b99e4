// An answer of a real elizaOS agent is whole or an error: cut at every byte, broken off, filtered, by each provider's own plugin. And
// what a trace says of a model that fails.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  type Answer,
  type Answering,
  type Asked,
  type Provider,
  type ProviderStub,
  startProviderStub,
} from "../../../../../tests/helpers/providers.ts";
import { SAID } from "../../../../../tests/helpers/recorded-answers.ts";
import { type RunningAgent, startAgent } from "../../testing/agent.ts";
import { skipEliza as skip } from "../../testing/eliza.ts";
import { installPlugin, type TestPlugin } from "../../testing/plugin.ts";
import { endOfAnswer } from "./endings.ts";

/** Asks the model once for each length of the message, some at a time, and says what each came to. */
const ASKER = `
const ask = async (runtime, prompt, stream) => {
  try {
    const said = await runtime.useModel("TEXT_LARGE", { prompt, ...(stream && { stream, onStreamChunk: async () => {} }) });
    return String(said);
  } catch (error) { return "failed: " + (error.code ?? error); }
};
export default { name: "asker", actions: [{
  name: "ASK_ALL", description: "asks", similes: [], examples: [], validate: async () => true,
  handler: async (runtime, message, state, options, callback) => {
    const { lengths, stream, breaks } = JSON.parse(message.content.text);
    const outcomes = []; let next = 0;
    const walk = async () => {
      for (let at = next++; at < lengths.length; at = next++) {
        outcomes[at] = await ask(runtime, "cut " + (breaks ? "b" : "") + lengths[at], stream);
      }
    };
    await Promise.all(Array.from({ length: 16 }, walk));
    await callback({ text: JSON.stringify(outcomes) });
    return { success: true };
  },
}] };`;

const form = (actions: string, text = "") =>
  `<response><thought>so be it</thought><actions>${actions}</actions><providers></providers><text>${text}</text></response>`;

const MODELS: Record<Provider, string> = {
  openai: "gpt-4o",
  anthropic: "claude-sonnet-4-5",
  google: "gemini-2.5-flash",
};
/** The same call, as each provider's plugin makes it. */
const isAnswer = ({ path }: Asked) => !path.endsWith("/embeddings");
const lastOf = ({ messages }: Asked) => messages.at(-1)?.text ?? "";

async function record(asked: Pick<Asked, "path">, stream: boolean): Promise<Buffer> {
  await using stub = await startProviderStub(() => SAID);
  const body = JSON.stringify({ model: "m", stream, input: "Hello", messages: [], contents: [] });
  const response = await fetch(`${stub.url}${asked.path}`, { method: "POST", body });
  return Buffer.from(await response.arrayBuffer());
}

/** Where each provider says how its answer ended, in JSON; and what stands there otherwise. */
const ENDS: Record<Provider, { whole: string; filtered: string; odd: string; length: string }> = {
  openai: {
    whole: '"status":"completed","error":null,"incomplete_details":null',
    filtered: '"status":"incomplete","error":null,"incomplete_details":{"reason":"content_filter"}',
    odd: '"status":"cancelled","error":null,"incomplete_details":null',
    length: '"status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"}',
  },
  anthropic: {
    whole: '"stop_reason":"end_turn"',
    filtered: '"stop_reason":"refusal"',
    odd: '"stop_reason":"unheard_of"',
    length: '"stop_reason":"max_tokens"',
  },
  google: {
    whole: '"finishReason":"STOP"',
    filtered: '"finishReason":"SAFETY"',
    odd: '"finishReason":"OTHER"',
    length: '"finishReason":"MAX_TOKENS"',
  },
};

const LIMIT = { timeout: 90_000 };

let plugin: TestPlugin;
beforeAll(() => {
  if (!skip) plugin = installPlugin("asker", ASKER);
});
afterAll(() => plugin?.[Symbol.dispose]());

for (const provider of Object.keys(MODELS) as Provider[]) {
  describe(`an elizaOS agent on ${provider}`, { skip: Boolean(skip) }, () => {
    let stub: ProviderStub;
    let agent: RunningAgent;
    /** Of everything but a cut. */
    let answer: Answering = () => form("ASK_ALL");
    let recordings: Record<"json" | "stream", Buffer>;
    beforeAll(async () => {
      stub = await startProviderStub((asked): Answer | Promise<Answer> => {
        const [, breaks, length] = /^cut (b?)(\d+)$/.exec(lastOf(asked)) ?? [];
        if (length === undefined) return answer(asked);
        const streams = asked.body.stream === true;
        const raw = recordings[streams ? "stream" : "json"].subarray(0, Number(length));
        return breaks ? { raw, breaks: true } : { raw };
      });
      agent = await startAgent({
        config: {
          plugins: [plugin.name],
          character: { name: "Ada" },
          framework: provider,
          model: MODELS[provider],
        },
        environment: stub.environment,
      });
      const path = await pathOf("TEXT");
      recordings = { json: await record({ path }, false), stream: await record({ path }, true) };
    });
    afterAll(async () => {
      await agent?.[Symbol.asyncDispose]();
      await stub?.close();
    });

    /** Answers once, and says where the plugin asks. */
    async function pathOf(text: string): Promise<string> {
      answer = () => form("REPLY", text);
      assert.equal((await agent.say({ text: "Hello" })).body.reply, text);
      answer = () => form("ASK_ALL");
      return stub.requests.findLast(isAnswer)?.path ?? "";
    }

    /** What each cut came to: every length; of connections that break only some, since the AI SDK asks again after seconds. */
    async function outcomesOf(
      recording: Buffer,
      stream: boolean,
      breaks: boolean,
    ): Promise<[number, string][]> {
      const step = breaks ? recording.length / 16 : 1;
      const count = breaks ? 16 : recording.length;
      const lengths = Array.from({ length: count }, (_, at) => Math.floor((at + 1) * step));
      const { status, body } = await agent.say({ text: JSON.stringify({ lengths, stream, breaks }) });
      assert.equal(status, 200, JSON.stringify(body));
      const outcomes = JSON.parse(String(body.reply)) as string[];
      return lengths.map((length, at) => [length, outcomes[at] ?? ""]);
    }

    it("has whole answers or errors, wherever they are cut", LIMIT, async () => {
      for (const breaks of [false, true]) {
        for (const [length, outcome] of await outcomesOf(recordings.json, false, breaks)) {
          if (length === recordings.json.length && !breaks) assert.equal(outcome, SAID);
          else assert.match(outcome, /^failed: /, `cut at ${length}, ${breaks}`);
        }
      }
    });

    // Only OpenAI's plugin streams.
    if (provider === "openai")
      it("has whole streams or errors, wherever they are cut", {
        ...LIMIT,
        skip: provider !== "openai",
      }, async () => {
        const end = recordings.stream.indexOf('"response.completed"');
        assert.ok(end > 0);
        for (const breaks of [false, true]) {
          for (const [length, outcome] of await outcomesOf(recordings.stream, true, breaks)) {
            if (length === recordings.stream.length && !breaks) assert.equal(outcome, SAID);
            else if (length <= end || outcome !== SAID)
              assert.match(outcome, /^failed: /, `cut at ${length}, ${breaks}`);
          }
        }
      });

    it("answers with no text that its provider filtered, broke off or never wrote", LIMIT, async () => {
      const path = stub.requests.findLast(isAnswer)?.path ?? "";
      const text = form("REPLY", SAID).replaceAll('"', '\\"');
      const ends = ENDS[provider];
      const whole = (await record({ path }, false)).toString();
      assert.ok(whole.includes(ends.whole), whole);
      for (const [end, said, code] of [
        [ends.filtered, text, "MODEL_REFUSED"],
        [ends.odd, text, "MODEL_BAD_RESPONSE"],
        [ends.length, "", "MODEL_BAD_RESPONSE"],
      ] as const) {
        answer = () => ({ raw: whole.replace(SAID, said).replace(ends.whole, end) });
        const before = stub.requests.length;
        const { body } = await agent.say({ text: "Hello" });
        const error = body.error as { code: string; details?: Record<string, string> } | undefined;
        assert.equal(error?.code, code, `${end}: ${JSON.stringify(body)}`);
        if (said !== "") continue;
        assert.equal(error?.details?.final, "true", "the same call would end the same way");
        assert.equal(stub.requests.length - before, 1);
      }
      answer = () => form("REPLY", SAID);
      assert.equal((await agent.say({ text: "Hello" })).body.reply, SAID);
    });

    it("says in its trace why a model failed, in the codes of the model engine", LIMIT, async () => {
      const failures: [Answer, string][] = [
        [{ status: 401 }, "MODEL_AUTHENTICATION_FAILED"],
        [{ status: 404 }, "MODEL_NOT_FOUND"],
        [{ status: 400 }, "MODEL_REQUEST_REJECTED"],
        [{ status: 402 }, "MODEL_QUOTA_EXHAUSTED"],
        [{ status: 429, headers: { "retry-after-ms": "1" } }, "MODEL_RATE_LIMITED"],
        [{ status: 503, headers: { "retry-after-ms": "1" } }, "MODEL_UNAVAILABLE"],
        [{ raw: "<html>" }, "MODEL_BAD_RESPONSE"],
      ];
      for (const [failure, code] of failures) {
        answer = () => failure;
        const failed = () => agent.project.steps().filter(({ status }) => status === "error");
        const known = failed().length;
        const { body } = await agent.say({ text: "Hello" });
        assert.equal((body.error as { code: string }).code, code);
        while (failed().length === known) await new Promise(setImmediate);
        assert.deepEqual(
          failed()
            .slice(known)
            .map(({ kind, error }) => [kind, error?.code]),
          [["model", code]],
        );
      }
      answer = () => form("REPLY", SAID);
    });
  });
}

it("an end is read from each provider's form, and from no other", () => {
  const reads = (body: unknown) => endOfAnswer(body)?.finishReason;
  assert.equal(reads({ choices: [{ finish_reason: "length" }] }), "length");
  assert.equal(reads({ choices: [{ finish_reason: "error" }] }), "other");
  assert.equal(reads({ choices: [{ finish_reason: null }] }), undefined);
  assert.equal(reads({ choices: [] }), undefined);
  assert.equal(reads({ promptFeedback: { blockReason: "OTHER" } }), "content-filter");
  assert.equal(reads({ object: "response", status: "failed", incomplete_details: null }), "other");
  assert.equal(reads({ status: "completed" }), undefined);
  for (const body of [null, 7, "x", [], {}, { candidates: null }]) assert.equal(reads(body), undefined);
});
