// An agent that is asked to stop ends with 0, whatever breaks off on the way.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { startProviderStub } from "../../../tests/helpers/providers.ts";
import { defaultElizaDir } from "./paths.ts";
import { startAgent } from "./testing/agent.ts";
import { installPlugin } from "./testing/plugin.ts";

const installed = existsSync(join(defaultElizaDir, "node_modules/@elizaos/core/package.json"));
const skip = installed ? false : "the elizaOS engine is not installed: npm run install:eliza";

test("work that rejects or throws after SIGTERM → exit 0 and a warning", async () => {
  using plugin = installPlugin(
    "late",
    `export default { name: "late", init() {
      process.once("SIGTERM", () => {
        void Promise.reject(new Error("late rejection"));
        setImmediate(() => { throw new Error("late throw"); });
      });
    } };`,
    "model",
  );
  await using stub = await startProviderStub(() => new Promise(() => undefined));
  await using agent = await startAgent({
    config: { plugins: [plugin.name] },
    environment: { ...stub.environment, AGENT_STOP_TIMEOUT_MS: "200" },
  });
  const asked = agent.say({ text: "hello" }).catch(() => undefined);
  while (stub.requests.length === 0) await new Promise(setImmediate);
  agent.process.kill("SIGTERM");
  assert.equal(await agent.exited, 0);
  await asked;
  const warnings = agent.lines.filter(({ level }) => level === "WARN").map(({ message }) => message);
  for (const word of [/late rejection/, /late throw/]) assert.match(warnings.join("\n"), word);
  assert.ok(!agent.lines.some(({ level }) => level === "ERROR"));
});

for (const [what, stop] of [
  ["fails", `async stop() { throw new Error("cannot let go"); }`],
  ["never ends", "stop() { return new Promise(() => undefined); }"],
] as const) {
  test(`elizaOS: a plugin's service whose stop ${what} → exit 0`, { skip: Boolean(skip) }, async () => {
    using plugin = installPlugin(
      "clinging",
      `class Clinging { static serviceType = "clinging"; static async start() { return new Clinging(); } ${stop} }
       export default { name: "clinging", services: [Clinging] };`,
    );
    await using agent = await startAgent({ config: { plugins: [plugin.name] } });
    agent.process.kill("SIGTERM");
    assert.equal(await agent.exited, 0);
  });
}

test("elizaOS: SIGTERM while an evaluator is at work → exit 0", { skip: Boolean(skip) }, async () => {
  using plugin = installPlugin(
    "musing",
    `export default { name: "musing", evaluators: [{
      name: "MUSING", description: "", examples: [], alwaysRun: true, validate: async () => true,
      async handler(runtime, message) {
        await new Promise((done) => process.once("SIGTERM", () => setTimeout(done, 200)));
        await runtime.getMemories({ roomId: message.roomId, tableName: "messages", count: 5 });
        throw new Error("the evaluator gives up");
      },
    }] };`,
  );
  await using stub = await startProviderStub(
    () => "<response><thought>easy</thought><actions>REPLY</actions><text>Hello</text></response>",
  );
  await using agent = await startAgent({
    config: { plugins: [plugin.name] },
    environment: { ...stub.environment, AGENT_STOP_TIMEOUT_MS: "50", AGENT_MESSAGE_TIMEOUT_MS: "3000" },
  });
  const asked = agent.say({ text: "hello" }).catch(() => undefined);
  while (stub.requests.length === 0) await new Promise(setImmediate);
  agent.process.kill("SIGTERM");
  assert.equal(await agent.exited, 0);
  await asked;
});
