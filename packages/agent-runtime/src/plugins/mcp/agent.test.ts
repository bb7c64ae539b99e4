// A whole deployed agent with MCP servers among its plugins: offered beside its own tools, called with a secret that is asked for
// each time, traced, reported. The same in both engines.
import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { startMcpServer } from "../../../../../tests/helpers/mcp-server.ts";
import { type Answering, startProviderStub } from "../../../../../tests/helpers/providers.ts";
import { type RunningAgent, startAgent } from "../../testing/agent.ts";
import { skipEliza as skip } from "../../testing/eliza.ts";
import { type Called, TEST_KEY } from "../../testing/project.ts";

const SECRET = "s3cret-of-the-server";
/** A tool of the agent itself whose name a server's tool has too. */
const ADD = {
  id: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
  name: "add",
  description: "The agent's own.",
  inputSchema: { type: "object", properties: {} },
  implementation: { type: "builtin", name: "current_time" },
  configuration: {},
};

const answering = (called: Called) => {
  if (called.rpc === "runtime_tools") return { body: { tools: [ADD] } };
  if (called.rpc === "runtime_plugin_secret") return { body: { secret: SECRET } };
  return undefined;
};
/** The last report of each plugin, once there are `count`. */
async function reported(agent: RunningAgent, count: number) {
  const { promise, resolve } = Promise.withResolvers<{ name: string; ready: boolean; message: string }[]>();
  const look = () => {
    const last = agent.project.calls.filter(({ rpc }) => rpc === "report_plugins").at(-1);
    if (last?.args.plugins.length === count) resolve(last.args.plugins);
    else setTimeout(look, 10);
  };
  look();
  return promise;
}

