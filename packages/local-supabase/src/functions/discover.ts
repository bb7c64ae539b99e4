// Finds the edge functions to serve, and the Deno binary.

import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { StackError } from "../errors.ts";

export interface EdgeFunction {
  name: string;
  entry: string;
  /** Its deno.json, where it has one. */
  config: string | undefined;
}

/** The functions that `supabase functions deploy` would deploy: folders that begin with a letter and hold an index.ts. */
export function findFunctions(folder: string): EdgeFunction[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && /^[a-z][\w-]*$/i.test(entry.name))
    .map(({ name }) => ({
      name,
      entry: join(folder, name, "index.ts"),
      config: join(folder, name, "deno.json"),
    }))
    .filter(({ entry }) => existsSync(entry))
    .map(({ name, entry, config }) => ({ name, entry, config: existsSync(config) ? config : undefined }));
}

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
