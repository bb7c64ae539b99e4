// What the stack hands to the Realtime process: one JSON value in its environment.
import type { JwtKeys } from "../jwt-keys.ts";
import { LIMITS, type Limits } from "./limits.ts";

/** The variable that carries the settings. */
export const SETTINGS = "LAUNCHPAD_REALTIME_SETTINGS";
/** Where an operator raises or lowers limits: a JSON object of names in `Limits`. */
export const LIMITS_SETTING = "LAUNCHPAD_REALTIME_LIMITS";

export interface Settings {
  /** Connection URLs of supabase_realtime_admin and authenticator. */
  urls: { admin: string; api: string };
  keys: { publishableKey: string; secretKey: string; jwtKeys: JwtKeys };
}

/** Reads the settings of this process. Throws when they are missing or a limit is unknown or not a positive number. */
export function readSettings(env: NodeJS.ProcessEnv): Settings & { limits: Limits } {
  const text = env[SETTINGS];
  if (!text) throw new Error(`${SETTINGS} is missing: the stack starts this program`);
  return { ...(JSON.parse(text) as Settings), limits: readLimits(env[LIMITS_SETTING]) };
}

/** The limits with what an operator changed. Throws with the name of what cannot be a limit. */
export function readLimits(text: string | undefined): Limits {
  if (!text) return LIMITS;
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    given = undefined;
  }
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw new Error(`${LIMITS_SETTING} must be a JSON object, such as {"guestConnections": 1000}`);
  for (const [name, value] of Object.entries(given)) {
    if (!(name in LIMITS)) throw new Error(`${LIMITS_SETTING}: unknown limit ${name}`);
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0)
      throw new Error(`${LIMITS_SETTING}: ${name} must be a positive number`);
  }
  return { ...LIMITS, ...(given as Partial<Limits>) };
}
