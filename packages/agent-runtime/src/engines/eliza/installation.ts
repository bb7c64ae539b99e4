// Opens the folder that elizaOS and its plugins are installed in.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ConfigurationError } from "../../errors.ts";
import { installedVersion } from "../packages.ts";

/** The optional part: a folder with its own node_modules, from which elizaOS and its plugins are loaded. */
export interface ElizaPart {
  /** True where the package is installed. */
  has(name: string): boolean;
  load(name: string): Promise<Record<string, unknown>>;
  /** File URL of the module that packages are looked up from. */
  readonly from: string;
  /** elizaOS's version. */
  readonly version: string | undefined;
}

/** What the engine itself needs, whatever the plugins. */
export const CORE = "@elizaos/core";
export const SQL = "@elizaos/plugin-sql";
export const BOOTSTRAP = "@elizaos/plugin-bootstrap";

/**
 * Opens the part.
 * @param plugins what the agent asks for: those that the install would not bring either are named at once
 * @throws ConfigurationError ENGINE_NOT_INSTALLED
 */
export async function openPart(folder: string, plugins: readonly string[]): Promise<ElizaPart> {
  const loader = join(folder, "load.mjs");
  if (!existsSync(loader)) throw notInstalled(folder, plugins);
  const { resolve, load } = (await import(pathToFileURL(loader).href)) as {
    resolve: (name: string) => string;
    load: (name: string) => Promise<Record<string, unknown>>;
  };
  const has = (name: string) => {
    try {
      resolve(name);
      return true;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND";
    }
  };
  if (![CORE, SQL, BOOTSTRAP].every(has)) throw notInstalled(folder, plugins);
  const from = pathToFileURL(loader).href;
  return { has, load, from, version: installedVersion(CORE, from) };
}

function notInstalled(folder: string, plugins: readonly string[]): ConfigurationError {
  const brought = dependenciesOf(folder);
  const missing = plugins.filter((name) => !brought.has(name));
  const rest =
    missing.length === 0 ? "" : ` It does not bring ${missing.join(", ")}, which would still be missing.`;
  const message = `The plugins need the elizaOS engine, which is not installed: run \`npm run install:eliza\`, then restart the agent.${rest}`;
  return new ConfigurationError("ENGINE_NOT_INSTALLED", message, {
    plugins,
    command: "npm run install:eliza",
  });
}

function dependenciesOf(folder: string): Set<string> {
  try {
    const { dependencies = {} } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    return new Set(Object.keys(dependencies));
  } catch {
    return new Set();
  }
}
