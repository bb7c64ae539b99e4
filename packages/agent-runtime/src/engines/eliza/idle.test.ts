// Which real elizaOS agents can be idle. Needs the optional part: npm run install:eliza
import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { startAgent } from "../../testing/agent.ts";
import { makeElizaPart, skipEliza as skip } from "../../testing/eliza.ts";

const SERVICE = `import { Service } from "@elizaos/core";
class Poller extends Service {
  static serviceType = "poller";
  capabilityDescription = "polls";
  static async start(runtime) { return new Poller(runtime); }
  async stop() {}
}
export default { name: "poller", description: "a test's", services: [Poller] };`;
const TASKS = `export default { name: "reminder", description: "a test's", init: async (_, runtime) =>
  runtime.registerTaskWorker({ name: "REMIND", validate: async () => true, execute: async () => undefined }) };`;
const ACTIONS = `export default { name: "dice", description: "a test's", actions: [{ name: "ROLL", description: "rolls",
  validate: async () => true, handler: async () => ({ success: true }), similes: [], examples: [] }] };`;

describe("an elizaOS agent with a plugin of", { skip: Boolean(skip) }, () => {
  for (const [what, module, works] of [
    ["services is never idle, and the project hears why", SERVICE, true],
    ["tasks is never idle, and the project hears why", TASKS, true],
    ["actions alone is idle between its requests", ACTIONS, false],
  ] as const) {
    test(what, async () => {
      using part = makeElizaPart({ "a-plugin": { module } });
      const reported = Promise.withResolvers<{ name: string; worksAlone?: boolean }[]>();
      await using agent = await startAgent({
        config: { plugins: ["a-plugin", "@elizaos/plugin-bootstrap"] },
        environment: { AGENT_ELIZA_DIR: part.folder },
        project: ({ args, rpc }) => {
          if (rpc === "report_plugins" && args.plugins.every(({ ready }: { ready: boolean }) => ready))
            reported.resolve(args.plugins);
          return undefined;
        },
      });
      const plugins = await reported.promise;
      assert.deepEqual(
        plugins.map(({ name, worksAlone = false }) => [name, worksAlone]),
        [
          ["a-plugin", works],
          ["@elizaos/plugin-bootstrap", false],
        ],
      );
      const { body } = await agent.get("/metrics");
      const seconds = Number(/^agent_idle_seconds (\S+)$/m.exec(String(body.text))?.[1]);
      assert.equal(seconds > 0, !works, `${seconds} s`);
    });
  }
});