describe("an agent of the model engine", () => {
  const calls =
    (name: string, given: Record<string, unknown>): Answering =>
    ({ body }) => {
      const last = (body.messages as { role: string; content: string }[]).at(-1);
      return last?.role === "tool"
        ? { pieces: [`It says ${last.content}`] }
        : { pieces: [], toolCalls: [{ name, arguments: given }] };
    };

  /** Says something and reads the answer as it is streamed. */
  const say = async (agent: RunningAgent, text: string): Promise<string> => {
    const { body } = await agent.say(
      { text },
      {
        headers: {
          "content-type": "application/json",
          accept: "text/event-stream",
          authorization: `Bearer ${TEST_KEY}`,
        },
      },
    );
    return JSON.parse(
      /^event: done\ndata: (.*)$/m.exec(String(body.text))?.[1] ?? assert.fail(JSON.stringify(body)),
    ).reply;
  };

  it("calls an MCP server's tools; the secret comes with each call and stands nowhere", async () => {
    await using server = await startMcpServer("session");
    await using stub = await startProviderStub(calls("order", { thing: `tea for ${SECRET}` }));
    const plugin = `mcp:${server.url}#TOKEN`;
    await using agent = await startAgent({
      config: { plugins: [plugin, "@elizaos/plugin-web3"] },
      environment: { ...stub.environment, AGENT_TOOL_PRIVATE_HOSTS: server.host, TOKEN: "of-the-process" },
      project: answering,
    });
    assert.match(await say(agent, "Order tea"), /tool="order">\nordered tea for \[secret\]/);
    const tools = stub.requests[0]?.body.tools as { function: { name: string } }[];
    const names = tools.map((tool) => tool.function.name);
    assert.deepEqual(names, ["add", "coin_price", "mcp_add", "order"]);
    const secrets = agent.project.calls.filter(({ rpc }) => rpc === "runtime_plugin_secret");
    assert.deepEqual(
      secrets.map(({ args }) => args.plugin),
      [plugin, plugin],
      "for the list and for the call",
    );
    assert.ok(server.requests.every(({ headers }) => headers.authorization === `Bearer ${SECRET}`));
    const health = (await agent.get("/health")).body;
    assert.deepEqual(
      [health.engine, health.status, health.plugins],
      ["model", "ok", [plugin, "@elizaos/plugin-web3"]],
    );
    const states = await reported(agent, 2);
    assert.deepEqual(
      states.find(({ name }) => name === plugin),
      { name: plugin, ready: true, reason: "STARTED", message: "Offers 2 tools" },
    );
    agent.process.kill("SIGTERM");
    assert.equal(await agent.exited, 0);
    assert.equal(server.requests.at(-1)?.method, "DELETE", "the session is given back");
    const steps = agent.project.steps();
    assert.deepEqual(steps.map(({ kind, name, status }) => `${kind} ${name} ${status}`).slice(1, 2), [
      "tool order ok",
    ]);
    assert.ok(!JSON.stringify([steps, agent.lines, stub.requests.slice(1), states]).includes(`${SECRET}"`));
  });

  it("starts and answers while a server is down, says what is wrong, and has its tools once it is there", async () => {
    await using server = await startMcpServer("stateless");
    server.instead = (_, response) => response.writeHead(503).end();
    await using stub = await startProviderStub(() => ({ pieces: ["Hello"] }));
    const plugin = `mcp:${server.url}`;
    await using agent = await startAgent({
      config: { plugins: [plugin] },
      environment: { ...stub.environment, AGENT_TOOL_PRIVATE_HOSTS: server.host },
    });
    assert.equal(await say(agent, "Hi"), "Hello");
    const [state] = await reported(agent, 1);
    assert.deepEqual([state?.ready, state?.message], [false, `${server.host}: the server answered HTTP 503`]);
    assert.equal((await agent.get("/health")).body.status, "degraded");
    assert.ok(agent.lines.some(({ level, message }) => level === "WARN" && message.includes("HTTP 503")));
    server.instead = undefined;
    while ((await agent.get("/health")).body.status !== "ok")
      await new Promise((done) => setTimeout(done, 50));
    await say(agent, "Hi");
    const tools = stub.requests.at(-1)?.body.tools as unknown[] | undefined;
    assert.equal(tools?.length, 2);
  });

  it("never reaches a server at a private address", async () => {
    await using server = await startMcpServer("stateless");
    await using stub = await startProviderStub(() => ({ pieces: ["Hello"] }));
    await using agent = await startAgent({
      config: { plugins: [`mcp:${server.url}`] },
      environment: stub.environment,
    });
    assert.equal(await say(agent, "Hi"), "Hello");
    assert.match((await reported(agent, 1))[0]?.message ?? "", /not on the public Internet/);
    assert.equal(server.requests.length, 0);
  });
});

describe("an agent of elizaOS", { skip: Boolean(skip) }, () => {
  it("has an MCP server's tools as actions, with arguments that the model writes", async () => {
    await using server = await startMcpServer("session-json");
    await using stub = await startProviderStub(({ messages }) => {
      const prompt = messages.at(-1)?.text ?? "";
      if (prompt.includes("fit this JSON Schema")) return '{"a": 20, "b": 22}';
      const found = /<tool-result-\w+ tool="mcp_add">\n([\s\S]*?)\n<\/tool-result/.exec(prompt)?.[1];
      if (found !== undefined) return `It is ${found}`;
      return "<response><thought>add</thought><actions>MCP_ADD</actions><text></text></response>";
    });
    const plugin = `mcp:${server.url}#X-Api-Key=TOKEN`;
    await using agent = await startAgent({
      config: { plugins: ["@elizaos/plugin-bootstrap", plugin], character: { name: "Ada" } },
      environment: { ...stub.environment, AGENT_TOOL_PRIVATE_HOSTS: server.host },
      project: answering,
    });
    const { body } = await agent.say({ text: "What is 20 + 22?", conversationId: "c1" });
    assert.equal(body.reply, "It is 42", JSON.stringify(body));
    assert.equal(server.requests.at(-1)?.headers["x-api-key"], SECRET);
    const health = (await agent.get("/health")).body;
    assert.deepEqual([health.engine, (health.plugins as string[]).at(-1)], ["eliza", plugin]);
  });
});
