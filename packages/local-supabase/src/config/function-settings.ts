// Reads the parts of supabase/config.toml that say how functions are served.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "smol-toml";
import { z } from "zod";
import { StackError } from "../errors.ts";
import { flag, optionalText } from "./fields.ts";

const Settings = z.looseObject({
  enabled: flag(true),
  /** Whether a request needs a valid token before the function sees it. */
  verify_jwt: flag(true),
  /** Relative to the folder `supabase`. */
  entrypoint: optionalText,
  import_map: optionalText,
});

/** What `[functions.NAME]` says; a function that is not named there has the defaults, as in the CLI. */
export type FunctionSettings = z.infer<typeof Settings>;

/** The settings of a function that config.toml does not name. */
export const DEFAULT_SETTINGS: FunctionSettings = Settings.parse({});

/**
 * Reads `[functions.*]` of a project's `supabase/config.toml`; nothing where the file is not there.
 * Throws a StackError of one sentence where a value is wrong. What else the file says is read elsewhere.
 */
export function readFunctionSettings(root: string): ReadonlyMap<string, FunctionSettings> {
  const file = join(root, "supabase", "config.toml");
  return existsSync(file) ? functionSettings(readFileSync(file, "utf8")) : new Map();
}

/** The same of a text. */
export function functionSettings(toml: string): ReadonlyMap<string, FunctionSettings> {
  let functions: unknown;
  try {
    functions = parse(toml).functions ?? {};
  } catch (error) {
    throw new StackError(`supabase/config.toml is not TOML: ${error instanceof Error ? error.message : ""}`);
  }
  const read = z.record(z.string(), Settings).safeParse(functions);
  if (read.success) return new Map(Object.entries(read.data));
  const { path, message } = read.error.issues[0]!;
  throw new StackError(`supabase/config.toml: functions.${path.map(String).join(".")} ${message}.`);
}
