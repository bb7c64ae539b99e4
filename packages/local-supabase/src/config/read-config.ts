// Reads supabase/config.toml as the Supabase CLI does, as far as it concerns the services here.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse, TomlError } from "smol-toml";
import { z } from "zod";
import { codeOf, StackError } from "../errors.ts";
import { ApiSettings, AuthSettings } from "./auth-settings.ts";

/** What config.toml says. */
export interface ProjectConfig {
  auth: AuthSettings;
  api: ApiSettings;
  /** One sentence for each setting that is unknown or names an unset variable; the CLI goes on with those too. */
  warnings: string[];
}

const Config = z.looseObject({ auth: AuthSettings, api: ApiSettings });

/**
 * Reads `supabase/config.toml` of a project; without the file all settings have their defaults.
 * @param root the project's folder
 * @param env where `env(NAME)` is looked up
 * Throws a StackError of one sentence when the file is not TOML or a value is wrong.
 */
export async function readConfig(
  root: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ProjectConfig> {
  let toml: string;
  try {
    toml = await readFile(join(root, "supabase", "config.toml"), "utf8");
  } catch (error) {
    if (codeOf(error) !== "ENOENT")
      throw new StackError(`supabase/config.toml cannot be read (${codeOf(error)}).`);
    toml = "";
  }
  return parseConfig(toml, env);
}

/** The same of a text. */
export function parseConfig(
  toml: string,
  env: Readonly<Record<string, string | undefined>> = {},
): ProjectConfig {
  let raw: unknown;
  try {
    raw = parse(toml);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new StackError(`supabase/config.toml, line ${error.line}: ${firstLine(error.message)}.`);
  }
  const warnings: string[] = [];
  const known = withVariables(raw, env, [], warnings);
  let result = Config.safeParse(known);
  // Unknown settings are left out, as the CLI does, so that a newer file works with an older stack.
  while (!result.success) {
    const unknown = result.error.issues.filter(isUnknownSetting);
    if (unknown.length === 0) break;
    for (const { path, keys } of unknown) {
      const place = valueAt(known, path);
      for (const key of keys) {
        warnings.push(
          `supabase/config.toml: ${nameOf([...path, key])} is not a known setting and is ignored.`,
        );
        if (typeof place === "object" && place !== null) Reflect.deleteProperty(place, key);
      }
    }
    result = Config.safeParse(known);
  }
  if (!result.success) {
    const { path, message } = result.error.issues[0]!;
    const unset = REFERENCE.exec(String(valueAt(known, path)))?.[1];
    throw new StackError(
      unset === undefined
        ? `supabase/config.toml: ${nameOf(path)} ${reasonOf(message)}.`
        : `supabase/config.toml: ${nameOf(path)} refers to ${unset}, which is not set in the environment.`,
    );
  }
  return {
    auth: result.data.auth,
    api: result.data.api,
    warnings: [...warnings, ...notServed(result.data.auth)],
  };
}

interface UnknownSetting {
  path: PropertyKey[];
  keys: string[];
}

function isUnknownSetting(issue: z.core.$ZodIssue): issue is z.core.$ZodIssue & UnknownSetting {
  return issue.code === "unrecognized_keys";
}

/** What is turned on here and this stack does not do. */
function notServed(auth: AuthSettings): string[] {
  const on: string[] = [];
  if (auth.captcha.enabled) on.push("auth.captcha");
  for (const [name, { enabled }] of Object.entries(auth.third_party))
    if (enabled) on.push(`auth.third_party.${name}`);
  for (const [name, { enabled }] of Object.entries(auth.web3)) if (enabled) on.push(`auth.web3.${name}`);
  if (auth.sms.enable_signup) on.push("auth.sms");
  return on.map((name) => `supabase/config.toml: [${name}] is enabled; this stack does not support it.`);
}

const REFERENCE = /^env\((.*)\)$/;

/** Fills in `env(NAME)`. A variable that is unset leaves the text as it is, as in the CLI. */
function withVariables(
  value: unknown,
  env: Readonly<Record<string, string | undefined>>,
  path: readonly string[],
  warnings: string[],
): unknown {
  if (typeof value === "string") {
    const name = REFERENCE.exec(value)?.[1];
    if (name === undefined) return value;
    const found = env[name];
    if (found !== undefined && found !== "") return found;
    if (path[0] === "auth" || path[0] === "api")
      warnings.push(
        `supabase/config.toml: ${nameOf(path)} refers to ${name}, which is not set in the environment.`,
      );
    return value;
  }
  if (Array.isArray(value)) return value.map((item) => withVariables(item, env, path, warnings));
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, withVariables(item, env, [...path, key], warnings)]),
  );
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let place = root;
  for (const key of path)
    place = typeof place === "object" && place !== null ? Reflect.get(place, key) : undefined;
  return place;
}

const nameOf = (path: readonly PropertyKey[]) => path.map(String).join(".");

const firstLine = (message: string) =>
  (message.split("\n")[0] ?? "").replace(/^Invalid TOML document: /, "").replace(/\.$/, "");

/** Zod's own sentences begin with "Invalid …"; ours say what the value must be. */
const reasonOf = (message: string) => (/^(must|is) /.test(message) ? message : `is wrong: ${message}`);
