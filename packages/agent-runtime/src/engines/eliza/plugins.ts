import { ConfigurationError, describe } from "../../errors.ts";
import { pluginsNotFound } from "../model/plugins.ts";
import { isPackageName } from "../packages.ts";
import { BOOTSTRAP, type ElizaPart, SQL } from "./part.ts";
import type { ElizaPlugin, ElizaRuntime } from "./types.ts";

/**
 * Loads the plugins an agent names, and those that they depend on. elizaOS itself drops a missing package without a word.
 * @throws ConfigurationError PLUGIN_NOT_FOUND naming every missing one, PLUGIN_INVALID, PLUGIN_FAILED
 */
export async function loadElizaPlugins(
  part: ElizaPart,
  names: readonly string[],
): Promise<Map<string, ElizaPlugin>> {
  const plugins = new Map<string, ElizaPlugin>();
  let wanted = names.filter((name) => name !== SQL && name !== BOOTSTRAP);
  while (wanted.length > 0) {
    const missing = wanted.filter((name) => !isPackageName(name) || !part.has(name));
    if (missing.length > 0) throw pluginsNotFound(missing);
    const next = new Set<string>();
    for (const name of wanted) {
      const plugin = await load(part, name);
      plugins.set(name, plugin);
      for (const dependency of plugin.dependencies ?? []) next.add(dependency);
    }
    wanted = [...next].filter((name) => !plugins.has(name) && name !== SQL && name !== BOOTSTRAP);
  }
  return plugins;
}

async function load(part: ElizaPart, name: string): Promise<ElizaPlugin> {
  let module: Record<string, unknown>;
  try {
    module = await part.load(name);
  } catch (error) {
    throw new ConfigurationError("PLUGIN_FAILED", `Plugin ${name} cannot be loaded: ${describe(error)}`, {
      plugin: name,
    });
  }
  const plugin = [module.default, module.plugin, ...Object.values(module)].find(isPlugin);
  if (plugin) return plugin;
  throw new ConfigurationError(
    "PLUGIN_INVALID",
    `Package ${name} is installed but exports no elizaOS plugin.`,
    {
      plugin: name,
    },
  );
}

/** A plugin has a name and brings something; a service class or a constant of the same module does not. */
function isPlugin(value: unknown): value is ElizaPlugin {
  if (typeof value !== "object" || value === null) return false;
  const plugin = value as Record<string, unknown>;
  const parts = [
    "description",
    "init",
    "actions",
    "providers",
    "services",
    "models",
    "evaluators",
    "routes",
    "events",
  ];
  return typeof plugin.name === "string" && parts.some((part) => part in plugin);
}

/**
 * Registers the plugins one by one, so that one that fails is named.
 * @throws ConfigurationError PLUGIN_FAILED, and PLUGIN_NOT_FOUND for one the runtime did not take
 */
export async function registerPlugins(
  runtime: ElizaRuntime,
  plugins: Map<string, ElizaPlugin>,
): Promise<void> {
  for (const [name, plugin] of plugins) {
    try {
      await runtime.registerPlugin(plugin);
    } catch (error) {
      const message = `Plugin ${name} failed to start: ${describe(error)}`;
      throw new ConfigurationError("PLUGIN_FAILED", message, { plugin: name });
    }
  }
  const registered = new Set(runtime.plugins.map((plugin) => plugin.name));
  const dropped = [...plugins].filter(([, plugin]) => !registered.has(plugin.name)).map(([name]) => name);
  if (dropped.length > 0) throw pluginsNotFound(dropped);
}
