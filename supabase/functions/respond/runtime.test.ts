/** Answers of deployed agents: read as they come, from runtimes that break off, lie, or never end. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type AnswerContext, AttemptError } from "./answer.ts";
import { answerByRuntime } from "./runtime.ts";
import type { Settings } from "./settings.ts";
import type { Task } from "./task.ts";

let listener: RequestListener;
const runtime = createServer((request, response) => listener(request, response));
let port = 0;
beforeAll(async () => {
  await once(runtime.listen(0, "127.0.0.1"), "listening");
  port = (runtime.address() as AddressInfo).port;
});
afterAll(() => {
  runtime.closeAllConnections();
  runtime.close();
});

const taskAt = (url: string, more: Partial<Task> = {}): Task => ({
  jobId: "6f1c0e52-6f8e-4f6f-9d6a-0d1f7b7f3f10",
  leaseToken: "l",
  attempt: 1,
  turn: 1,
  userId: "u",
  conversationId: "c",
  agent: { id: "a", name: "Tester", framework: "openai", model: "m", settings: {} },
  messages: [{ id: "1", role: "user", content: "Hello" }],
  tools: [],
  knowledge: false,
  reservation: { id: "r", inputTokens: 1, outputTokens: 1 },
  url,
  ...more,
});

/** The processes cluster's names go one way, all others by fetch. */
const WAYS = { "a name of this machine": "ada.agents.localhost", "an address": "127.0.0.1" };

async function ask(
  host: string,
  { settings = {}, more = {} }: { settings?: object; more?: Partial<Task> } = {},
) {
  const said: string[] = [];
  const context: AnswerContext = {
    settings: { answerMs: 5_000, silenceMs: 5_000, respondSecret: "x".repeat(40), ...settings } as Settings,
    knowledge: [],
    database: {} as AnswerContext["database"],
    signal: new AbortController().signal,
    say: (text) => said.push(text),
    note: () => undefined,
    warn: () => undefined,
  };
  const answer = await answerByRuntime(taskAt(`http://${host}:${port}`, more), context).catch(
    (error: unknown) => {
      assert.ok(error instanceof AttemptError, String(error));
      return error.failure;
    },
  );
  return { said, answer };
}

const stream = (response: ServerResponse, ...events: [event: string, data: unknown][]) => {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  for (const [event, data] of events) response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  return response;
};
const DONE = { reply: "Hello there", model: "gpt-4o", usage: { inputTokens: 3, outputTokens: 2 } };

