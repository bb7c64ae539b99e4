// Answers of agents that are not deployed: cut at every byte, used up by thinking, failed after a tool acted.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "vitest";
import type { Step } from "../../../packages/agent-runtime/src/abilities/steps.ts";
import { isFinal } from "../../../packages/agent-runtime/src/engines/model/completion.ts";
import { startMcpServer } from "../../../tests/helpers/mcp-server.ts";
import { type Answering, type Provider, startProviderStub } from "../../../tests/helpers/providers.ts";
import {
  atEveryByte,
  cutStub,
  ENDINGS,
  recordAnswer,
  SAID,
} from "../../../tests/helpers/recorded-answers.ts";
import { type AnswerContext, AttemptError, answerByModel } from "./answer.ts";
import { answerByRuntime } from "./runtime.ts";
import type { Settings } from "./settings.ts";
import type { Task } from "./task.ts";

const PATHS = { openai: "/openai/v1", anthropic: "/anthropic/v1", google: "/google/v1beta" };

const taskOf = (framework: Provider, content: string, tools: Task["tools"] = []): Task => ({
  jobId: "j",
  leaseToken: "l",
  attempt: 1,
  turn: 1,
  userId: "u",
  conversationId: "c",
  agent: { id: "a", name: "Tester", framework, model: "m", settings: {} },
  messages: [{ id: "1", role: "user", content }],
  tools,
  knowledge: false,
  reservation: { id: "r", inputTokens: 100_000, outputTokens: 4096 },
});

function contextOf(url: string, mayAct = async () => true): AnswerContext {
  const provider = (framework: Provider) => ({
    apiKey: "k",
    baseUrl: `${url}${PATHS[framework]}`,
    keyVariable: "KEY",
  });
  const settings = {
    restUrl: url,
    secretKey: "s",
    respondSecret: "x".repeat(40),
    answerMs: 20_000,
    silenceMs: 20_000,
    toolMs: 5_000,
    privateHosts: [new URL(url).host],
    openaiApi: "chat",
    providers: { openai: provider("openai"), anthropic: provider("anthropic"), google: provider("google") },
  } as unknown as Settings;
  const reserve = { id: "r2", inputTokens: 100_000, outputTokens: 4096 };
  const database = { project: { call: async () => reserve, close: () => undefined }, mayAct };
  return {
    settings,
    knowledge: [],
    database: database as unknown as AnswerContext["database"],
    signal: new AbortController().signal,
    say: () => undefined,
    note: () => undefined,
    warn: () => undefined,
  };
}

const ask = async (task: Task, url: string) => (await answerByModel(task, contextOf(url))).content;
const failing = async (task: Task, url: string, mayAct?: () => Promise<boolean>) => {
  const error = await answerByModel(task, contextOf(url, mayAct)).then(
    ({ content }) => assert.fail(`answered ${content}`),
    (thrown) => thrown,
  );
  assert.ok(error instanceof AttemptError, String(error));
  return error.failure;
};

for (const provider of ["openai", "anthropic", "google"] as const) {
  describe(`an answer of ${provider}`, () => {
    it("is whole or an error that is tried again, wherever it is cut", async () => {
      const recording = await recordAnswer(provider, true);
      await using stub = await cutStub(recording);
      const outcomes = await atEveryByte(recording, (length) =>
        ask(taskOf(provider, length), stub.url).catch(({ failure }) => `${failure.code} ${isFinal(failure)}`),
      );
      const end = recording.indexOf(ENDINGS[provider].whole);
      assert.equal(outcomes[recording.length], SAID);
      for (const [length, outcome] of outcomes.entries()) {
        if (length === 0 || (length > end && outcome === SAID)) continue;
        assert.equal(outcome, "MODEL_BAD_RESPONSE false", `cut at ${length} of ${recording.length}`);
      }
    });

    for (const [ending, code] of [
      ["filtered", "MODEL_REFUSED"],
      ["odd", "MODEL_BAD_RESPONSE"],
    ] as const) {
      it(`that ends ${ending} after a text is an error`, async () => {
        const { whole, [ending]: other } = ENDINGS[provider];
        const raw = (await recordAnswer(provider, true)).toString().replace(whole, other);
        await using stub = await startProviderStub(() => ({ raw }));
        assert.equal((await failing(taskOf(provider, "Hello"), stub.url)).code, code);
      });
    }
  });
}

