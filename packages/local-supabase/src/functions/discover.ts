// Finds the edge functions to serve, and the Deno binary.

import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { DEFAULT_SETTINGS, type FunctionSettings } from "../config/function-settings.ts";
import { StackError } from "../errors.ts";

export interface EdgeFunction {
  name: string;
  entry: string;
  /** Its deno.json, where it has one. */
  config: string | undefined;
  /** The import map that config.toml names, where it is no deno.json. */
  importMap?: string;
  /** Whether a request needs a valid token before the function sees it. */
  verifyJwt: boolean;
}

/**
 * The functions that `supabase functions deploy` would deploy: folders that begin with a letter and hold an index.ts or what
 * config.toml names as their entrypoint, unless it says that they are not enabled.
 */
export function findFunctions(
  folder: string,
  settings: ReadonlyMap<string, FunctionSettings> = new Map(),
): EdgeFunction[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && /^[a-z][\w-]*$/i.test(entry.name))
    .flatMap(({ name }): EdgeFunction[] => {
      const { enabled, verify_jwt, entrypoint, import_map } = settings.get(name) ?? DEFAULT_SETTINGS;
      const at = (path: string | undefined, otherwise: string) =>
        path ? resolve(dirname(folder), path) : join(folder, name, otherwise);
      const entry = at(entrypoint, "index.ts");
      if (!enabled || !existsSync(entry)) return [];
      const config = at(isConfig(import_map) ? import_map : undefined, "deno.json");
      return [
        {
          name,
          entry,
          config: existsSync(config) ? config : undefined,
          ...(import_map && !isConfig(import_map) ? { importMap: at(import_map, "") } : {}),
          verifyJwt: verify_jwt,
        },
      ];
    });
}

const isConfig = (path: string | undefined): boolean => path !== undefined && /deno\.jsonc?$/.test(path);

/** The Deno binary itself; the `deno` command of its package is a Node program that stays in memory beside it. */
export function findDeno(): string {
  const require = createRequire(import.meta.url);
  const names = Object.keys(
    (require("deno/package.json") as { optionalDependencies?: object }).optionalDependencies ?? {},
  );
  for (const name of names) {
    try {
      const folder = dirname(require.resolve(`${name}/package.json`));
      const binary = ["deno", "deno.exe"].map((file) => join(folder, file)).find(existsSync);
      if (binary) return binary;
    } catch {
      // another platform's package: not installed here
    }
  }
  throw new StackError("Deno is not installed for this platform; run `npm ci` again.");
}
