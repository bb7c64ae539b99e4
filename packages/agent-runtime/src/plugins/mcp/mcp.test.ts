// MCP servers as plugins, against servers made with the official SDK, in each protocol and form of answer; and servers that lie,
// hang, forget, change, or send what cannot be read.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { McpServer as SdkServer } from "@modelcontextprotocol/server";
import { describe, it, type TestContext, vi } from "vitest";
import { z } from "zod";
import {
  defaultTools,
  type McpMode,
  type RunningMcpServer,
  startMcpServer,
} from "../../../../../tests/helpers/mcp-server.ts";
import { type Step, traced } from "../../abilities/steps.ts";
import type { ToolDefinition } from "../../abilities/tools/definition.ts";
import { callTool, mayAct } from "../../abilities/tools/index.ts";
import type { OwnTool } from "../own.ts";
import { labelOf, readMcpAddress } from "./address.ts";
import { withServerTools } from "./names.ts";
import { type McpServersOptions, openMcpServers } from "./servers.ts";

const MODES: readonly McpMode[] = ["stateless", "session", "session-json"];

/** Opens one server as an agent would, with what was reported of its state. */
function open(
  t: TestContext,
  server: Pick<RunningMcpServer, "host" | "url">,
  { fragment = "", ...options }: Partial<McpServersOptions> & { fragment?: string } = {},
) {
  const states: (string | undefined)[] = [];
  const notes: string[] = [];
  const servers = openMcpServers([`mcp:${server.url}${fragment}`], {
    privateHosts: [server.host],
    limitMs: 2_000,
    heals: false,
    secretOf: async () => null,
    onState: (_plugin, problem, note) => {
      states.push(problem);
      if (note !== "") notes.push(note);
    },
    ...options,
  });
  t.onTestFinished(() => servers.close());
  return { servers, states, notes };
}
const call = async (
  tools: readonly OwnTool[],
  name: string,
  given: object,
  { milliseconds = 2_000, secret = null }: { milliseconds?: number; secret?: string | null } = {},
) => {
  const tool = tools.find((one) => one.name === name);
  assert.ok(tool, `${name} is not offered`);
  const limits = { privateHosts: [], signal: AbortSignal.timeout(milliseconds) };
  return callTool(tool, given, { limits, search: async () => [], secretOf: async () => secret });
};
const started = async (t: TestContext, mode: McpMode, offer?: (server: SdkServer) => void) => {
  const server = await startMcpServer(mode, offer);
  t.onTestFinished(() => server[Symbol.asyncDispose]());
  return server;
};
const json = (response: ServerResponse, body: unknown, status = 200) =>
  void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));

for (const mode of MODES) {
  describe(`a server that speaks ${mode}`, () => {
    it("offers its tools, is called, and its state is ready", async (t) => {
      const server = await started(t, mode);
      const { servers, states, notes } = open(t, server);
      const tools = await servers.tools();
      assert.deepEqual(
        tools.map((tool) => [tool.name, tool.description, mayAct(tool, {})]),
        [
          ["add", "Adds two numbers.", false],
          ["order", "Orders a thing.", true],
        ],
      );
      assert.deepEqual(Object.keys(tools[0]?.inputSchema.properties as object), ["a", "b"]);
      assert.equal((await call(tools, "add", { a: 2, b: 40 })).text, "42");
      assert.equal((await call(tools, "order", { thing: "tea" })).text, "ordered tea");
      assert.deepEqual([states, notes], [[undefined], ["Offers 2 tools"]]);
      assert.ok(
        server.requests.every(({ method }) => method === "POST"),
        "nothing is listened to",
      );
      const version = server.requests.at(-1)?.headers["mcp-protocol-version"];
      assert.equal(version, mode === "stateless" ? "2026-07-28" : "2025-11-25");
      assert.equal(server.requests.at(-1)?.headers["mcp-session-id"] === undefined, mode === "stateless");
      const before = server.requests.length;
      await servers.tools();
      assert.equal(server.requests.length, before, "a fresh list is not read again");
      await servers.close();
      assert.equal(server.requests.at(-1)?.method, mode === "stateless" ? "POST" : "DELETE");
    });

    it("is told what does not fit its schema by the server, and an error of a tool is one", async (t) => {
      const server = await started(t, mode, (sdk) => {
        defaultTools(sdk);
        sdk.registerTool("fails", { description: "Fails." }, async () => ({
          content: [{ type: "text", text: "no such order" }],
          isError: true,
        }));
      });
      const tools = await open(t, server).servers.tools();
      const wrong = await call(tools, "add", { a: "two" });
      assert.equal(wrong.status, "error");
      assert.match(wrong.text, /^error: .*\ba\b/s);
      const failed = await call(tools, "fails", {});
      assert.deepEqual([failed.text, failed.error?.code], ["error: no such order", "TOOL_FAILED"]);
    });

    it("shows the model every form of a result", async (t) => {
      const data = Buffer.alloc(30).toString("base64");
      const server = await started(t, mode, (sdk) => {
        sdk.registerTool("mixed", { description: "All." }, async () => ({
          content: [
            { type: "text", text: "one" },
            { type: "image", data, mimeType: "image/png" },
            { type: "resource", resource: { uri: "file:///a.txt", text: "of a file" } },
            { type: "resource_link", uri: "https://example.com/b", name: "b" },
          ],
        }));
      });
      const tools = await open(t, server).servers.tools();
      const { text } = await call(tools, "mixed", {});
      assert.deepEqual(text.split("\n"), [
        "one",
        "[image image/png, 30 bytes]",
        "of a file",
        "[resource https://example.com/b]",
      ]);
    });
  });
}

