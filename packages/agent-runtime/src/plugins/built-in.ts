/** Plugins that the runtime brings itself, whatever the registry has under these names. SQL's private.built_in_plugins() is equal. */
export const BUILT_IN_PLUGINS: readonly string[] = ["@elizaos/plugin-supabase", "@elizaos/plugin-web3"];
