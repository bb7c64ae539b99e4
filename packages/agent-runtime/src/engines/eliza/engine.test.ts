// The real elizaOS AgentRuntime against a local stand-in of its provider. Needs the optional part: npm run install:eliza
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { type Answering, startProviderStub } from "../../../../../tests/helpers/providers.ts";
import { defaultElizaDir } from "../../paths.ts";
import { signed } from "../../signature.ts";
import { runToEnd, startAgent } from "../../testing/agent.ts";

const installed = existsSync(join(defaultElizaDir, "node_modules/@elizaos/core/package.json"));
const skip = installed ? false : "the elizaOS engine is not installed: npm run install:eliza";

/** Answers in elizaOS's form, with the name it finds in the conversation that elizaOS hands over. */
const namesake: Answering = ({ messages }) => {
  const name = [...(messages.at(-1)?.text ?? "").matchAll(/my name is (\w+)/g)].at(-1)?.[1];
  return `<response><thought>easy</thought><actions>REPLY</actions><text>Hello ${name ?? "stranger"}</text></response>`;
};

const FRAMEWORKS = [
  { framework: "openai", plugin: "@elizaos/plugin-openai", model: "gpt-6-luna" },
  { framework: "anthropic", plugin: "@elizaos/plugin-anthropic", model: "claude-sonnet-4-6" },
  { framework: "google", plugin: "@elizaos/plugin-google-genai", model: "gemini-3.5-flash" },
];

for (const { framework, plugin, model } of FRAMEWORKS) {
  test(`${framework}: a real elizaOS agent answers, remembers, and keeps conversations apart`, {
    skip: Boolean(skip),
  }, async () => {
    await using stub = await startProviderStub(namesake);
    await using agent = await startAgent({
      config: {
        framework,
        plugins: ["@elizaos/plugin-bootstrap"],
        character: {
          name: "Ada",
          bio: "A mathematician",
          personality: "exact",
          system: "You speak of engines.",
        },
        systemPrompt: "Never lie.",
        settings: { top_p: 0.3, max_tokens: 500, stop: ["END"] },
      },
      environment: { ...stub.environment, SOME_PASSWORD: "correct-horse-battery" },
    });
    const health = (await agent.get("/health")).body;
    assert.deepEqual([health.engine, health.model, health.status], ["eliza", model, "ok"]);
    assert.deepEqual(health.plugins, ["@elizaos/plugin-sql", "@elizaos/plugin-bootstrap", plugin]);

    const say = async (text: string, conversationId: string) =>
      (await agent.say({ text, conversationId })).body;
    assert.equal((await say("hello", "c1")).reply, "Hello stranger");
    const named = await say("my name is Grace", "c1");
    assert.deepEqual([named.reply, named.conversationId, named.model], ["Hello Grace", "c1", model]);
    assert.ok((named.usage as { outputTokens: number }).outputTokens > 0);
    assert.equal((await say("who am I?", "c1")).reply, "Hello Grace", "it remembers");
    assert.equal((await say("who am I?", "c2")).reply, "Hello stranger", "and tells nobody else");
    const last = stub.requests.at(-2);
    const prompt = `${last?.system}\n${last?.messages.map(({ text }) => text).join("\n")}`;
    for (const part of ["Ada", "mathematician", "You speak of engines.", "Never lie.", "exact"]) {
      assert.ok(prompt.includes(part), `the prompt holds "${part}"`);
    }
    assert.match(prompt, /Ada: Hello Grace/, "its own replies are part of what it remembers");

    // The same settings as in the model engine, none of the plugin's own; a stop would cut elizaOS's form.
    for (const { path, body } of stub.requests.filter(({ messages }) => messages.length > 0)) {
      const { generationConfig: google } = body as { generationConfig?: Record<string, unknown> };
      const { temperature, presence_penalty, frequency_penalty, stop, stop_sequences } = body;
      assert.equal(google?.topP ?? body.top_p, 0.3, path);
      assert.equal(google?.maxOutputTokens ?? body.max_output_tokens ?? body.max_tokens, 500, path);
      assert.deepEqual(
        [google?.temperature ?? temperature, google?.topK, presence_penalty, frequency_penalty, stop],
        [undefined, undefined, undefined, undefined, undefined],
        path,
      );
      assert.ok([stop_sequences, google?.stopSequences].flat().every((given) => given === undefined));
    }

    agent.process.kill("SIGTERM");
    assert.equal(await agent.exited, 0);
    assert.ok(agent.lines.some(({ message }) => message.startsWith("elizaOS does not use stop")));
  });
}