describe("secrets", () => {
  for (const [fragment, header, value] of [
    ["#TOKEN", "authorization", "Bearer s3cret-value"],
    ["#X-Api-Key=TOKEN", "x-api-key", "s3cret-value"],
  ] as const) {
    it(`${fragment} travels in ${header} of each request, and is blotted out of answers`, async (t) => {
      const server = await started(t, "session-json", (sdk) => {
        sdk.registerTool("echo", { description: "Repeats." }, async () => ({
          content: [{ type: "text", text: "you sent s3cret-value" }],
        }));
      });
      const { servers } = open(t, server, { fragment, secretOf: async () => "s3cret-value" });
      const tools = await servers.tools();
      const { text } = await call(tools, "echo", {}, { secret: "s3cret-value" });
      assert.equal(text, "you sent [secret]");
      assert.ok(server.requests.length > 3);
      for (const { headers } of server.requests) assert.equal(headers[header], value);
    });
  }

  it("that the server says itself is blotted out of errors, descriptions and its state", async (t) => {
    const server = await started(t, "session-json", (sdk) => {
      sdk.registerTool("echo", { description: "Takes s3cret-value." }, async () => ({
        content: [{ type: "text", text: "no, s3cret-value" }],
        isError: true,
      }));
    });
    const options = { fragment: "#TOKEN", secretOf: async () => "s3cret-value" };
    const tools = await open(t, server, options).servers.tools();
    assert.equal(tools[0]?.description, "Takes [secret].");
    const { error, text } = await call(tools, "echo", {}, { secret: "s3cret-value" });
    assert.deepEqual([text, error?.message], ["error: no, [secret]", "no, [secret]"]);
    server.instead = ({ body }, response) =>
      json(response, { jsonrpc: "2.0", id: body?.id, error: { code: -32000, message: "not s3cret-value" } });
    const { servers, states } = open(t, server, options);
    await servers.tools();
    assert.match(states[0] ?? "", /not \[secret\]/);
  });

  it("that changes is used by the next call, in a session that was opened with it", async (t) => {
    const server = await started(t, "session");
    const { servers } = open(t, server, { fragment: "#TOKEN", secretOf: async () => "first-secret" });
    const tools = await servers.tools();
    await call(tools, "order", { thing: "tea" }, { secret: "first-secret" });
    await call(tools, "order", { thing: "tea" }, { secret: "second-secret" });
    const sessions = server.requests
      .filter(({ rpc }) => rpc === "tools/call")
      .map(({ headers }) => [headers.authorization, headers["mcp-session-id"]]);
    assert.deepEqual(
      sessions.map(([secret]) => secret),
      ["Bearer first-secret", "Bearer second-secret"],
    );
    assert.notEqual(sessions[0]?.[1], sessions[1]?.[1]);
  });

  it("that is not stored is named, and nothing is sent", async (t) => {
    const server = await started(t, "stateless");
    const { servers, states } = open(t, server, { fragment: "#TOKEN" });
    assert.deepEqual(await servers.tools(), []);
    assert.match(states[0] ?? "", /The secret TOKEN is not set: run `launchpad secrets set/);
    assert.equal(server.requests.length, 0);
  });

  it("that the server rejects is named, with the cure", async (t) => {
    const server = await started(t, "stateless");
    server.instead = (_, response) => json(response, { error: "invalid_token" }, 401);
    const { servers, states } = open(t, server, { fragment: "#TOKEN", secretOf: async () => "s3cret-value" });
    assert.deepEqual(await servers.tools(), []);
    assert.match(states[0] ?? "", /rejected the call \(HTTP 401\): replace the secret TOKEN$/);
    const bare = open(t, server);
    await bare.servers.tools();
    assert.match(bare.states[0] ?? "", /name the secret it needs behind its address, as #NAME$/);
  });
});

describe("where a server may be", () => {
  it("an address that is not public is refused before anything is sent", async (t) => {
    const server = await started(t, "stateless");
    const { servers, states } = open(t, server, { privateHosts: [] });
    assert.deepEqual(await servers.tools(), []);
    assert.match(states[0] ?? "", /not on the public Internet/);
    assert.equal(server.requests.length, 0);
  });

  it("a redirect stays at the host, and goes nowhere else", async (t) => {
    const server = await started(t, "stateless");
    const at = async (location: string) => {
      const front = createServer((_, response) => response.writeHead(307, { location }).end());
      await once(front.listen(0, "127.0.0.1"), "listening");
      t.onTestFinished(() => front.close().closeAllConnections());
      const host = `127.0.0.1:${(front.address() as AddressInfo).port}`;
      const opened = open(t, { host, url: `http://${host}/` }, { privateHosts: [host, server.host] });
      await opened.servers.tools();
      return opened.states[0];
    };
    assert.match((await at(server.url)) ?? "", /redirects to where this tool may not go/);
    assert.match(
      (await at("http://169.254.169.254/latest")) ?? "",
      /redirects to where this tool may not go/,
    );
    assert.equal(server.requests.length, 0);
    server.instead = ({ headers }, response) =>
      headers["x-moved"] === undefined && response.req.url === "/mcp"
        ? void response.writeHead(308, { location: "/mcp/" }).end()
        : false;
    assert.equal((await open(t, server).servers.tools()).length, 2);
  });
});

