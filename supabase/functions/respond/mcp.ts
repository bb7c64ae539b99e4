/**
 * The tools of MCP servers for answers of agents that are not deployed. Servers are kept between answers, so that an answer does not
 * wait for their lists: each for one agent and one secret alone.
 */
import { createHash } from "node:crypto";
import type { McpServers } from "../../../packages/agent-runtime/src/plugins/mcp/servers.ts";
import type { OwnTool } from "../../../packages/agent-runtime/src/plugins/own.ts";
import type { Settings } from "./settings.ts";
import type { Task } from "./task.ts";

/** Servers that are kept; the one that was used longest ago goes. */
const MAX_KEPT = 100;
const kept = new Map<string, McpServers>();

/** What the agent's servers offer, each tool with its server's secret. Never throws: what fails is a step of the answer. */
export async function toolsOfServers(task: Task, settings: Settings): Promise<OwnTool[]> {
  const wanted = task.mcpServers ?? [];
  if (wanted.length === 0) return [];
  const { MAX_TOOLS, openMcpServers } = await import(
    "../../../packages/agent-runtime/src/plugins/mcp/servers.ts"
  );
  const found = await Promise.all(
    wanted.map(async ({ plugin, secret }) => {
      const key = createHash("sha256")
        .update(JSON.stringify([task.agent.id, plugin, secret]))
        .digest("hex");
      const server =
        kept.get(key) ??
        openMcpServers([plugin], {
          privateHosts: settings.privateHosts,
          limitMs: settings.toolMs,
          secretOf: async () => secret,
          heals: false,
        });
      keep(key, server);
      return (await server.tools()).map((tool): OwnTool => ({ ...tool, secret }));
    }),
  );
  return found.flat().slice(0, MAX_TOOLS);
}

function keep(key: string, server: McpServers): void {
  kept.delete(key);
  kept.set(key, server);
  const [oldest] = kept.keys();
  if (kept.size <= MAX_KEPT || oldest === undefined) return;
  void kept.get(oldest)?.close();
  kept.delete(oldest);
}
