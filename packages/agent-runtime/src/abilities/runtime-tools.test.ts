// A deployed agent's own tools: which list it has, the secret of each call, what a misbehaving tool leaves behind.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type Answering, startProviderStub } from "../../../../tests/helpers/providers.ts";
import { signed } from "../signature.ts";
import { type RunningAgent, startAgent } from "../testing/agent.ts";
import { type Called, granting, MESSAGE_KEY, type ProjectStub } from "../testing/project.ts";
import type { Step } from "./steps.ts";
import type { ToolDefinition } from "./tools/definition.ts";
import { toolsDigest } from "./tools/digest.ts";

const SECRET = "s3cret-of-the-weather";
let listener: RequestListener = (_, response) => response.end("sunny");
const outside = createServer((request, response) => listener(request, response));
let port = 0;
beforeAll(async () => {
  await once(outside.listen(0, "127.0.0.1"), "listening");
  port = (outside.address() as AddressInfo).port;
});
afterAll(() => {
  outside.closeAllConnections();
  outside.close();
});

const weather = (more: Partial<ToolDefinition> = {}): ToolDefinition => ({
  id: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
  name: "weather",
  description: "Tells the weather.",
  inputSchema: { type: "object", properties: { city: { type: "string" }, password: { type: "string" } } },
  implementation: { type: "http", method: "GET", url: `http://127.0.0.1:${port}/{{city}}` },
  configuration: { api_key_ref: "WEATHER_KEY" },
  ...more,
});

/** Calls the tool once, then says what came of it. */
const callsTool =
  (given: Record<string, unknown> = { city: "Ulm" }, name = "weather"): Answering =>
  ({ body }) => {
    const messages = body.messages as { role: string; content: string }[];
    const result = messages.at(-1);
    return result?.role === "tool"
      ? { pieces: [`It says: ${result.content}`] }
      : { pieces: [], toolCalls: [{ name, arguments: given }] };
  };

/** A project whose agent has these tools. */
const offering = (tools: () => readonly ToolDefinition[]) => (called: Called) => {
  if (called.rpc === "runtime_tools") return { body: { tools: tools() } };
  if (called.rpc === "runtime_tool_secret") return { body: { secret: SECRET } };
  return granting(called);
};
const callsOf = ({ calls }: ProjectStub, rpc: string) => calls.filter((call) => call.rpc === rpc);

