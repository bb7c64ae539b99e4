// Public elizaOS plugins from the registry that npm is configured with: which run because they are named, and why the others do not.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startTestStack, type TestStack, type TestUser } from "../../tests/helpers/stack.ts";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { startElizaStub } from "../lib/eliza.ts";

/** By what they do: platforms, models, knowledge, chains, tools. */
const PLUGINS = [
  "@elizaos/plugin-telegram",
  "@elizaos/plugin-discord",
  "@elizaos/plugin-farcaster",
  "@elizaos/plugin-openrouter",
  "@elizaos/plugin-groq",
  "@elizaos/plugin-ollama",
  "@elizaos/plugin-knowledge",
  "@elizaos/plugin-evm",
  "@elizaos/plugin-mcp",
  "@elizaos/plugin-github",
];
const DEADLINE_MS = 300_000;

interface Status {
  readonly status: string;
  readonly reason: string | null;
  readonly message: string | null;
  readonly conditions?: readonly { type: string; status: string; message?: string | null }[];
}

export const benchmark: Benchmark = {
  title: "ten public elizaOS plugins, named at a launch",
  async run({ progress }) {
    await using stub = await startElizaStub();
    const store = mkdtempSync(join(tmpdir(), "launchpad-bench-plugins-"));
    const stack = await startTestStack({ env: { ...stub.environment, LAUNCHPAD_PLUGIN_STORE: store } });
    try {
      await stack.raiseRateLimits();
      const user = await stack.createUser();
      const rows: Row[] = [];
      for (const plugin of PLUGINS) {
        const row = await tryPlugin(stack, user, plugin);
        progress(`${plugin}: ${row.ours}; ${row.against ?? ""}`);
        rows.push(row);
      }
      return rows;
    } finally {
      await stack.stop();
      rmSync(store, { recursive: true, force: true });
    }
  },
};

async function tryPlugin(stack: TestStack, user: TestUser, plugin: string): Promise<Row> {
  const started = performance.now();
  const created = await stack.fetch("/api/agents", {
    method: "POST",
    token: user.token,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ agentName: "bench", plugins: [plugin] }),
  });
  const { agentId } = (await created.json()) as { agentId: string };
  let last: Status;
  do {
    await delay(250);
    last = (await (
      await stack.fetch(`/api/agents/${agentId}/status`, { token: user.token })
    ).json()) as Status;
  } while (!["DEPLOYED", "FAILED"].includes(last.status) && performance.now() - started < DEADLINE_MS);
  const seconds = `${((performance.now() - started) / 1000).toFixed(1)} s`;
  const [resolved] = await stack.sql<{ plugins: { name: string; version: string }[] | null }>(
    "select resolved_plugins -> 'plugins' as plugins from public.agent_revisions where agent_id = $1 order by revision desc limit 1",
    [agentId],
  );
  const version = resolved?.plugins?.find(({ name }) => name === plugin)?.version;
  const reply = last.status === "DEPLOYED" ? await say(stack, user, agentId) : undefined;
  const condition = last.conditions?.find(({ type }) => type === `PluginReady:${plugin}`);
  const why = last.status === "DEPLOYED" ? condition?.message : `${last.reason}: ${last.message}`;
  await stack.fetch(`/api/agents/${agentId}`, { method: "DELETE", token: user.token });
  return {
    measure: version === undefined ? plugin : `${plugin}@${version}`,
    ours: `${last.status}, ${seconds}${reply === undefined ? "" : `, ${reply}`}`,
    ...(why && { against: why.slice(0, 300) }),
  };
}

async function say(stack: TestStack, user: TestUser, agentId: string): Promise<string> {
  const { status, body } = await stack.agentFetch(agentId, "/message", {
    method: "POST",
    body: JSON.stringify({ text: "hello", conversationId: "c1" }),
    token: user.token,
  });
  return status === 200 ? "answers" : `${status} ${JSON.parse(body).error?.code ?? ""}`;
}