test("the platform's history takes the place of what elizaOS remembers of the conversation", {
  skip: Boolean(skip),
}, async () => {
  await using stub = await startProviderStub(namesake);
  const key = "k".repeat(64);
  await using agent = await startAgent({
    config: { plugins: ["@elizaos/plugin-bootstrap"], character: { name: "Ada" } },
    environment: { ...stub.environment, AGENT_MESSAGE_KEY: key },
  });
  const conversationId = "c1";
  const stored = async (text: string, history: { role: string; content: string }[]) => {
    const body = JSON.stringify({ text, conversationId, history });
    const headers = { "content-type": "application/json", ...signed(key, Buffer.from(body), Date.now()) };
    return (await agent.say(body, { headers })).body.reply;
  };
  const named = (name: string) => [
    { role: "user", content: `my name is ${name}` },
    { role: "assistant", content: "Well met" },
  ];
  await agent.say({ text: "my name is Eve", conversationId });
  assert.equal(await stored("who am I?", []), "Hello stranger", "what was said outside is not in it");
  assert.equal(await stored("who am I?", named("Grace")), "Hello Grace");
  const prompt = stub.requests.at(-1)?.messages.at(-1)?.text ?? "";
  assert.match(prompt, /my name is Grace.*Ada: Well met.*who am I\?/s, "in its order, by whom it was said");
  assert.equal(await stored("who am I?", named("Ann")), "Hello Ann", "it is what this call says, no more");
  assert.ok(!stub.requests.at(-1)?.messages.at(-1)?.text.includes("Grace"));
  const outside = await agent.say({ text: "who am I?", conversationId });
  assert.equal(outside.body.reply, "Hello Eve", "nor is it told outside");
});

