// What of the environment and of supabase/functions/.env reaches the functions, the controller and the agents.

import {
  machineSettings,
  type Environment as ProjectEnvironment,
  pick,
  readEnvFile,
} from "@agent-launchpad/local-supabase/environment.ts";

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

/** `functions`: everything in `supabase/functions/.env`, and the functions' own settings (LAUNCHPAD_…). */
export interface Environment extends ProjectEnvironment {
  /** For the functions and the controller. */
  provider: Record<string, string>;
  /** For the controller: its own settings (LAUNCHPAD_…) and npm's, where someone tunes them. */
  controller: Record<string, string>;
}

/**
 * What reaches the children of the environment and of `supabase/functions/.env`; where both name a setting, the
 * environment wins. Nothing else of the environment is handed on. Throws StackError when the file cannot be read.
 */
export function readEnvironment(env: NodeJS.ProcessEnv, envFile: string): Environment {
  const file = readEnvFile(envFile);
  const provider = withKeys({ ...pick(file, PROVIDER_SETTINGS), ...pick(env, PROVIDER_SETTINGS) });
  return {
    machine: machineSettings(env),
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
    ...(env.LAUNCHPAD_REALTIME_LIMITS && { realtimeLimits: env.LAUNCHPAD_REALTIME_LIMITS }),
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
