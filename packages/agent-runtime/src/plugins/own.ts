// The plugins that the runtime brings: tools of their own beside the agent's, in both engines, with settings from the environment.
import { withoutSecrets } from "../abilities/redact.ts";
import type { Abilities } from "../abilities/runtime-abilities.ts";
import type { ToolDefinition } from "../abilities/tools/definition.ts";
import type { Config } from "../config.ts";
import { withServerTools } from "./mcp/names.ts";
import { openSupabase } from "./supabase.ts";
import { openWeb3 } from "./web3.ts";

/** A tool that the runtime itself runs. */
export type OwnTool = ToolDefinition & Required<Pick<ToolDefinition, "run">>;

/** What a plugin of the runtime came to with the settings that it has. */
export interface OwnPlugin {
  readonly tools: readonly OwnTool[];
  /** What is missing or wrong, with the cure; the plugin then offers nothing. */
  readonly problem?: string;
  /** What it does without, with the cure. */
  readonly advice?: string;
}

export type OwnSettings = Pick<Config, "environment" | "supabaseProject">;

const OPEN: Readonly<Record<string, (settings: OwnSettings) => OwnPlugin>> = {
  "@elizaos/plugin-supabase": openSupabase,
  "@elizaos/plugin-web3": openWeb3,
};

/** Opens one by its name. Never throws: what is wrong is its `problem`. */
export function openOwnPlugin(
  name: string,
  settings: OwnSettings & Pick<Config, "secrets">,
): OwnPlugin | undefined {
  const plugin = OPEN[name]?.(settings);
  if (plugin === undefined) return undefined;
  const tools = plugin.tools.map(
    (tool): OwnTool => ({
      ...tool,
      // The other side may repeat a key, or the address that holds one.
      async run(given, context) {
        const result = await tool.run(given, context);
        return { ...result, text: withoutSecrets(result.text, settings.secrets) };
      },
    }),
  );
  return { ...plugin, tools };
}

/**
 * Abilities whose list of tools has these too, whatever list the platform's message was made with.
 * @param own tools of plugins that the runtime brings
 * @param servers tools of MCP servers, as they are now
 */
export function withOwnTools(
  abilities: Abilities,
  own: readonly OwnTool[],
  servers: () => Promise<readonly OwnTool[]> = async () => [],
): Abilities {
  return {
    ...abilities,
    async tools(digest) {
      const [stored, offered] = await Promise.all([abilities.tools(digest), servers()]);
      return withServerTools([...stored, ...own], offered);
    },
  };
}
