// What plugins do wrong, and what becomes of their agent. The real elizaOS; the plugins are the test's own packages.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "vitest";
import type { PluginState } from "../../plugin-states.ts";
import { type RunningAgent, runToEnd, startAgent } from "../../testing/agent.ts";
import { makeElizaPart, skipEliza as skip } from "../../testing/eliza.ts";

const plugin = (name: string, rest = "") =>
  `export default { name: "${name}", description: "a test's", ${rest} };`;
/** A plugin with one service, whose start is this. */
const serving = (name: string, start: string) =>
  plugin(
    name,
    `services: [class { static serviceType = "${name}"; static async start() { ${start} } async stop() {} }]`,
  );

const FATAL = {
  "throws-at-import": {
    module: "throw new Error('no such host');",
    reason: "PLUGIN_FAILED",
    says: /no such host/,
  },
  "never-loads": {
    module: "await new Promise(() => setInterval(() => 0, 1000));",
    reason: "PLUGIN_FAILED",
    says: /no end after 1 s/,
  },
  "never-begins": {
    module: plugin("x", "init: () => new Promise(() => {})"),
    reason: "PLUGIN_FAILED",
    says: /no end after 1 s/,
  },
  "throws-in-init": {
    module: plugin("x", "init() { throw new Error('no key') }"),
    reason: "PLUGIN_FAILED",
    says: /no key/,
  },
  "exits-at-import": { module: "process.exit(0);", reason: "PLUGIN_FAILED", says: /process\.exit\(0\)/ },
  "aborts-in-init": {
    module: plugin("x", "init() { process.abort() }"),
    reason: "PLUGIN_FAILED",
    says: /process\.abort/,
  },
  "kills-in-init": {
    module: plugin("x", "init() { process.kill(process.pid, 'SIGKILL') }"),
    reason: "PLUGIN_FAILED",
    says: /SIGKILL/,
  },
  "no-plugin": {
    module: "export const answer = 42;",
    reason: "PLUGIN_INVALID",
    says: /exports no elizaOS plugin/,
  },
  "ai-sdk-tools": {
    module: "export const tools = { time: { inputSchema: {}, execute: async () => 1 } };",
    reason: "PLUGIN_INVALID",
    says: /exports AI SDK tools, which agents with elizaOS plugins cannot use/,
  },
  "newer-node": {
    module: plugin("x"),
    manifest: { engines: { node: ">=99" } },
    reason: "PLUGIN_INCOMPATIBLE",
    says: /Node >=99/,
  },
  "newer-eliza": {
    module: plugin("x"),
    manifest: { peerDependencies: { "@elizaos/core": "^2.0.0-alpha.1" } },
    reason: "PLUGIN_INCOMPATIBLE",
    says: /elizaOS \^2\.0\.0-alpha\.1; agents run on 1\.7\.2\. Name a version of it for elizaOS 1\.x/,
  },
  // As @elizaos/plugin-mcp 1.8.2: it asks for any elizaOS, and needs what the later ones have.
  "imports-of-a-newer-eliza": {
    module: `import { getRequestContext, logger } from "@elizaos/core";\n${plugin("x", "init() { logger.info(getRequestContext) }")}`,
    manifest: { dependencies: {}, peerDependencies: { "@elizaos/core": "*" } },
    reason: "PLUGIN_INCOMPATIBLE",
    says: /imports-of-a-newer-eliza@1\.0\.0 needs another elizaOS: it imports getRequestContext, which elizaOS 1\.7\.2 does not have\. Name an older version/,
  },
};

test("a plugin that cannot start ends the launch with a reason that names it, and what to do", {
  skip: Boolean(skip),
}, async () => {
  using part = makeElizaPart(FATAL);
  await Promise.all(
    Object.entries(FATAL).map(async ([name, { reason, says }]) => {
      const { code, lines } = await runToEnd({
        config: { plugins: [name] },
        environment: { AGENT_ELIZA_DIR: part.folder, AGENT_PLUGIN_START_MS: "1000" },
      });
      const last = lines.at(-1);
      assert.deepEqual(
        [code, last?.metadata.reason, last?.metadata.plugin],
        [78, reason, name],
        `${name}: ${last?.message}`,
      );
      assert.ok(last?.message.includes(name) && says.test(last.message), `${name}: ${last?.message}`);
    }),
  );
});

