// Opens the plugins that the runtime brings and an agent's MCP servers. Loaded where an agent names one.
import type { Abilities } from "../abilities/runtime-abilities.ts";
import type { Config } from "../config.ts";
import type { Log } from "../log.ts";
import type { PluginStates } from "../plugin-states.ts";
import { isMcpPlugin } from "./built-in.ts";
import { type McpServers, openMcpServers } from "./mcp/servers.ts";
import { type OwnTool, openOwnPlugin, withOwnTools } from "./own.ts";

/** The abilities with their tools, and what closes their sessions. Never throws: what is wrong is a state. */
export function openBuiltIns(
  config: Config,
  abilities: Abilities,
  log: Log,
  states: PluginStates,
): { abilities: Abilities; close: () => Promise<void> } {
  const servers = openServers(config, abilities, log, states);
  const own = openOwnPlugins(config, log, states);
  return { abilities: withOwnTools(abilities, own, servers.tools), close: servers.close };
}

/** Opens the plugins that the runtime brings. One that lacks a setting is reported, and the agent goes on without it. */
function openOwnPlugins(config: Config, log: Log, states: PluginStates): OwnTool[] {
  return config.builtInPlugins.flatMap((name) => {
    if (isMcpPlugin(name)) return [];
    const { tools, problem, advice } = openOwnPlugin(name, config) ?? { tools: [] };
    if (problem === undefined) states.ready(name);
    else states.failed(name, problem);
    const told = problem ?? advice;
    if (told !== undefined) log.named("plugin").warn(`Plugin ${name}: ${told}`, { plugin: name });
    return tools;
  });
}

/** Opens the MCP servers. What is wrong with one is its state; the agent goes on without its tools, and tries again. */
function openServers(config: Config, abilities: Abilities, log: Log, states: PluginStates): McpServers {
  const { warn } = log.named("plugin");
  const servers = openMcpServers(config.builtInPlugins.filter(isMcpPlugin), {
    privateHosts: config.toolPrivateHosts,
    limitMs: config.toolTimeoutMs,
    secretOf: abilities.pluginSecret,
    heals: true,
    onState(plugin, problem, note) {
      if (problem === undefined) states.ready(plugin, note);
      else states.failed(plugin, problem);
      if (problem !== undefined) warn(`Plugin ${plugin}: ${problem}`, { plugin });
    },
  });
  void servers.tools(); // so that their state is known before the first message
  return servers;
}