describe("a turn whose tool acted", () => {
  const tool = (method: string, url: string): Task["tools"] => [
    {
      id: "t1",
      name: "order",
      description: "Orders.",
      inputSchema: { type: "object", properties: {} },
      implementation: { type: "http", method, url: `${url}/order` },
      configuration: {},
    },
  ];
  const orderThenFail: Answering = ({ body }) =>
    JSON.stringify(body).includes('"role":"tool"')
      ? { status: 503 }
      : { pieces: [], toolCalls: [{ name: "order", arguments: {} }] };

  for (const [why, mayAct, code, final] of [
    ["that an earlier attempt acted for", async () => false, "ACTION_FAILED", true],
    ["that cannot ask", () => Promise.reject(new Error("down")), "SUPABASE_CONNECTION_ERROR", false],
  ] as const) {
    it(`${why} does not act`, async () => {
      let ordered = 0;
      await using stub = await startProviderStub(orderThenFail);
      const shop = createServer((_, response) => {
        ordered += 1;
        response.end();
      });
      await once(shop.listen(0, "127.0.0.1"), "listening");
      const url = `http://127.0.0.1:${(shop.address() as AddressInfo).port}`;
      const failure = await failing(taskOf("openai", "Order", tool("POST", url)), stub.url, mayAct);
      shop.close();
      assert.deepEqual([failure.code, isFinal(failure), ordered], [code, final, 0]);
    });
  }

  it("before ends at once, without a model", async () => {
    await using stub = await startProviderStub(orderThenFail);
    const task = { ...taskOf("openai", "Order", tool("POST", stub.url)), begun: true };
    const failure = await failing(task, stub.url);
    assert.deepEqual([failure.code, isFinal(failure), stub.requests.length], ["ACTION_FAILED", true, 0]);
  });

  for (const [method, final] of [
    ["POST", true],
    ["GET", false],
  ] as const) {
    it(`by ${method} is ${final ? "not tried" : "tried"} again`, async () => {
      await using stub = await startProviderStub(orderThenFail);
      const failure = await failing(taskOf("openai", "Order", tool(method, stub.url)), stub.url);
      assert.equal(failure.code, "MODEL_UNAVAILABLE");
      assert.equal(isFinal(failure), final);
    });
  }
});

it("a model that thinks until max_tokens is used up is asked once", async () => {
  const raw = (await recordAnswer("openai", true))
    .toString()
    .replaceAll(/"content":"[^"]*"/g, '"content":""')
    .replace(ENDINGS.openai.whole, '"finish_reason":"length"');
  await using stub = await startProviderStub(() => ({ raw }));
  const failure = await failing(taskOf("openai", "Think"), stub.url);
  assert.ok(isFinal(failure));
  assert.match(failure.message, /used up max_tokens \(4096\)/);
  assert.equal(stub.requests.length, 1);
});

it("what an agent's runtime calls final is not tried again", async () => {
  const error = {
    code: "MODEL_UNAVAILABLE",
    message: "openai is failing (503).",
    details: { final: "true" },
  };
  const runtime = createServer((_, response) => {
    response.writeHead(502, { "content-type": "application/json" }).end(JSON.stringify({ error }));
  });
  await once(runtime.listen(0, "127.0.0.1"), "listening");
  try {
    const url = `http://127.0.0.1:${(runtime.address() as AddressInfo).port}`;
    const task = { ...taskOf("openai", "Hello"), url };
    await assert.rejects(answerByRuntime(task, contextOf(url)), ({ failure }) => isFinal(failure));
  } finally {
    runtime.close();
  }
});

it("a refused request is an error message with the provider's own words", async () => {
  const message = "Unsupported parameter: 'stop'";
  await using stub = await startProviderStub(() => ({ status: 400, message }));
  const failure = await failing(taskOf("openai", "Hello"), stub.url);
  assert.equal(failure.code, "MODEL_REQUEST_REJECTED");
  assert.match(failure.message, /\(400\)\. It says: .*Unsupported parameter: 'stop'/);
});

