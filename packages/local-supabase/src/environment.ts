// Chooses which environment variables reach each program of the stack.

import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { codeOf, StackError } from "./errors.ts";

/** Settings of model providers: they reach the functions, the controller and, through it, the agents. */
const PROVIDER_SETTINGS = [
  "OPENAI_API_KEY",
  "OPENAI_BASE_URL",
  "OPENAI_API",
  "ANTHROPIC_API_KEY",
  "ANTHROPIC_BASE_URL",
  "GOOGLE_GENERATIVE_AI_API_KEY",
  "GOOGLE_GENERATIVE_AI_BASE_URL",
] as const;

/** The key of a model server that wants none, such as Ollama: engines refuse to call without one. */
const NO_KEY = "none";

/** How agents without a deployment answer (read by the function `respond`), and where advisories are (`upkeep`). */
const FUNCTION_SETTINGS = /^LAUNCHPAD_(ANSWER|TOOL|RESPOND|EMBEDDING|ADVISORY)_\w+$/;

/** Where npm installs plugins from, and the tokens that an .npmrc names: read by the controller's npm. */
const NPM_SETTINGS = /^(npm_config_.+|NPM_CONFIG_.+|NPM_TOKEN|NODE_AUTH_TOKEN)$/;

/** What a program needs of a machine's environment to run at all and to reach the outside. */
const MACHINE_SETTINGS = [
  "PATH",
  "HOME",
  "TMPDIR",
  "LANG",
  "TZ",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "SSL_CERT_FILE",
  "NODE_EXTRA_CA_CERTS",
];

export interface Environment {
  /** For every child. */
  machine: Record<string, string>;
  /** For the functions and the controller. */
  provider: Record<string, string>;
  /** For the functions: everything in `supabase/functions/.env`, and their own settings (LAUNCHPAD_…). */
  functions: Record<string, string>;
  /** For the controller: its own settings (LAUNCHPAD_…) and npm's, where someone tunes them. */
  controller: Record<string, string>;
  /** A folder with further extensions for Postgres, such as pgvector (postgres/distribution.ts). */
  postgresExtensions?: string;
}

/**
 * What reaches the children of the environment and of `supabase/functions/.env`; where both name a setting, the
 * environment wins. Nothing else of the environment is handed on. Throws StackError when the file cannot be read.
 */
export function readEnvironment(env: NodeJS.ProcessEnv, envFile: string): Environment {
  const file = readEnvFile(envFile);
  const provider = withKeys({ ...pick(file, PROVIDER_SETTINGS), ...pick(env, PROVIDER_SETTINGS) });
  return {
    machine: pick(env, MACHINE_SETTINGS),
    provider,
    functions: {
      ...advisorySource(env),
      ...file,
      ...pick(
        env,
        Object.keys(env).filter((name) => FUNCTION_SETTINGS.test(name)),
      ),
      ...provider,
    },
    controller: pick(
      env,
      Object.keys(env).filter((name) => name.startsWith("LAUNCHPAD_") || NPM_SETTINGS.test(name)),
    ),
    ...(env.LAUNCHPAD_POSTGRES_EXTENSIONS && { postgresExtensions: env.LAUNCHPAD_POSTGRES_EXTENSIONS }),
  };
}

/** Whoever installs from a registry of their own (npm says which to the scripts it runs) asks that one for advisories. */
function advisorySource({ npm_config_registry: registry }: NodeJS.ProcessEnv): Record<string, string> {
  const address = URL.parse(registry ?? "");
  if (address === null) return {};
  address.username = address.password = "";
  return { LAUNCHPAD_ADVISORY_URL: `${address.href.replace(/\/+$/, "")}/-/npm/v1/security/advisories/bulk` };
}

/** An address without a key is a server that wants none: its address alone is enough. */
function withKeys(provider: Record<string, string>): Record<string, string> {
  const keys = Object.keys(provider)
    .filter((name) => name.endsWith("_BASE_URL"))
    .map((name) => [name.replace(/_BASE_URL$/, "_API_KEY"), NO_KEY]);
  return { ...Object.fromEntries(keys), ...provider };
}

function readEnvFile(path: string): Record<string, string> {
  try {
    return pick(parseEnv(readFileSync(path, "utf8")));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return {};
    throw new StackError(`The settings in ${path} cannot be read (${codeOf(error)}).`);
  }
}

function pick(
  from: NodeJS.Dict<string>,
  names: readonly string[] = Object.keys(from),
): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of names) {
    const value = from[name];
    if (value !== undefined && value !== "") kept[name] = value;
  }
  return kept;
}
