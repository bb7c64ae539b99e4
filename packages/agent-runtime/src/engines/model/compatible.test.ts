// Answers as servers send them that speak OpenAI's form: Ollama, OpenRouter, vLLM, Azure, LiteLLM, llama.cpp. Each by its form.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, it } from "vitest";
import type { Config } from "../../config.ts";
import { createLog } from "../../log.ts";
import type { Meter, Refusal } from "../../meter.ts";
import { createPluginStates } from "../../plugin-states.ts";
import { noAbilities } from "../../testing/abilities.ts";
import type { Listener } from "../engine.ts";
import { startModelEngine } from "./engine.ts";

interface Sent {
  readonly type?: string;
  readonly status?: number;
  readonly body: string;
}

const event = (data: object) => `data: ${JSON.stringify(data)}\n\n`;
const HEAD = { id: "x", object: "chat.completion.chunk", created: 1, model: "m" };
const chunk = (delta: unknown, finish: string | null = null, more: object = {}) =>
  event({ ...HEAD, choices: [{ index: 0, delta, finish_reason: finish }], ...more });
const stream = (...events: string[]): Sent => ({ body: events.join("") });
const json = (body: unknown, status = 200): Sent => ({
  status,
  type: "application/json; charset=utf-8",
  body: JSON.stringify(body),
});
const DONE = "data: [DONE]\n\n";
const END = chunk({}, "stop") + DONE;
const HI = chunk({ role: "assistant", content: "Hi" });

let sent: Sent;
const server = createServer((_request, response) => {
  const { type = "text/event-stream", status = 200, body } = sent;
  response.writeHead(status, { "content-type": type }).end(body);
});
let url: string;
beforeAll(async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
});
afterAll(() => server.close());

const deaf: Listener = { delta: () => undefined, tool: () => undefined };
const SECRET = "sk-proj-0123456789abcdef";

/** The result of one streamed answer, and the refusal as the owner reads it. */
async function ask(form: Sent, listener: Listener | undefined = deaf) {
  sent = form;
  const refused: Refusal[] = [];
  const keep = (refusal?: Refusal) => void (refusal && refused.push(refusal));
  const meter = {
    reserve: async ({ outputTokens }: { outputTokens: number }) => ({
      outputTokens,
      settle: (_used: unknown, refusal?: Refusal) => keep(refusal),
      release: keep,
    }),
  };
  const config = {
    agentId: "a",
    name: "Tester",
    framework: "openai",
    model: "m",
    provider: { apiKey: SECRET, baseUrl: url, keyVariable: "OPENAI_API_KEY" },
    openaiApi: "auto",
    plugins: [],
    builtInPlugins: [],
    environment: {},
    settings: {},
    secrets: [],
    modelRetries: 0,
  };
  const log = createLog({ write: () => undefined });
  const engine = await startModelEngine(
    config as unknown as Config,
    log,
    meter as unknown as Meter,
    noAbilities,
    createPluginStates(),
  );
  const message = { text: "x", conversationId: "c", caller: "platform", userId: undefined, history: [] };
  const reply = engine.reply(message, AbortSignal.timeout(10_000), listener);
  const outcome = await reply.then(
    ({ text, usage }) => ({ text, usage }),
    ({ code, message }) => ({ code, message }),
  );
  return { ...outcome, refused } as {
    text?: string;
    usage?: object;
    code?: string;
    message?: string;
    refused: Refusal[];
  };
}