const stateOf = async (agent: RunningAgent, name: string): Promise<PluginState | undefined> => {
  const { body } = await agent.get("/health");
  return (body.pluginStates as PluginState[]).find((state) => state.name === name);
};

async function until(ready: () => Promise<boolean>, within = 60_000): Promise<void> {
  const end = Date.now() + within;
  while (!(await ready())) {
    if (Date.now() > end) throw new Error("It did not come about in time.");
    await sleep(50);
  }
}

const AILING = {
  "refused-at-first": {
    module: `let tries = 0;\n${serving("refused-at-first", "if (++tries < 3) throw new Error('token refused'); return new this();")}`,
  },
  "refused-always": {
    module: serving("refused-always", "throw new Error('An invalid token was provided.')"),
  },
  "slow-to-start": {
    module: serving(
      "slow-to-start",
      "await new Promise((done) => setTimeout(done, 3000)); return new this();",
    ),
  },
  "rejects-behind": {
    module: `let tries = 0;\n${serving("rejects-behind", "if (++tries === 1) setTimeout(() => Promise.reject(new Error('poll failed')), 20); return new this();")}`,
  },
  "throws-behind": {
    module: `let tries = 0;\n${serving("throws-behind", "if (++tries === 1) setTimeout(() => { throw new Error('socket broke') }, 20); return new this();")}`,
  },
  "exits-behind": {
    module: serving("exits-behind", "setTimeout(() => process.exit(3), 20); return new this();"),
  },
  "waits-for-another": {
    module: plugin(
      "waits",
      "init(_, runtime) { runtime.getServiceLoadPromise('refused-always').then(() => 0) }",
    ),
  },
  healthy: { module: serving("healthy", "return new this();") },
};

test("a service that fails, is late or breaks later leaves the agent degraded, not dead, and is tried again", {
  skip: Boolean(skip),
}, async () => {
  using part = makeElizaPart(AILING);
  await using agent = await startAgent({
    config: { plugins: Object.keys(AILING) },
    environment: {
      AGENT_ELIZA_DIR: part.folder,
      AGENT_PLUGIN_START_MS: "1000",
      AGENT_PLUGIN_RETRY_MS: "200",
    },
  });
  const { body } = await agent.get("/health");
  assert.equal(body.status, "degraded");
  assert.equal((await stateOf(agent, "slow-to-start"))?.reason, "STARTING");
  assert.equal((await stateOf(agent, "healthy"))?.ready, true);
  const refused = await stateOf(agent, "refused-always");
  assert.deepEqual([refused?.reason, refused?.message], ["PLUGIN_FAILED", "An invalid token was provided."]);
  for (const name of ["refused-at-first", "slow-to-start", "rejects-behind", "throws-behind"]) {
    await until(async () => (await stateOf(agent, name))?.ready === true);
  }
  const said = (plugin: string, words: string) =>
    assert.ok(
      agent.lines.some(
        (line) => line.level === "ERROR" && line.metadata.plugin === plugin && line.message.includes(words),
      ),
      `${plugin}: ${words}`,
    );
  said("rejects-behind", "poll failed");
  said("throws-behind", "socket broke");
  said("exits-behind", "process.exit(3)");
  said("refused-always", "An invalid token was provided.");
  await until(async () => agent.project.calls.some(({ rpc }) => rpc === "report_plugins"));
  const told = agent.project.calls.filter(({ rpc }) => rpc === "report_plugins").at(-1)?.args
    .plugins as PluginState[];
  assert.equal(told.find(({ name }) => name === "refused-always")?.message, "An invalid token was provided.");
  assert.equal((await agent.get("/ready")).status, 200);
  agent.process.kill("SIGTERM");
  assert.equal(await agent.exited, 0);
});

