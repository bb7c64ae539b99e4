// Names of tools that MCP servers offer, beside tools that the agent has: each once, in the spellings of both engines. Pure.
import type { ToolDefinition } from "../../abilities/tools/definition.ts";
import { toolName } from "../../abilities/tools/provider-form.ts";
import type { OwnTool } from "../own.ts";
import { labelOf } from "./address.ts";

/** elizaOS knows actions by names in capitals; what differs there differs for every provider too. */
const spelling = (name: string): string =>
  toolName(name)
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]+/g, "_");

/**
 * The agent's tools with those of servers behind them. A server's tool whose name is taken has the server's before it.
 * @example
 * withServerTools([search], [search of mcp.linear.app]); // search, linear_search
 */
export function withServerTools(
  tools: readonly ToolDefinition[],
  offered: readonly OwnTool[],
): readonly ToolDefinition[] {
  if (offered.length === 0) return tools;
  const taken = new Set(tools.map(({ name }) => spelling(name)));
  const named = offered.map((tool) => {
    const spellings = function* () {
      yield tool.name;
      const label = labelOf(tool.plugin ?? "");
      yield `${label}_${tool.name}`;
      for (let number = 2; ; number++) yield `${label}_${number}_${tool.name}`;
    };
    for (const name of spellings()) {
      if (taken.has(spelling(name))) continue;
      taken.add(spelling(name));
      return { ...tool, name };
    }
    return tool;
  });
  return [...tools, ...named];
}