for (const status of [401, 500]) {
  it(`a key in the words of a provider's ${status} is in no message and no log`, async () => {
    const key = "Corp+key/with=77"; // not of OpenAI's form; OpenAI itself masks all but its ends
    const message = `Incorrect key ${key}, ${encodeURIComponent(key)}: Corp+key********h=77. See our pages.`;
    await using stub = await startProviderStub(() => ({ status, message }));
    const failure = await failing({ ...taskOf("openai", "Hello"), apiKey: key }, stub.url);
    assert.match(String(failure.cause), /Incorrect key \[secret\], \[secret\]: \[secret\] See our pages\./);
    for (const text of [failure.message, String(failure.cause)]) {
      assert.ok(!/Corp|h=77|h%3D77/.test(text), text);
    }
  });
}

describe("MCP servers of an agent that is not deployed", () => {
  const asking = (server: { url: string }, secret: string | null = null, id = "a"): Task => {
    const task = taskOf("openai", "Order tea");
    const plugin = `mcp:${server.url}${secret === null ? "" : "#TOKEN"}`;
    return { ...task, agent: { ...task.agent, id }, mcpServers: [{ plugin, secret }] };
  };
  /** Calls the first tool whose name is given once, then says what came of it. */
  const calls =
    (name: string, given: Record<string, unknown>): Answering =>
    ({ body }) => {
      const last = (body.messages as { role: string; content: string }[]).at(-1);
      return last?.role === "tool"
        ? { pieces: [`It says ${last.content}`] }
        : { pieces: [], toolCalls: [{ name, arguments: given }] };
    };
  const contextWith = (url: string, host: string) => {
    const steps: Step[] = [];
    const plain = contextOf(url);
    const settings = { ...plain.settings, toolMs: 1_000, privateHosts: [new URL(url).host, host] };
    const context: AnswerContext = { ...plain, settings, note: (step) => void steps.push(step) };
    return { context, steps };
  };

  it("join its tools; a call is a step without its secret, marked as data", async () => {
    await using server = await startMcpServer("session-json", (sdk) => {
      sdk.registerTool("echo", { description: "Repeats." }, async () => ({
        content: [{ type: "text", text: "you sent s3cret-value" }],
      }));
    });
    await using stub = await startProviderStub(calls("echo", {}));
    const { context, steps } = contextWith(stub.url, server.host);
    const { content } = await answerByModel(asking(server, "s3cret-value"), context);
    assert.match(content, /^It says <tool-result-\w+ tool="echo">\nyou sent \[secret\]/);
    assert.match(JSON.stringify(stub.requests[0]?.body.messages), /Text between <message-/);
    const step = steps.find(({ kind }) => kind === "tool");
    assert.deepEqual([step?.name, step?.status, step?.result], ["echo", "ok", "you sent [secret]"]);
    const before = server.requests.length;
    await answerByModel(asking(server, "s3cret-value"), context);
    assert.deepEqual(
      server.requests.slice(before).map(({ rpc }) => rpc),
      ["tools/call"],
      "the next answer has the list already",
    );
  });

  it("are never shared by agents or secrets", async () => {
    await using server = await startMcpServer("stateless");
    await using stub = await startProviderStub(calls("order", { thing: "tea" }));
    const { context } = contextWith(stub.url, server.host);
    for (const [secret, id] of [
      ["secret-of-ada", "ada"],
      ["secret-of-bob", "bob"],
      ["secret-of-ada", "ada"],
    ] as const) {
      await answerByModel(asking(server, secret, id), context);
      const called = server.requests.filter(({ rpc }) => rpc === "tools/call").at(-1);
      assert.equal(called?.headers.authorization, `Bearer ${secret}`);
    }
    assert.equal(server.requests.filter(({ rpc }) => rpc === "tools/list").length, 2);
  });

  it("bring at most 100 tools together", async () => {
    const many = (prefix: string) =>
      startMcpServer("stateless", (sdk) => {
        for (let n = 0; n < 64; n++)
          sdk.registerTool(`${prefix}${n}`, { description: "x" }, async () => ({ content: [] }));
      });
    await using first = await many("a");
    await using second = await many("b");
    await using stub = await startProviderStub(() => ({ pieces: ["Hello"] }));
    const { context } = contextWith(stub.url, "127.0.0.1");
    const mcpServers = [first, second].map(({ url }) => ({ plugin: `mcp:${url}`, secret: null }));
    await answerByModel({ ...taskOf("openai", "Hi"), mcpServers }, context);
    assert.equal((stub.requests[0]?.body.tools as unknown[] | undefined)?.length, 100);
  });

  it("that fail leave the answer whole, and say so in a step", async () => {
    await using server = await startMcpServer("stateless");
    server.instead = () => undefined;
    await using stub = await startProviderStub(() => ({ pieces: ["Hello"] }));
    const { context, steps } = contextWith(stub.url, server.host);
    assert.equal((await answerByModel(asking(server), context)).content, "Hello");
    assert.match(steps[0]?.error?.message ?? "", /did not answer within 1000 ms/);
    assert.equal(stub.requests[0]?.body.tools, undefined);
  });

  it("that may have acted end the answer with an error that is final", async () => {
    await using server = await startMcpServer("stateless");
    await using stub = await startProviderStub((request) => {
      const last = (request.body.messages as { role: string }[]).at(-1);
      return last?.role === "tool" ? { status: 500 } : calls("order", { thing: "tea" })(request);
    });
    const { context } = contextWith(stub.url, server.host);
    const failed = await answerByModel(asking(server), context).catch((error: unknown) => error);
    assert.ok(failed instanceof AttemptError && isFinal(failed.failure), String(failed));
  });
});