test("of several replicas one runs the services of platforms; another takes over when it may", {
  skip: Boolean(skip),
}, async () => {
  const service = (name: string) =>
    `services: [class { static serviceType = "${name}"; static async start() { console.log("begun ${name}"); return new this(); } async stop() { console.log("ended ${name}"); } }]`;
  using part = makeElizaPart({
    "bot-telegram": { module: plugin("telegram", service("telegram")) },
    "own-wallet": { module: plugin("wallet", service("wallet")) },
  });
  let held = false;
  await using agent = await startAgent({
    config: { plugins: ["bot-telegram", "own-wallet"] },
    environment: { AGENT_ELIZA_DIR: part.folder },
    project: ({ rpc }) => (rpc === "hold_platforms" ? { body: { held } } : undefined),
  });
  const begun = (words: string) => agent.lines.some(({ message }) => message === words);
  const reason = async (name: string) => (await stateOf(agent, name))?.reason;
  assert.deepEqual([await reason("bot-telegram"), await reason("own-wallet")], ["STANDBY", "STARTED"]);
  assert.deepEqual([begun("begun telegram"), begun("begun wallet")], [false, true]);
  assert.equal((await agent.get("/health")).body.status, "ok");
  held = true;
  await until(async () => (await reason("bot-telegram")) === "STARTED");
  held = false;
  await until(async () => (await reason("bot-telegram")) === "STANDBY" && begun("ended telegram"));
  held = true;
  await until(async () => (await reason("bot-telegram")) === "STARTED");
  agent.process.kill("SIGTERM");
  assert.equal(await agent.exited, 0);
  const last = agent.project.calls.filter(({ rpc }) => rpc === "hold_platforms").at(-1);
  assert.deepEqual([last?.args.release, last?.args.replica], [true, "agent-test-abc234"]);
  const told = agent.project.calls.filter(({ rpc }) => rpc === "report_plugins")[0]?.args
    .plugins as PluginState[];
  assert.ok(!told.some(({ name }) => name === "bot-telegram"), "who stands by says nothing of it");
});

test("E12: routes that a plugin wants served are warned of and answer 404; its stack in the log is one line", {
  skip: Boolean(skip),
}, async () => {
  const module = plugin(
    "routed",
    'init() { console.error(new Error("shown once")) }, routes: [{ path: "/hook", type: "POST", handler() {} }]',
  );
  using part = makeElizaPart({ "routed-plugin": { module } });
  await using agent = await startAgent({
    config: { plugins: ["routed-plugin"] },
    environment: { AGENT_ELIZA_DIR: part.folder },
  });
  const warned = agent.lines.find(({ message }) => message.startsWith("Routes of plugins are not served"));
  assert.deepEqual([warned?.level, warned?.metadata.paths], ["WARN", ["/routed/hook"]]);
  for (const path of ["/hook", "/routed/hook", "/api/routed/hook"]) {
    assert.equal((await agent.get(path)).status, 404, path);
  }
  const shown = agent.lines.filter(({ message }) => /shown once|^\s+at /.test(message));
  assert.equal(shown.length, 1);
  assert.match(shown[0]?.message ?? "", /shown once\n\s+at /);
});

const DEPENDENT = {
  "needs-others": { module: plugin("needs", 'dependencies: ["ngrok", "short", "not-there", "broken"]') },
  // What is meant is @elizaos/plugin-ngrok, which is not installed; the package of that name is another thing.
  ngrok: { module: "export const connect = () => 0;" },
  short: { module: plugin("short") },
  broken: { module: "throw new Error('made for another');" },
};

test("what a plugin depends on is loaded before it, or left out with a warning", {
  skip: Boolean(skip),
}, async () => {
  using part = makeElizaPart(DEPENDENT);
  await using agent = await startAgent({
    config: { plugins: ["needs-others"] },
    environment: { AGENT_ELIZA_DIR: part.folder },
  });
  const plugins = (await agent.get("/health")).body.plugins as string[];
  assert.deepEqual(plugins.slice(2), ["short", "needs-others"]);
  for (const dependency of ["ngrok", "not-there", "broken"]) {
    const line = agent.lines.find(({ metadata }) => metadata.dependency === dependency);
    assert.deepEqual([line?.level, line?.metadata.plugin], ["WARN", "needs-others"], dependency);
  }
});

test("a secret that a plugin says it needs and the agent lacks is named by the name people set", {
  skip: Boolean(skip),
}, async () => {
  await using agent = await startAgent({ config: { plugins: ["@elizaos/plugin-discord"] } });
  const state = await stateOf(agent, "@elizaos/plugin-discord");
  assert.deepEqual([state?.ready, state?.message], [false, "Set DISCORD_TOKEN in the agent's environment"]);
});
