// The MCP servers of one agent. What they need is loaded with the first; an agent without one pays nothing.
import type { OwnTool } from "../own.ts";
import { readMcpAddress } from "./address.ts";
import { McpServer } from "./server.ts";

/** Tools of all servers that a model is offered. */
export const MAX_TOOLS = 100;

export interface McpServersOptions {
  readonly privateHosts: readonly string[];
  readonly limitMs: number;
  readonly heals: boolean;
  secretOf(plugin: string): Promise<string | null>;
  /** Hears what is wrong with one, or `note` where nothing is. */
  onState?(plugin: string, problem: string | undefined, note: string): void;
}

export interface McpServers {
  /** What they offer now; never throws. */
  tools(): Promise<readonly OwnTool[]>;
  close(): Promise<void>;
}

/** Opens them. Never throws: what is wrong is a state. */
export function openMcpServers(plugins: readonly string[], options: McpServersOptions): McpServers {
  const servers = plugins.flatMap((plugin) => {
    const address = readMcpAddress(plugin);
    if (address === undefined) {
      options.onState?.(plugin, "its address cannot be used: check its port", "");
      return [];
    }
    const { heals, limitMs, onState, privateHosts, secretOf } = options;
    return [
      new McpServer({
        address,
        privateHosts,
        limitMs,
        heals,
        secret: () => secretOf(plugin),
        onState: (problem, note) => onState?.(plugin, problem, note),
      }),
    ];
  });
  return {
    tools: async () =>
      (await Promise.all(servers.map((server) => server.tools()))).flat().slice(0, MAX_TOOLS),
    close: async () => void (await Promise.all(servers.map((server) => server.close()))),
  };
}
