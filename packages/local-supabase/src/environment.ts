// Chooses which environment variables reach each program of a project.

import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { codeOf, StackError } from "./errors.ts";

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
  /** For the functions. */
  functions: Record<string, string>;
  /** A folder with further extensions for Postgres, such as pgvector (postgres/distribution.ts). */
  postgresExtensions?: string;
  /** JSON: limits of Realtime that differ from hosted's (realtime/limits.ts). */
  realtimeLimits?: string;
}

/**
 * What reaches the children: `supabase/functions/.env` reaches the functions, and nothing else of the environment is
 * handed on but what every program needs. Throws StackError when the file cannot be read.
 */
export function readEnvironment(env: NodeJS.ProcessEnv, envFile: string): Environment {
  const { LOCAL_SUPABASE_POSTGRES_EXTENSIONS: extensions, LOCAL_SUPABASE_REALTIME_LIMITS: limits } = env;
  return {
    machine: machineSettings(env),
    functions: readEnvFile(envFile),
    ...(extensions && { postgresExtensions: extensions }),
    ...(limits && { realtimeLimits: limits }),
  };
}

/** What of an environment every child gets. */
export const machineSettings = (env: NodeJS.ProcessEnv): Record<string, string> =>
  pick(env, MACHINE_SETTINGS);

/** The settings in a file; none where there is no file. Throws StackError when it cannot be read. */
export function readEnvFile(path: string): Record<string, string> {
  try {
    return pick(parseEnv(readFileSync(path, "utf8")));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return {};
    throw new StackError(`The settings in ${path} cannot be read (${codeOf(error)}).`);
  }
}

/** The settings of these names that have a value. */
export function pick(
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
