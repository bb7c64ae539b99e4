// The plugins of an elizaOS agent: found, loaded with what they depend on, registered. Whatever a plugin does wrong names it.
import { ConfigurationError, describe } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { readPlugin } from "../model/package-tools.ts";
import { pluginsNotFound } from "../model/plugins.ts";
import { isPackageName } from "../packages.ts";
import { startStep } from "../plugin-faults.ts";
import { missesExport, requireCompatible } from "../requirements.ts";
import { BOOTSTRAP, type ElizaPart, SQL } from "./installation.ts";
import type { ElizaPlugin, ElizaRuntime } from "./types.ts";

export interface LoadOptions {
  readonly log: Log;
  /** How long one plugin may take to load. */
  readonly limitMs: number;
}

/**
 * Loads the plugins an agent names, each after those that it depends on. What it depends on may be named in short, as elizaOS does
 * ("ngrok" for "@elizaos/plugin-ngrok"), and is left out with a warning where it is not installed or not a plugin.
 * @returns by the packages' names
 * @throws ConfigurationError PLUGIN_NOT_FOUND naming every missing one, PLUGIN_INVALID, PLUGIN_FAILED, PLUGIN_INCOMPATIBLE
 */
export async function loadElizaPlugins(
  part: ElizaPart,
  names: readonly string[],
  { log, limitMs }: LoadOptions,
): Promise<Map<string, ElizaPlugin>> {
  const wanted = names.filter((name) => !isBuiltIn(name));
  const missing = wanted.filter((name) => !isInstalled(part, name));
  if (missing.length > 0) throw pluginsNotFound(missing);
  const plugins = new Map<string, ElizaPlugin>();
  const underway = new Set<string>();

  const add = async (name: string): Promise<void> => {
    if (plugins.has(name) || underway.has(name)) return;
    underway.add(name);
    const plugin = await load(part, name, limitMs);
    for (const dependency of plugin.dependencies ?? []) {
      await addDependency(dependency, name).catch((error) => skip(dependency, name, describe(error)));
    }
    plugins.set(name, plugin);
  };
  const addDependency = async (dependency: string, of: string): Promise<void> => {
    const spellings = [dependency, `@elizaos/plugin-${dependency}`];
    if (spellings.some((name) => isBuiltIn(name) || wanted.includes(name) || plugins.has(name))) return;
    const found = spellings.filter((name) => isInstalled(part, name));
    if (found.length === 0) return skip(dependency, of, "it is not installed");
    let problem: unknown;
    for (const name of found) {
      try {
        return await add(name);
      } catch (error) {
        problem = error;
      }
    }
    throw problem;
  };
  const skip = (dependency: string, of: string, why: string) =>
    log.warn(`Plugin ${of} works without ${dependency}: ${why}`, { plugin: of, dependency });

  for (const name of wanted) await add(name);
  return plugins;
}

const isBuiltIn = (name: string) => name === SQL || name === BOOTSTRAP;
const isInstalled = (part: ElizaPart, name: string) => isPackageName(name) && part.has(name);

async function load(part: ElizaPart, name: string, limitMs: number): Promise<ElizaPlugin> {
  requireCompatible(name, part.from, { node: process.versions.node, core: part.version });
  const module = await startStep(name, "cannot be loaded", limitMs, async () => {
    try {
      return await part.load(name);
    } catch (error) {
      throw missesExport(name, part.from, error, part.version) ?? error;
    }
  });
  const made = typeof module.default === "function" && module.default.length === 0 ? [module.default] : [];
  const plugin =
    [module.default, module.plugin, ...Object.values(module)].find(isPlugin) ??
    made.flatMap(callIfPossible).find(isPlugin);
  if (plugin) return plugin;
  const read = readPlugin(name, module);
  const why =
    "plugin" in read && read.plugin.tools !== undefined
      ? "exports AI SDK tools, which agents with elizaOS plugins cannot use. Remove it, or the elizaOS plugins."
      : "is installed but exports no elizaOS plugin. Check its name, or remove it.";
  const message = `Package ${name} ${why}`;
  throw new ConfigurationError("PLUGIN_INVALID", message, { plugin: name });
}

/** elizaOS also accepts a function without parameters that makes the plugin, but not a class. */
function callIfPossible(make: unknown): unknown[] {
  try {
    return [(make as () => unknown)()];
  } catch {
    return [];
  }
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
 * Registers the plugins one by one, so that one that fails, or does not come to an end, is named.
 * @throws ConfigurationError PLUGIN_FAILED, and PLUGIN_NOT_FOUND for one the runtime did not take
 */
export async function registerPlugins(
  runtime: ElizaRuntime,
  plugins: Map<string, ElizaPlugin>,
  limitMs: number,
): Promise<void> {
  for (const [name, plugin] of plugins) {
    await startStep(name, "failed to start", limitMs, () => runtime.registerPlugin(plugin));
  }
  const registered = new Set(runtime.plugins.map((plugin) => plugin.name));
  const dropped = [...plugins].filter(([, plugin]) => !registered.has(plugin.name)).map(([name]) => name);
  if (dropped.length > 0) throw pluginsNotFound(dropped);
}