describe("a server that misbehaves", () => {
  const problems: [what: string, problem: RegExp, instead: (response: ServerResponse) => void][] = [
    [
      "sends a page",
      /does not speak MCP: check it/,
      (r) => void r.writeHead(200, { "content-type": "text/html" }).end("<html>"),
    ],
    ["sends other JSON", /answer is not one of MCP/, (r) => json(r, { hello: "world" })],
    [
      "answers another message",
      /answer is not one of MCP/,
      (r) => json(r, { jsonrpc: "2.0", id: 999, result: {} }),
    ],
    [
      "fails",
      /answered HTTP 500/,
      (r) => void r.writeHead(500, { "content-type": "text/html" }).end("<html>stack trace"),
    ],
    ["is not there", /answered HTTP 404/, (r) => void r.writeHead(404).end("Not found")],
    [
      "ends its stream without an answer",
      /stream ended without an answer/,
      (r) => void r.writeHead(200, { "content-type": "text/event-stream" }).end(": hello\n\n"),
    ],
    ["hangs up", /did not answer: The response is not HTTP/, (r) => void r.destroy()],
    [
      "sends too much",
      /larger than \d+ bytes/,
      (r) => void r.writeHead(200, { "content-type": "application/json" }).end("x".repeat(3_000_000)),
    ],
    ["never answers", /did not answer within 300 ms/, () => {}],
    [
      "never ends its headers",
      /did not answer within 300 ms/,
      (r) => void r.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders(),
    ],
  ];
  for (const [what, problem, instead] of problems) {
    // Only who says nothing is waited for.
    const limitMs = problem.source.includes("300 ms") ? 300 : 30_000;
    it(`that ${what} costs its tools, with words and a step, never an answer`, async (t) => {
      const server = await started(t, "stateless");
      server.instead = (_, response) => instead(response);
      const { servers, states } = open(t, server, { limitMs });
      const steps: Step[] = [];
      assert.deepEqual(
        await traced(
          (step) => void steps.push(step),
          () => servers.tools(),
        ),
        [],
      );
      assert.match(states[0] ?? "", problem);
      assert.ok(!/stack trace/.test(states[0] ?? ""));
      assert.deepEqual(
        steps.map(({ name, status, error }) => [name, status, error?.message]),
        [[`mcp:${server.url}`, "error", states[0]]],
      );
      const before = server.requests.length;
      await servers.tools();
      assert.equal(server.requests.length, before, "not every answer waits for it");
    });
  }

  it("that keeps its stream open after the answer is not waited for", async (t) => {
    const server = await started(t, "stateless");
    const tools = await open(t, server).servers.tools();
    server.instead = ({ body, rpc }, response) => {
      if (rpc !== "tools/call") return false;
      const result = { resultType: "complete", content: [{ type: "text", text: "open" }] };
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(
        `data: ${JSON.stringify({ jsonrpc: "2.0", method: "notifications/message", params: {} })}\n\n`,
      );
      response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", id: body.id, result })}\n\n`);
      return undefined;
    };
    assert.equal((await call(tools, "order", { thing: "x" })).text, "open");
  });

  it("that hangs in a call is given up within the time of a tool", async (t) => {
    const server = await started(t, "session");
    const tools = await open(t, server).servers.tools();
    server.instead = ({ rpc }) => (rpc === "tools/call" ? undefined : false);
    const { error } = await call(tools, "order", { thing: "x" }, { milliseconds: 200 });
    assert.equal(error?.code, "TOOL_TIMEOUT");
  });

  it("that asks the agent's model or person gets a refusal, and the call goes on", async (t) => {
    const server = await started(t, "session", (sdk) => {
      sdk.registerTool("asks", { description: "Asks back." }, async () => {
        const asked = await sdk.server
          .elicitInput({ message: "Your password?", requestedSchema: { type: "object", properties: {} } })
          .then(
            () => "answered",
            () => "refused",
          );
        return { content: [{ type: "text", text: asked }] };
      });
    });
    const tools = await open(t, server).servers.tools();
    assert.equal((await call(tools, "asks", {})).text, "refused");
  });

  it("that forgot the session is called once in a new one", async (t) => {
    for (const mode of ["session", "session-json"] as const) {
      const server = await started(t, mode);
      const tools = await open(t, server).servers.tools();
      await call(tools, "order", { thing: "tea" });
      server.restart();
      assert.equal((await call(tools, "order", { thing: "cake" })).text, "ordered cake");
      const again = server.requests.filter(({ body }) => body?.params?.arguments?.thing === "cake");
      assert.equal(again.length, 2, "one found no session, the other was answered");
    }
  });

  it("that changes its tools: what is gone is an error for the model, and a list is read again", async (t) => {
    let named = "old";
    const server = await started(t, "stateless", (sdk) => {
      sdk.registerTool(named, { description: "A tool." }, async () => ({
        content: [{ type: "text", text: named }],
      }));
    });
    const { servers } = open(t, server);
    const tools = await servers.tools();
    named = "new";
    const gone = await call(tools, "old", {});
    assert.equal(gone.error?.code, "TOOL_FAILED");
    assert.match(gone.text, /^error: .*old/);
    vi.spyOn(performance, "now").mockImplementation(() => 1e9);
    await servers.tools(); // begins to read
    await new Promise((resolve) => setImmediate(resolve));
    for (let tries = 0; (await servers.tools())[0]?.name !== "new"; tries++) {
      assert.ok(tries < 200, "the list was not read again");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });

  it("that comes back is ready again without a message", async (t) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    t.onTestFinished(() => void vi.useRealTimers());
    const server = await started(t, "stateless");
    server.instead = (_, response) => json(response, {}, 503);
    const ready = Promise.withResolvers<void>();
    const failed = Promise.withResolvers<void>();
    const { servers } = open(t, server, {
      heals: true,
      onState: (_plugin, problem) => (problem === undefined ? ready : failed).resolve(),
    });
    await servers.tools();
    await failed.promise;
    server.instead = undefined;
    vi.advanceTimersByTime(5_000);
    await ready.promise;
    assert.equal((await servers.tools()).length, 2);
  });

  it("that offers too many tools, or one too large, says what is left out", async (t) => {
    const many = await started(t, "stateless", (sdk) => {
      for (let n = 0; n < 200; n++)
        sdk.registerTool(`t${n}`, { description: "x".repeat(5_000) }, async () => ({ content: [] }));
    });
    const first = open(t, many);
    const tools = await first.servers.tools();
    assert.deepEqual([tools.length, tools[0]?.description.length], [64, 2_000]);
    assert.deepEqual(first.notes, ["Offers 64 tools; only its first 64 tools are used"]);
    const large = await started(t, "stateless", (sdk) => {
      defaultTools(sdk);
      const wide = Object.fromEntries(Array.from({ length: 2_000 }, (_, n) => [`p${n}`, z.string()]));
      sdk.registerTool("wide", { description: "x", inputSchema: z.object(wide) }, async () => ({
        content: [],
      }));
    });
    const second = open(t, large);
    assert.deepEqual(
      (await second.servers.tools()).map(({ name }) => name),
      ["add", "order"],
    );
    assert.match(second.notes[0] ?? "", /^Offers 2 tools; 1 of its tools are left out/);
  });
});