test("no secret reaches elizaOS's database, and no .env of a folder above is read", {
  skip: Boolean(skip),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "agent-eliza-test-"));
  try {
    writeFileSync(join(folder, ".env"), "OPENAI_API_KEY=sk-of-the-operator\n");
    await using agent = await startAgent({
      config: { plugins: ["@elizaos/plugin-bootstrap"] },
      environment: { AGENT_STATE_DIR: join(folder, "agents/state"), SOME_PASSWORD: "correct-horse-battery" },
    });
    assert.equal((await agent.get("/health")).body.model, "unconfigured");
    const answer = await agent.say({ text: "hello" });
    assert.deepEqual(
      [answer.status, (answer.body.error as { code: string }).code],
      [503, "MODEL_UNCONFIGURED"],
    );
    agent.process.kill("SIGTERM");
    assert.equal(await agent.exited, 0);
    const written = readdirSync(join(folder, "agents"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"));
    assert.ok(written.length > 100);
    assert.ok(!written.some((text) => text.includes("correct-horse-battery")));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a failing provider, and an answer not in elizaOS's form, become clear errors", {
  skip: Boolean(skip),
}, async () => {
  await using stub = await startProviderStub();
  await using agent = await startAgent({
    config: { framework: "anthropic", plugins: ["@elizaos/plugin-bootstrap"] },
    environment: { ...stub.environment, AGENT_MESSAGE_TIMEOUT_MS: "3000" },
  });
  const table = [
    [{ status: 401 }, 502, "MODEL_AUTHENTICATION_FAILED"],
    [{ status: 400 }, 502, "MODEL_REQUEST_REJECTED"],
    ["no form at all", 502, "MODEL_BAD_RESPONSE"],
    [new Promise<string>(() => undefined), 504, "MODEL_TIMEOUT"],
  ] as const;
  for (const [given, status, code] of table) {
    stub.answer = () => given;
    const answer = await agent.say({ text: "hello", conversationId: code });
    assert.deepEqual([answer.status, (answer.body.error as { code: string }).code], [status, code]);
  }
});

test("every plugin that does not exist is named at once", { skip: Boolean(skip) }, async () => {
  const plugins = ["@elizaos/plugin-discord", "@elizaos/plugin-no-such", "@elizaos/plugin-neither"];
  const { code, lines } = await runToEnd({ config: { plugins } });
  const last = lines.at(-1);
  assert.deepEqual([code, last?.level, last?.metadata.reason], [78, "ERROR", "PLUGIN_NOT_FOUND"]);
  assert.deepEqual(last?.metadata.plugins, ["@elizaos/plugin-no-such", "@elizaos/plugin-neither"]);
  assert.match(last?.message ?? "", /@elizaos\/plugin-no-such, @elizaos\/plugin-neither/);
});

test("no model of elizaOS is called without a reservation, and each call is settled with what it used", {
  skip: Boolean(skip),
}, async () => {
  await using stub = await startProviderStub(namesake);
  await using agent = await startAgent({
    config: { plugins: ["@elizaos/plugin-bootstrap"], settings: { max_tokens: 400 } },
    environment: stub.environment,
  });
  assert.equal((await agent.say({ text: "hello", conversationId: "c1" })).status, 200);
  const asked = stub.requests.filter(({ path }) => path.endsWith("/responses"));
  const reserved = agent.project.calls.flatMap(({ rpc, args }) =>
    rpc === "reserve_model_call" ? [args.call] : [],
  );
  const texts = reserved.filter((call) => call.model === "gpt-6-luna" && !call.spare);
  assert.ok(asked.length > 0 && texts.length > 0);
  assert.ok(texts.every((call) => call.outputTokens <= 400 && call.source === "address"));
  agent.process.kill("SIGTERM");
  await agent.exited;
  const settled = [...agent.project.settled().values()];
  const counted = settled.filter((item) => Number(item.outputTokens) > 0);
  assert.equal(counted.length, asked.length);
  assert.ok(counted.every((item) => item.inputTokens === 11 && item.outputTokens === 7));

  const before = stub.requests.length;
  await using closed = await startAgent({
    config: { plugins: ["@elizaos/plugin-bootstrap"] },
    environment: { ...stub.environment, AGENT_MESSAGE_KEY: "k".repeat(64) },
  });
  const { answer } = closed.project;
  closed.project.answer = (called) =>
    called.rpc === "reserve_model_call" ? { status: 503, body: {} } : answer(called);
  const { status, body } = await closed.say({ text: "hello", conversationId: "c1" });
  assert.deepEqual([status, (body.error as { code: string }).code], [503, "SUPABASE_CONNECTION_ERROR"]);
  assert.equal(stub.requests.length, before);
});

test("without the optional part the launch says which command installs it, and what it would not bring", async () => {
  const folder = mkdtempSync(join(tmpdir(), "agent-eliza-bare-"));
  try {
    for (const file of ["package.json", "load.mjs"]) cpSync(join(defaultElizaDir, file), join(folder, file));
    const { code, lines } = await runToEnd({
      config: { plugins: ["@elizaos/plugin-discord", "@elizaos/plugin-no-such"] },
      environment: { AGENT_ELIZA_DIR: folder },
    });
    const last = lines.at(-1);
    assert.deepEqual([code, last?.metadata.reason], [78, "ENGINE_NOT_INSTALLED"]);
    assert.match(last?.message ?? "", /npm run install:eliza/);
    assert.match(last?.message ?? "", /does not bring @elizaos\/plugin-no-such,/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("the agent's own tools are actions: chosen by name, called with arguments, answered from", {
  skip: Boolean(skip),
}, async () => {
  const service = createServer((request, response) => {
    response.end(`sunny at ${request.url} for ${request.headers.authorization}`);
  });
  await once(service.listen(0, "127.0.0.1"), "listening");
  try {
    const { port } = service.address() as AddressInfo;
    await using stub = await startProviderStub(({ messages }) => {
      const prompt = messages.at(-1)?.text ?? "";
      if (prompt.includes("fit this JSON Schema")) return 'Sure: {"city": "Ulm"}';
      const found = /<tool-result-\w+ tool="weather">\n([\s\S]*?)\n<\/tool-result/.exec(prompt)?.[1];
      if (found !== undefined) return `It says ${found}`;
      return "<response><thought>look</thought><actions>WEATHER</actions><text></text></response>";
    });
    await using agent = await startAgent({
      config: { plugins: ["@elizaos/plugin-bootstrap"], character: { name: "Ada" } },
      environment: { ...stub.environment, AGENT_TOOL_PRIVATE_HOSTS: `127.0.0.1:${port}` },
    });
    const tool = {
      id: randomUUID(),
      name: "weather",
      description: "Tells the weather of a city.",
      inputSchema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
      implementation: { type: "http", url: `http://127.0.0.1:${port}/{{city}}` },
      configuration: { api_key_ref: "KEY" },
    };
    agent.project.answer = (called) => {
      if (called.rpc === "runtime_tools") return { body: { tools: [tool] } };
      if (called.rpc === "runtime_tool_secret") return { body: { secret: "s3cret-eliza" } };
      return undefined;
    };
    const { body } = await agent.say({ text: "The weather in Ulm?", conversationId: "c1" });
    assert.equal(body.reply, "It says HTTP 200\nsunny at /Ulm for Bearer [secret]", JSON.stringify(body));
    agent.process.kill("SIGTERM");
    await agent.exited;
    const steps = agent.project.steps();
    assert.deepEqual(
      steps.map(({ kind, status }) => `${kind} ${status}`),
      ["model ok", "model ok", "tool ok", "model ok"],
    );
    assert.ok(!JSON.stringify([steps, agent.lines, stub.requests]).includes("s3cret-eliza"));
  } finally {
    service.closeAllConnections();
    service.close();
  }
});

test("the tools of the runtime's own plugins are actions too", { skip: Boolean(skip) }, async () => {
  const node = createServer(async (request, response) => {
    const { id, method } = JSON.parse((await request.toArray()).join(""));
    const result = { eth_gasPrice: "0x3b9aca00", eth_blockNumber: "0x10", eth_chainId: "0x1" }[
      String(method)
    ];
    response.end(JSON.stringify({ jsonrpc: "2.0", id, result }));
  });
  await once(node.listen(0, "127.0.0.1"), "listening");
  try {
    const { port } = node.address() as AddressInfo;
    await using stub = await startProviderStub(({ messages }) => {
      const prompt = messages.at(-1)?.text ?? "";
      if (prompt.includes("fit this JSON Schema")) return "{}";
      const found = /<tool-result-\w+ tool="gas_price">\n([\s\S]*?)\n<\/tool-result/.exec(prompt)?.[1];
      if (found !== undefined) return `It says ${found}`;
      return "<response><thought>look</thought><actions>GAS_PRICE</actions><text></text></response>";
    });
    await using agent = await startAgent({
      config: { plugins: ["@elizaos/plugin-bootstrap", "@elizaos/plugin-web3"], character: { name: "Ada" } },
      environment: {
        ...stub.environment,
        WEB3_RPC_URL: `http://127.0.0.1:${port}`,
        AGENT_TOOL_PRIVATE_HOSTS: `127.0.0.1:${port}`,
      },
    });
    const { body } = await agent.say({ text: "What does gas cost?", conversationId: "c1" });
    assert.equal(body.reply, 'It says {"chainId":"1","block":"16","gwei":"1"}', JSON.stringify(body));
    assert.equal(((await agent.get("/health")).body.plugins as string[]).at(-1), "@elizaos/plugin-web3");
  } finally {
    node.closeAllConnections();
    node.close();
  }
});
