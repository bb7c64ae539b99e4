/** Plugins that the runtime brings itself, whatever the registry has under these names. SQL's private.built_in_plugins() is equal. */
export const BUILT_IN_PLUGINS: readonly string[] = ["@elizaos/plugin-supabase", "@elizaos/plugin-web3"];

/** Whether an entry of `plugins` is an MCP server, whose tools join the agent's. SQL's private.is_mcp_plugin() is equal. */
export const isMcpPlugin = (plugin: string): boolean => plugin.startsWith("mcp:");