describe("names", () => {
  const tool = (name: string, plugin = "mcp:https://mcp.linear.app/mcp") =>
    ({
      id: name,
      name,
      plugin,
      description: "",
      inputSchema: {},
      implementation: { type: "mcp" },
      configuration: {},
    }) as unknown as OwnTool;
  const names = (own: string[], offered: OwnTool[]) =>
    withServerTools(
      own.map((name) => tool(name) as ToolDefinition),
      offered,
    ).map(({ name }) => name);

  it("that are taken get the server's word before them, in the spelling of either engine", () => {
    const github = "mcp:https://api.github.com/mcp#T";
    assert.deepEqual(
      names(
        ["search"],
        [tool("search"), tool("get"), tool("get", github), tool("GET", github), tool("ge.t")],
      ),
      ["search", "linear_search", "get", "github_get", "github_2_GET", "ge.t"],
    );
    assert.deepEqual(names(["a_b"], [tool("a.b"), tool("a-b")]), ["a_b", "linear_a.b", "linear_2_a-b"]);
  });

  it("that cannot be shown or stored leave their tools out", async (t) => {
    const server = await started(t, "session-json");
    server.instead = ({ body, rpc }, response) => {
      if (rpc !== "tools/list") return false;
      const listed = ["fine", "a\0b", "a\nb", "", "x".repeat(129), "\ud83d"];
      const tools = listed.map((name) => ({ name, inputSchema: { type: "object" } }));
      return json(response, { jsonrpc: "2.0", id: body.id, result: { tools } });
    };
    const { notes, servers } = open(t, server);
    assert.deepEqual(
      (await servers.tools()).map(({ name }) => name),
      ["fine"],
    );
    assert.match(notes[0] ?? "", /^Offers 1 tool; 5 of its tools are left out/);
  });

  it("differ however often a server repeats one, and however long its host is", () => {
    const server = `mcp:https://${"a".repeat(63)}.example.com/mcp`;
    const same = Array.from({ length: 4 }, () => tool("get", server));
    assert.equal(new Set(names(["get"], same).map((name) => name.slice(0, 60).toUpperCase())).size, 5);
  });

  it("of servers are short", () => {
    for (const [plugin, label] of [
      ["mcp:https://mcp.linear.app/mcp", "linear"],
      ["mcp:https://example.com", "example"],
      ["mcp:http://localhost:3000/mcp#T", "localhost"],
      ["mcp:https://10.0.0.1/mcp", "mcp"],
      ["mcp:https://[2001:db8::1]/mcp", "mcp"],
      ["mcp:https://www.my-tools.example.co.uk/x", "my_tools"],
    ] as const)
      assert.equal(labelOf(plugin), label, plugin);
  });

  it("of addresses that no URL can have are undefined", () => {
    assert.equal(readMcpAddress("mcp:https://x:99999/"), undefined);
    const { header, secretName, url } = readMcpAddress("mcp:https://x/a?b=c#X-Key=T") ?? assert.fail();
    assert.deepEqual([url.href, header, secretName], ["https://x/a?b=c", "x-key", "T"]);
  });
});