interface Event {
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: a JSON body whose shape the test asserts
  readonly data: any;
}
/** Sends a message and reads the events. */
async function listen(
  agent: RunningAgent,
  message: object,
  headers?: Record<string, string>,
): Promise<Event[]> {
  const accept = { accept: "text/event-stream" };
  const known = headers ?? { authorization: `Bearer lp_${"k".repeat(43)}` };
  const { body } = await agent.say(message, {
    headers: { "content-type": "application/json", ...accept, ...known },
  });
  return String(body.text ?? `event: error\ndata: ${JSON.stringify(body)}`)
    .split("\n\n")
    .filter((block) => block.startsWith("event:"))
    .map((block) => ({
      event: /^event: (.*)$/m.exec(block)?.[1] ?? "",
      data: JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? "null"),
    }));
}
/** The same as the platform. */
async function ask(agent: RunningAgent, answer: object): Promise<Event[]> {
  const body = JSON.stringify({ text: "The weather?", history: [], conversationId: randomUUID(), answer });
  const headers = signed(MESSAGE_KEY, Buffer.from(body), Date.now());
  const { body: said } = await agent.say(body, {
    headers: { "content-type": "application/json", accept: "text/event-stream", ...headers },
  });
  return [{ event: "all", data: said.text ?? said }];
}
/** The steps that the project received, once there are `count`. */
async function stepsOf(project: ProjectStub, count: number): Promise<(Step & { messageId: string })[]> {
  const until = Date.now() + 60_000;
  for (;;) {
    const steps = project.steps();
    if (steps.length >= count || Date.now() > until) return steps;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
const start = async (
  stub: { environment: Record<string, string> },
  environment: Record<string, string> = {},
) =>
  startAgent({
    environment: {
      ...stub.environment,
      AGENT_TOOL_PRIVATE_HOSTS: `127.0.0.1:${port}`,
      ...environment,
    },
  });

describe("a deployed agent's tools", () => {
  it("are offered and called; the secret comes with the call, and everything is in the trace", async () => {
    await using stub = await startProviderStub(callsTool());
    await using agent = await start(stub);
    agent.project.answer = offering(() => [weather()]);
    let seen = "";
    listener = (request, response) => {
      seen = `${request.url} ${request.headers.authorization}`;
      response.end(`sunny, ${request.headers.authorization}`);
    };
    const events = await listen(agent, { text: "The weather?", conversationId: "c1" });
    const done = events.at(-1)?.data;
    assert.match(
      done.reply,
      /^It says: <tool-result-\w{8} tool="weather">\nHTTP 200\nsunny, Bearer \[secret\]\n/,
    );
    assert.equal(seen, `/Ulm Bearer ${SECRET}`);
    assert.deepEqual(events.find(({ event }) => event === "tool")?.data.name, "weather");
    assert.match(stub.requests[0]?.system ?? "", /<tool-result-\w{8}> marks came from tools/);
    const [asked] = callsOf(agent.project, "runtime_tool_secret");
    assert.equal(asked?.args.tool_id, weather().id);
    const steps = await stepsOf(agent.project, 3);
    assert.deepEqual(
      steps.map(({ kind, name, status, messageId }) => [kind, name, status, messageId === done.messageId]),
      [
        ["model", done.model, "ok", true],
        ["tool", "weather", "ok", true],
        ["model", done.model, "ok", true],
      ],
    );
    assert.deepEqual(steps[1]?.arguments, { city: "Ulm" });
    assert.equal(steps[0]?.result, "calls weather");
    assert.ok(!JSON.stringify([steps, agent.lines, events]).includes(SECRET));
    assert.ok(!Object.values(stub.environment).includes(SECRET));
  });

  it("are the platform's list where it sends the message, read again only when that list is another", async () => {
    await using stub = await startProviderStub(() => "Hello");
    await using agent = await start(stub);
    let tools: ToolDefinition[] = [weather()];
    agent.project.answer = offering(() => tools);
    const wanted = (list: ToolDefinition[]) => ({
      id: randomUUID(),
      word: "0123abcd",
      tools: toolsDigest(list),
    });
    const offered = () =>
      ((stub.requests.at(-1)?.body.tools ?? []) as { function: { name: string } }[]).map(
        (t) => t.function.name,
      );
    await ask(agent, wanted(tools));
    await ask(agent, wanted(tools));
    assert.deepEqual([offered(), callsOf(agent.project, "runtime_tools").length], [["weather"], 1]);
    tools = [weather({ name: "forecast" })];
    await ask(agent, wanted(tools));
    assert.deepEqual([offered(), callsOf(agent.project, "runtime_tools").length], [["forecast"], 2]);
    await ask(agent, wanted([]));
    assert.deepEqual([offered(), callsOf(agent.project, "runtime_tools").length], [[], 2]);
    const rules = "You are Ann in the group.";
    await ask(agent, { ...wanted([]), rules });
    assert.ok(stub.requests.at(-1)?.system.endsWith(rules));
  });

  it("an answer's id is the platform's to give", async () => {
    await using stub = await startProviderStub(() => "Hello");
    await using agent = await start(stub);
    const answer = { id: randomUUID(), word: "0123abcd" };
    const refused = await agent.say({ text: "x", answer });
    assert.deepEqual([refused.status, (refused.body.error as { code: string }).code], [403, "FORBIDDEN"]);
    await ask(agent, answer);
    assert.equal((await stepsOf(agent.project, 1))[0]?.messageId, answer.id);
  });

  const FAULTS: [
    string,
    { given?: Record<string, unknown>; url?: string; serve?: RequestListener },
    string,
    string,
    RegExp,
  ][] = [
    ["hangs", { serve: () => undefined }, "error", "TOOL_TIMEOUT", /took too long/],
    [
      "redirects to a private address",
      { serve: (_, response) => response.writeHead(302, { location: "http://169.254.169.254/" }).end() },
      "refused",
      "TOOL_NOT_ALLOWED",
      /may not go/,
    ],
    [
      "returns 10 MB",
      { serve: (_, response) => response.end("x".repeat(10_000_000)) },
      "error",
      "TOOL_FAILED",
      /larger than 262144 bytes/,
    ],
    [
      "lives at a private address",
      { url: "http://10.0.0.1/" },
      "refused",
      "TOOL_NOT_ALLOWED",
      /not on the public Internet/,
    ],
    [
      "answers 500 with HTML",
      { serve: (_, response) => response.writeHead(500, { "content-type": "text/html" }).end("<h1>no</h1>") },
      "error",
      "TOOL_HTTP_ERROR",
      /<h1>no<\/h1>/,
    ],
    [
      "is given a wrong argument",
      { given: { city: 5, password: "hunter22" } },
      "error",
      "TOOL_ARGUMENTS_INVALID",
      /city/,
    ],
  ];
  for (const [fault, { given, url, serve }, status, code, shown] of FAULTS) {
    it(`a tool that ${fault} is ${status} ${code} in the trace, and the answer goes on`, async () => {
      await using stub = await startProviderStub(callsTool(given));
      await using agent = await start(stub, code === "TOOL_TIMEOUT" ? { AGENT_TOOL_TIMEOUT_MS: "300" } : {});
      const implementation = { type: "http", method: "GET", url: url ?? `http://127.0.0.1:${port}/` };
      agent.project.answer = offering(() => [weather({ implementation })]);
      if (serve !== undefined) listener = serve;
      const events = await listen(agent, { text: "The weather?" });
      assert.match(events.at(-1)?.data.reply ?? JSON.stringify(events), shown);
      const step = (await stepsOf(agent.project, 3)).find(({ kind }) => kind === "tool");
      assert.deepEqual([step?.status, step?.error?.code], [status, code]);
      assert.ok(!JSON.stringify(step).includes("hunter22"));
    });
  }

  it("a secret that cannot be read is an error of the call, told to model and owner", async () => {
    await using stub = await startProviderStub(callsTool());
    await using agent = await start(stub);
    agent.project.answer = (called) =>
      called.rpc === "runtime_tool_secret" ? { body: { secret: null } } : offering(() => [weather()])(called);
    const events = await listen(agent, { text: "The weather?" });
    assert.match(events.at(-1)?.data.reply, /The secret WEATHER_KEY is not set/);
    const steps = await stepsOf(agent.project, 3);
    assert.deepEqual([steps[1]?.status, steps[1]?.error?.code], ["refused", "TOOL_SECRET_MISSING"]);
  });

  it("steps outlast a project that is down for a moment, and an answer never waits for them", async () => {
    await using stub = await startProviderStub(() => "Hello");
    await using agent = await start(stub);
    let refuse = 1;
    agent.project.answer = (called) =>
      called.args.steps !== undefined && refuse-- > 0 ? { status: 503, body: {} } : granting(called);
    const id = randomUUID();
    await ask(agent, { id, word: "0123abcd", tools: "none" });
    const steps = await stepsOf(agent.project, 2);
    assert.deepEqual(
      steps.map(({ kind, messageId }) => [kind, messageId]),
      [
        ["model", id],
        ["model", id],
      ],
      "the one that was refused, told again",
    );
  });
});