for (const [way, host] of Object.entries(WAYS)) {
  describe(`a deployed agent at ${way}`, () => {
    it("is heard delta by delta, before its answer is whole", async () => {
      let release: (() => void) | undefined;
      listener = (_, response) => {
        stream(response, ["delta", { text: "Hello " }], ["tool", { name: "x" }]);
        response.write(":\n\n");
        release = () => stream2(response);
      };
      const stream2 = (response: ServerResponse) => {
        response.write('event: delta\ndata: {"text":"the');
        response.write('re"}\n\n');
        response.end(`event: done\ndata: ${JSON.stringify(DONE)}\n\n`);
      };
      const said: string[] = [];
      const context = {
        knowledge: [],
        settings: { answerMs: 5_000, silenceMs: 5_000 },
        signal: new AbortController().signal,
        say: (text: string) => {
          said.push(text);
          if (said.length === 1) release?.(); // only once the first word was heard
        },
      } as unknown as AnswerContext;
      const answer = await answerByRuntime(taskAt(`http://${host}:${port}`), context);
      assert.deepEqual(said, ["Hello ", "there"]);
      assert.deepEqual(answer, {
        content: "Hello there",
        model: "gpt-4o",
        inputTokens: 3,
        outputTokens: 2,
        warnings: [],
        settled: [],
      });
    });

    it("gets the answer's id, its rules and which tools it has, without their secrets", async () => {
      let asked: Record<string, never> = {};
      listener = async (request, response) => {
        asked = (await json(request)) as typeof asked;
        stream(response, ["done", DONE]).end();
      };
      const tool = {
        id: "t",
        name: "x",
        description: "d",
        inputSchema: {},
        implementation: { type: "http" },
        configuration: {},
        secret: "hidden-secret",
      };
      const { said } = await ask(host, { more: { tools: [tool] } });
      assert.deepEqual(said, ["Hello there"], "what was not streamed is said at the end");
      const { answer } = asked as { answer?: { id: string; word: string; rules: string; tools: string } };
      assert.equal(answer?.id, taskAt("").jobId);
      assert.match(answer?.rules ?? "", new RegExp(`<tool-result-${answer?.word}>`));
      assert.match(answer?.tools ?? "", /^[\w-]{22}$/);
      assert.ok(!JSON.stringify(asked).includes("hidden-secret"));
    });

    const ODD: [string, RequestListener, string][] = [
      [
        "breaks off before the end",
        (_, r) => void stream(r, ["delta", { text: "Hel" }]).end(),
        "MODEL_BAD_RESPONSE",
      ],
      [
        "loses its connection",
        (_, r) => {
          stream(r, ["delta", { text: "Hel" }]);
          r.flushHeaders();
          setTimeout(() => r.destroy(), 20);
        },
        "MODEL_BAD_RESPONSE",
      ],
      [
        "ends with an error",
        (_, r) =>
          void stream(r, ["delta", { text: "x" }], ["error", { code: "MODEL_REFUSED", message: "no" }]).end(),
        "MODEL_REFUSED",
      ],
      ["says nothing", (_, r) => void stream(r, ["done", { reply: " " }]).end(), "MODEL_BAD_RESPONSE"],
      [
        "sends no words but numbers",
        (_, r) => void stream(r, ["delta", { text: 1 }], ["done", { reply: 7 }]).end(),
        "MODEL_BAD_RESPONSE",
      ],
      [
        "sends events that are no JSON",
        (_, r) => void stream(r).end("event: done\ndata: {\n\n"),
        "MODEL_BAD_RESPONSE",
      ],
      [
        "never stops talking",
        (_, r) => {
          stream(r);
          const timer = setInterval(
            () => r.write(`event: delta\ndata: {"text":"${"x".repeat(30_000)}"}\n\n`),
            1,
          );
          r.on("close", () => clearInterval(timer));
        },
        "MODEL_BAD_RESPONSE",
      ],
      [
        "sends a line without an end",
        (_, r) => {
          stream(r);
          const timer = setInterval(() => r.write("x".repeat(1_000_000)), 1);
          r.on("close", () => clearInterval(timer));
        },
        "MODEL_BAD_RESPONSE",
      ],
      [
        "is busy",
        (_, r) =>
          void r
            .writeHead(503, { "content-type": "application/json" })
            .end('{"error":{"code":"AGENT_BUSY","message":"busy"}}'),
        "AGENT_BUSY",
      ],
      [
        "answers with a page",
        (_, r) => void r.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad gateway</h1>"),
        "MODEL_UNAVAILABLE",
      ],
      [
        "sends an error of odd types",
        (_, r) => void stream(r, ["error", { code: 7, message: {}, details: "x" }]).end(),
        "MODEL_UNAVAILABLE",
      ],
    ];
    for (const [odd, serve, code] of ODD) {
      it(`that ${odd} is ${code}`, async () => {
        listener = serve;
        const { answer } = await ask(host);
        assert.equal((answer as { code?: string }).code, code, JSON.stringify(answer));
      });
    }

    it("that falls silent is given up", async () => {
      listener = (_, response) => void stream(response, ["delta", { text: "Hel" }]);
      const { answer } = await ask(host, { settings: { silenceMs: 200 } });
      assert.equal((answer as { code?: string }).code, "MODEL_TIMEOUT");
    });

    const HARD: [string, (r: ServerResponse) => void, object][] = [
      ["loses its connection", (r) => setTimeout(() => r.destroy(), 20), {}],
      ["breaks off", (r) => r.end(), {}],
      ["falls silent", () => undefined, { silenceMs: 1000 }],
      [
        "ends with an error",
        (r) => r.end('event: error\ndata: {"code":"MODEL_UNAVAILABLE","message":"x"}\n\n'),
        {},
      ],
    ];
    for (const [odd, end, settings] of HARD) {
      it(`that ${odd} after an action began → final, never repeated; before one → may be repeated`, async () => {
        for (const [status, final] of [
          ["started", "true"],
          ["refused", undefined],
        ]) {
          listener = (_, response) => end(stream(response, ["tool", { name: "PAY", status }]));
          const { answer } = await ask(host, { settings });
          const { details } = answer as { details?: Record<string, string> };
          assert.equal(details?.final, final, `${status}: ${JSON.stringify(answer)}`);
        }
      });
    }

    it("that is silent gives its reason, cut to 500 characters; beside a text it counts for nothing", async () => {
      const silent = async (done: object) => {
        listener = (_, response) => stream(response, ["done", { ...DONE, ...done }]).end();
        const { content, silence } = (await ask(host)).answer as { content: string; silence?: string };
        return [content, silence];
      };
      assert.deepEqual(await silent({ reply: "", silence: " Not now. " }), ["", "Not now."]);
      assert.deepEqual(await silent({ reply: " \n", silence: "x".repeat(600) }), ["", "x".repeat(500)]);
      assert.deepEqual(await silent({ silence: "Not now." }), ["Hello there", undefined]);
    });

    it("is told the sender's name where the person has one", async () => {
      const names: unknown[] = [];
      listener = async (request, response) => {
        names.push(((await json(request)) as { userName?: unknown }).userName);
        stream(response, ["done", DONE]).end();
      };
      await ask(host, { more: { userName: "Grace Hopper" } });
      await ask(host, { more: { userName: null } });
      assert.deepEqual(names, ["Grace Hopper", null]);
    });

    it("that answers as one JSON object is understood too", async () => {
      listener = (_, response) =>
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(DONE));
      const { answer, said } = await ask(host);
      assert.deepEqual([said, (answer as { content?: string }).content], [["Hello there"], "Hello there"]);
    });

    it("is not listened to after its last event", async () => {
      listener = (_, response) => {
        stream(response, ["done", DONE], ["delta", { text: " and more" }], ["done", { reply: "another" }]);
      };
      const { answer, said } = await ask(host);
      assert.deepEqual([said, (answer as { content?: string }).content], [["Hello there"], "Hello there"]);
    });
  });
}