describe("plugins of the runtime of an agent that is not deployed", () => {
  const asking = (environment: Record<string, string>): Task => ({
    ...taskOf("openai", "What is a coin worth?"),
    ownPlugins: { names: ["@elizaos/plugin-supabase", "@elizaos/plugin-web3"], project: null, environment },
  });

  it("join its tools, keep their keys to themselves, and say what they lack", async () => {
    const seen: (string | undefined)[] = [];
    const coins = createServer((request, response) => {
      seen.push(request.url, String(request.headers["x-cg-demo-api-key"]));
      response
        .setHeader("content-type", "application/json")
        .end('{"bitcoin":{"usd":1},"said":"cg-key-12345"}');
    });
    await once(coins.listen(0, "127.0.0.1"), "listening");
    try {
      await using stub = await startProviderStub(({ body }) => {
        const last = (body.messages as { role: string; content: string }[]).at(-1);
        return last?.role === "tool"
          ? { pieces: [last.content] }
          : { pieces: [], toolCalls: [{ name: "coin_price", arguments: { coins: ["bitcoin"] } }] };
      });
      const { port } = coins.address() as AddressInfo;
      const plain = contextOf(stub.url);
      const privateHosts = [new URL(stub.url).host, `127.0.0.1:${port}`];
      const { content, warnings } = await answerByModel(
        asking({ COINGECKO_API_URL: `http://127.0.0.1:${port}`, COINGECKO_API_KEY: "cg-key-12345" }),
        { ...plain, settings: { ...plain.settings, privateHosts } },
      );
      assert.match(content, /"usd": ?1/);
      assert.doesNotMatch(content, /cg-key/);
      assert.match(seen[0] ?? "", /^\/simple\/price\?ids=bitcoin/);
      assert.equal(seen[1], "cg-key-12345");
      assert.deepEqual(warnings, [
        {
          field: "plugins",
          message:
            "@elizaos/plugin-supabase: Set supabase_config.project_ref, or SUPABASE_URL in the agent's environment",
        },
      ]);
    } finally {
      coins.closeAllConnections();
      coins.close();
    }
  });

  it("reach no private address that operators did not allow", async () => {
    await using stub = await startProviderStub(({ body }) => {
      const last = (body.messages as { role: string; content: string }[]).at(-1);
      return last?.role === "tool"
        ? { pieces: [last.content] }
        : { pieces: [], toolCalls: [{ name: "coin_price", arguments: { coins: ["bitcoin"] } }] };
    });
    const { content } = await answerByModel(
      asking({ COINGECKO_API_URL: "http://127.0.0.1:54321" }),
      contextOf(stub.url),
    );
    assert.match(content, /not on the public Internet/);
  });
});
