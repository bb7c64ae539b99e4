// Chooses the engine that runs an agent.

import { pathToFileURL } from "node:url";
import type { Config } from "../config.ts";
import type { StartEngine } from "./engine.ts";
import { startModelEngine } from "./model/engine.ts";
import { needsEliza } from "./packages.ts";

/** Decides by the plugins: one that needs elizaOS makes the agent an elizaOS agent, else it talks to its model directly. */
export function engineName(config: Config): "model" | "eliza" {
  const folders = pluginFolders(config);
  const needs = config.plugins.some((plugin) => folders.some((from) => needsEliza(plugin, from)));
  return needs ? "eliza" : "model";
}

/** File URLs that plugins are looked up from: the runtime's own packages, and those of elizaOS. */
export function pluginFolders(config: Config): string[] {
  return [import.meta.url, pathToFileURL(`${config.elizaDir}/package.json`).href];
}

/** Loads the chosen engine's code: elizaOS costs a model agent nothing. The model engine is small until its first message. */
export async function loadEngine(name: "model" | "eliza"): Promise<StartEngine> {
  return name === "eliza" ? (await import("./eliza/engine.ts")).startElizaEngine : startModelEngine;
}
