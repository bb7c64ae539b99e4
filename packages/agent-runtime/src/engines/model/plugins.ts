// A plugin of the model engine is an npm package that exports tools of the AI SDK, { description, inputSchema, execute }, as `tools` or
// each by its name; or, as its default, { name: string, tools?: Record<string, Tool>, init?(context): void | Promise<void> }.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ToolSet } from "ai";
import { ConfigurationError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { isMissing, isPackageName } from "../packages.ts";
import { startStep } from "../plugin-faults.ts";
import { requireCompatible } from "../requirements.ts";
import { readPlugin } from "./package-tools.ts";

export interface PluginContext {
  readonly agentId: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly log: Log;
}

export interface ModelPlugin {
  readonly name: string;
  readonly tools?: ToolSet;
  readonly init?: (context: PluginContext) => void | Promise<void>;
}

/**
 * Loads the plugins and runs their init, in order.
 * @param limitMs how long one may take for either
 * @param folder where packages are installed that are not among the runtime's own
 * @throws ConfigurationError PLUGIN_NOT_FOUND naming every missing one, PLUGIN_INVALID, PLUGIN_FAILED, PLUGIN_INCOMPATIBLE
 */
export async function loadPlugins(
  names: readonly string[],
  context: PluginContext,
  limitMs: number,
  folder?: string,
): Promise<ModelPlugin[]> {
  const places = await openPlaces(folder);
  const missing = names.filter((name) => !isInstalled(places, name));
  if (missing.length > 0) throw pluginsNotFound(missing);
  const plugins: ModelPlugin[] = [];
  for (const name of names) {
    const plugin = await load(places, name, limitMs);
    const clash = Object.keys(plugin.tools ?? {}).find((tool) =>
      plugins.some((other) => tool in (other.tools ?? {})),
    );
    if (clash !== undefined) {
      throw new ConfigurationError(
        "PLUGIN_INVALID",
        `Plugin ${name} brings a tool "${clash}" that another one has.`,
        {
          plugin: name,
        },
      );
    }
    await startStep(name, "failed to start", limitMs, () => plugin.init?.(context));
    plugins.push(plugin);
  }
  return plugins;
}

/** The error of packages that are not installed, all named at once. */
export function pluginsNotFound(missing: readonly string[]): ConfigurationError {
  const list = missing.join(", ");
  const message =
    missing.length === 1
      ? `Plugin ${list} is not installed where agents run. Check its name, or ask the operator to install it.`
      : `Plugins ${list} are not installed where agents run. Check their names, or ask the operator to install them.`;
  return new ConfigurationError("PLUGIN_NOT_FOUND", message, { plugins: missing });
}

/** Where packages are looked up, each by its own resolution; the first that has one loads it. */
interface Place {
  /** File URL that packages are looked up from. */
  readonly from: string;
  resolve(name: string): string;
  load(name: string): Promise<unknown>;
}

const OWN: Place = {
  from: import.meta.url,
  resolve: (name) => import.meta.resolve(name),
  load: (name) => import(name),
};

/** The runtime's own packages, then those of the folder: its load.mjs resolves from there. */
async function openPlaces(folder: string | undefined): Promise<Place[]> {
  const loader = folder === undefined ? undefined : join(folder, "load.mjs");
  if (loader === undefined || !existsSync(loader)) return [OWN];
  const from = pathToFileURL(loader).href;
  return [OWN, { ...((await import(from)) as Omit<Place, "from">), from }];
}

function isInstalled(places: readonly Place[], name: string): boolean {
  return isPackageName(name) && places.some((place) => has(place, name));
}

function has(place: Place, name: string): boolean {
  try {
    place.resolve(name);
    return true;
  } catch (error) {
    return !isMissing(error, name); // an installed package without a main entry is there, but no plugin
  }
}

async function load(places: readonly Place[], name: string, limitMs: number): Promise<ModelPlugin> {
  const place = places.find((one) => has(one, name)) ?? OWN;
  requireCompatible(name, place.from, { node: process.versions.node, core: undefined });
  const module = await startStep(name, "cannot be loaded", limitMs, () => place.load(name));
  const read = readPlugin(name, module as Record<string, unknown>);
  if ("plugin" in read) return read.plugin;
  throw new ConfigurationError("PLUGIN_INVALID", `Package ${name} is not a plugin: ${read.problem}.`, {
    plugin: name,
  });
}
