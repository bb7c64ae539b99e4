import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { type Asked, startProviderStub } from "../../../../../tests/helpers/providers.ts";
import { runToEnd, startAgent } from "../../testing/agent.ts";
import { installPlugin } from "../../testing/plugin.ts";
import { readPlugin } from "./package-tools.ts";

// Real packages where real ones would be: beside the runtime, named so that two runs at once do not meet.
const modules = join(import.meta.dirname, "../../../node_modules");
const name = (kind: string) => `agent-launchpad-test-${kind}-${process.pid}`;

const SOURCES = {
  clock: `import { z } from "zod";
    export default {
      name: "clock",
      init({ environment, log }) { log.info("clock starts", { zone: environment.CLOCK_ZONE }); },
      tools: { time: {
        description: "Tells the time",
        inputSchema: z.object({ zone: z.string() }),
        execute: async ({ zone }) => ({ time: "12:00", zone }),
      } },
    };`,
  broken: "throw new Error('this plugin is broken');",
  failing: "export default { name: 'failing', init() { throw new Error('no luck'); } };",
  shapeless: "export const plugin = {};",
  maker: "export const webSearch = (options) => ({ options });",
  old: "export const tools = { search: { parameters: {}, execute: async () => 1 } };",
  commonjs: "module.exports = { name: 'commonjs' };",
};

beforeAll(() => {
  for (const [kind, source] of Object.entries(SOURCES)) {
    const folder = join(modules, name(kind));
    const type = kind === "commonjs" ? "commonjs" : "module";
    const manifest = { name: name(kind), version: "1.0.0", type, main: "index.js" };
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
    writeFileSync(join(folder, "index.js"), source);
  }
});
afterAll(() => {
  for (const kind of Object.keys(SOURCES))
    rmSync(join(modules, name(kind)), { recursive: true, force: true });
});

test("a plugin's tool is offered, called, and its result goes back to the model", async () => {
  await using stub = await startProviderStub((asked: Asked) => {
    if (stub.requests.length > 1) return "It is noon.";
    const call = { id: "call_1", type: "function", function: { name: "time", arguments: '{"zone":"UTC"}' } };
    const message = { role: "assistant", content: null, tool_calls: [call] };
    const choices = [{ index: 0, message, finish_reason: "tool_calls" }];
    return { raw: JSON.stringify({ id: "x", created: 1, model: asked.model, choices, usage: {} }) };
  });
  await using agent = await startAgent({
    config: { plugins: [name("clock")] },
    environment: { ...stub.environment, CLOCK_ZONE: "Europe/Berlin" },
  });
  assert.equal((await agent.say({ text: "What time is it?" })).body.reply, "It is noon.");
  const tools = stub.requests[0]?.body.tools as { function: { name: string; description: string } }[];
  assert.deepEqual([tools[0]?.function.name, tools[0]?.function.description], ["time", "Tells the time"]);
  const result = (stub.requests[1]?.body.messages as { role: string; content: string }[] | undefined)?.at(-1);
  assert.deepEqual(
    [result?.role, JSON.parse(result?.content ?? "")],
    ["tool", { time: "12:00", zone: "UTC" }],
  );
  const started = agent.lines.find(({ message }) => message === "clock starts");
  assert.deepEqual([started?.source, started?.metadata.zone], ["plugin", "[secret]"]);
  assert.deepEqual((await agent.get("/health")).body.plugins, ["clock"]);
});

const TOOL = `tool({
  description: "Tells the time",
  inputSchema: jsonSchema({ type: "object", properties: { zone: { type: "string" } } }),
  execute: async ({ zone }) => "12:00 in " + zone,
})`;
const EXPORTS: Record<string, string> = {
  "as tools": `export const tools = { time: ${TOOL} };`,
  "as its default export": `export default { time: ${TOOL} };`,
  "each by its name": `export const time = ${TOOL}; export const VERSION = "1"; export class Other {}`,
  "as tools beside a default export that is none": `export const tools = { time: ${TOOL} }; export default function make() {}`,
};
for (const [how, source] of Object.entries(EXPORTS)) {
  test(`a package that exports AI SDK tools ${how} joins the agent's`, async () => {
    using plugin = installPlugin("tools", `import { jsonSchema, tool } from "ai"; ${source}`, "model");
    await using stub = await startProviderStub(({ body }) => {
      const last = (body.messages as { role: string; content: string }[]).at(-1);
      if (last?.role === "tool") return `It is ${last.content}`;
      const call = {
        id: "call_1",
        type: "function",
        function: { name: "time", arguments: '{"zone":"UTC"}' },
      };
      const message = { role: "assistant", content: null, tool_calls: [call] };
      const choices = [{ index: 0, message, finish_reason: "tool_calls" }];
      return { raw: JSON.stringify({ id: "x", created: 1, model: "m", choices, usage: {} }) };
    });
    await using agent = await startAgent({
      config: { plugins: [plugin.name] },
      environment: stub.environment,
    });
    assert.equal((await agent.say({ text: "What time is it?" })).body.reply, "It is 12:00 in UTC");
    assert.deepEqual((await agent.get("/health")).body.plugins, [plugin.name]);
  });
}

test("names that a provider refuses are written so that it takes them", () => {
  const one = { inputSchema: {}, execute: async () => 1 };
  const read = readPlugin("p", { tools: { "web.search": one, "web search": one, ok: one } });
  assert.ok("plugin" in read);
  assert.deepEqual(Object.keys(read.plugin.tools ?? {}), ["web_search", "web_search_2", "ok"]);
});

test("a plugin of the older module form works too", async () => {
  await using agent = await startAgent({ config: { plugins: [name("commonjs")] } });
  assert.deepEqual((await agent.get("/health")).body.plugins, ["commonjs"]);
});

test("a plugin that cannot serve fails the launch with its name", async () => {
  const table = [
    ["broken", "PLUGIN_FAILED", /this plugin is broken/],
    ["failing", "PLUGIN_FAILED", /no luck/],
    ["shapeless", "PLUGIN_INVALID", /must export AI SDK tools/],
    ["maker", "PLUGIN_INVALID", /exports functions \(webSearch\): make a package/],
    ["old", "PLUGIN_INVALID", /AI SDK 4.*name a version for AI SDK 5/],
  ] as const;
  for (const [kind, reason, pattern] of table) {
    const { code, lines } = await runToEnd({ config: { plugins: [name(kind)] } });
    const last = lines.at(-1);
    assert.deepEqual([code, last?.metadata.reason], [78, reason]);
    assert.match(last?.message ?? "", pattern);
    assert.ok(last?.message.includes(name(kind)));
  }
});