const whole = {
  id: "x",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, message: { role: "assistant", content: "Hi" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
};

describe("a whole answer", () => {
  const forms: Record<string, Sent> = {
    "with comments that keep the connection alive (OpenRouter)": stream(
      ": OPENROUTER PROCESSING\n\n",
      HI,
      ": keep-alive\n\n",
      END,
    ),
    "without [DONE]": stream(HI, chunk({}, "stop")),
    "after a chunk without choices (Azure)": stream(
      event({ id: "", object: "", created: 0, model: "", choices: [], prompt_filter_results: [] }),
      HI,
      END,
    ),
    "with null deltas and null contents": stream(
      chunk(null),
      chunk({ content: null }),
      HI,
      chunk(null, "stop"),
      DONE,
    ),
    "with choices that have no delta": stream(
      event({ choices: [{ index: 0 }] }),
      HI,
      event({ choices: [{ index: 0, finish_reason: "stop" }] }),
      DONE,
    ),
    "with thoughts in reasoning_content (vLLM) and reasoning (Ollama)": stream(
      chunk({ reasoning_content: "Hm.", content: null }),
      chunk({ reasoning: "Hm.", content: "" }),
      HI,
      END,
    ),
    "with a null usage until the end": stream(
      chunk({ content: "Hi" }, null, { usage: null }),
      chunk({}, "stop", { usage: whole.usage }),
      DONE,
    ),
    "with a usage in a chunk of its own": stream(
      HI,
      chunk({}, "stop"),
      event({ ...HEAD, choices: [], usage: whole.usage }),
      DONE,
    ),
    "with CRLF, and no space after data:": stream(
      (HI + END).replaceAll("\n", "\r\n").replaceAll("data: ", "data:"),
    ),
    "as one JSON document where a stream was asked for": json(whole),
  };
  for (const [form, sends] of Object.entries(forms)) {
    it(`${form} is taken`, async () => {
      const { text, refused } = await ask(sends);
      assert.deepEqual([text, refused], ["Hi", []]);
    });
  }

  it("as one JSON document keeps its usage", async () => {
    assert.deepEqual((await ask(json(whole))).usage, { inputTokens: 3, outputTokens: 2 });
  });
});

describe("an answer that is none", () => {
  const forms: Record<string, [Sent, code: string, words: RegExp, lasting: boolean]> = {
    "an error first in a stream under the status 200": [
      stream(event({ error: { message: "Insufficient credits", code: 402 } }), DONE),
      "MODEL_QUOTA_EXHAUSTED",
      /\(402\)\. It says: Insufficient credits$/,
      true,
    ],
    "an error after some text (vLLM)": [
      stream(HI, event({ error: { message: "too long", type: "BadRequestError", code: 400 } }), DONE),
      "MODEL_REQUEST_REJECTED",
      /\(400\)\. It says: too long$/,
      true,
    ],
    "finish_reason error beside an error (OpenRouter)": [
      stream(
        HI,
        event({
          ...HEAD,
          error: { message: "upstream", code: 502 },
          choices: [{ index: 0, delta: {}, finish_reason: "error" }],
        }),
        DONE,
      ),
      "MODEL_BAD_RESPONSE",
      /broke off/,
      false,
    ],
    "an error as JSON under the status 200": [
      json({ error: { message: "no such model: m", code: 404 } }),
      "MODEL_NOT_FOUND",
      /It says: no such model: m$/,
      true,
    ],
    "a web page": [
      { type: "text/html", body: "<html>Sign in</html>" },
      "MODEL_NOT_FOUND",
      /web page; set OPENAI_BASE_URL to the address of its API\. It was requested at http:\/\/127\.0\.0\.1:\d+\/\S+\.$/,
      true,
    ],
    "an error that is a text (Ollama)": [
      json({ error: "model 'm' not found, try pulling it first" }, 404),
      "MODEL_NOT_FOUND",
      /model \(404\)\. Model m was requested at http:\/\/127\.0\.0\.1:\d+\/(v1\/)?chat\/completions\. It says: model 'm' not found, try pulling it first$/,
      true,
    ],
    "an error of FastAPI (vLLM)": [
      json({ detail: [{ loc: ["body", "stop"], msg: "bad stop" }] }, 422),
      "MODEL_REQUEST_REJECTED",
      /bad stop/,
      true,
    ],
    "an error that is plain text": [
      { status: 400, type: "text/plain", body: "stop is not allowed" },
      "MODEL_REQUEST_REJECTED",
      /It says: stop is not allowed$/,
      true,
    ],
    "a page of a proxy": [
      { status: 502, type: "text/html", body: "<html>Bad Gateway</html>" },
      "MODEL_UNAVAILABLE",
      /failing \(502\)\.$/,
      false,
    ],
    "an unknown key": [
      json(
        { error: { message: `Incorrect API key provided: ${SECRET}.`, type: "invalid_request_error" } },
        401,
      ),
      "MODEL_AUTHENTICATION_FAILED",
      /It says: Incorrect API key provided: \[secret\]\.$/,
      true,
    ],
    "a quota that is used up": [
      json({ error: { message: "You exceeded your current quota.", code: "insufficient_quota" } }, 429),
      "MODEL_QUOTA_EXHAUSTED",
      /nothing left to spend \(429\)\. It says: You exceeded your current quota\.$/,
      true,
    ],
    "too many requests for now": [
      json({ error: { message: "Slow down.", code: "rate_limit_exceeded" } }, 429),
      "MODEL_RATE_LIMITED",
      /It says: Slow down\.$/,
      false,
    ],
    "a payment that is required": [
      json({ error: { message: "Insufficient credits. Add more.", code: 402 } }, 402),
      "MODEL_QUOTA_EXHAUSTED",
      /nothing left to spend \(402\)\. It says: Insufficient credits\. Add more\.$/,
      true,
    ],
  };
  for (const [form, [sends, code, words, lasting]] of Object.entries(forms)) {
    it(`(${form}) is an error with the server's own words`, async () => {
      const outcome = await ask(sends);
      assert.equal(outcome.code, code);
      assert.match(outcome.message ?? "", words);
      assert.deepEqual(
        outcome.refused,
        lasting ? [{ code, message: outcome.message }] : [],
        "what stays until a person acts is told to the owner",
      );
    });
  }
});
