// Runs the hooks of [auth.hook.*]: what they are sent, and what their answers mean.

import { randomUUID } from "node:crypto";
import type { AuthSettings } from "../../config/auth-settings.ts";
import { AuthError, internal } from "../errors.ts";
import { type HookTarget, readHookTarget } from "./hook-target.ts";
import { callHttpHook } from "./http-hook.ts";

/** A connection inside a transaction. */
export interface HookConnection {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

/** What hooks need of Auth. */
export interface HookDatabase {
  /** Runs work in a transaction as supabase_auth_admin. */
  transaction<T>(work: (connection: HookConnection) => Promise<T>): Promise<T>;
}

/** Where a call comes from. */
export interface HookCaller {
  ipAddress: string;
  /** The transaction under way, if any: a hook of the database runs inside it. */
  connection?: HookConnection | undefined;
}

/** The names of config.toml, with the name that a hook sees. */
const NAMES = {
  custom_access_token: "customize-access-token",
  password_verification_attempt: "password-verification",
  mfa_verification_attempt: "mfa-verification",
  before_user_created: "before-user-created",
  send_email: "send-email",
  send_sms: "send-sms",
} as const;
export type HookName = keyof typeof NAMES;

/** A verification hook's verdict. */
export interface Verdict {
  rejected: boolean;
  message: string;
  /** Only of password_verification_attempt. */
  shouldLogoutUser: boolean;
}

/** What config.toml's e-mail hook gets about one mail. */
export interface HookMail {
  token: string;
  token_hash: string;
  redirect_to: string;
  email_action_type: string;
  site_url: string;
  token_new: string;
  token_hash_new: string;
  old_email?: string;
  old_phone?: string;
  provider?: string;
  factor_type?: string;
}

/** The hooks of a project. */
export interface Hooks {
  enabled(name: HookName): boolean;
  /** The claims that a token gets. */
  customAccessToken(
    caller: HookCaller,
    input: { user_id: string; claims: Record<string, unknown>; authentication_method: string },
  ): Promise<Record<string, unknown>>;
  passwordVerification(caller: HookCaller, input: { user_id: string; valid: boolean }): Promise<Verdict>;
  mfaVerification(
    caller: HookCaller,
    input: { user_id: string; factor_id: string; factor_type: string; valid: boolean },
  ): Promise<Verdict>;
  /** Throws when the hook refuses the user. */
  beforeUserCreated(caller: HookCaller, input: { user: object }): Promise<void>;
  sendEmail(caller: HookCaller, input: { user: object; email_data: HookMail }): Promise<void>;
}

/** A hook of the database has two seconds. */
const POSTGRES_TIMEOUT_MS = 2000;
const REJECTIONS = {
  password_verification_attempt: "Further password verification attempts will be rejected.",
  mfa_verification_attempt: "Further MFA verification attempts will be rejected.",
};

/**
 * Prepares the hooks that config.toml enables.
 * Throws a StackError of one sentence for a hook whose address or secret is wrong.
 */
export function createHooks(settings: AuthSettings["hook"], database: HookDatabase): Hooks {
  const targets = new Map<HookName, HookTarget>();
  for (const name of Object.keys(NAMES) as HookName[])
    if (settings[name].enabled) targets.set(name, readHookTarget(name, settings[name]));

  const run = async (name: HookName, caller: HookCaller, input: object): Promise<Record<string, unknown>> => {
    const target = targets.get(name);
    if (!target) return {};
    const metadata = {
      uuid: randomUUID(),
      time: new Date().toISOString(),
      name: NAMES[name],
      ip_address: caller.ipAddress,
    };
    const payload = JSON.stringify({ metadata, ...input });
    let text: string | undefined;
    try {
      text =
        target.kind === "http"
          ? await callHttpHook(target, payload)
          : await inDatabase(database, caller.connection, target.name, payload);
    } catch (error) {
      if (error instanceof AuthError) throw error;
      throw internal(`Error running hook URI: ${settings[name].uri}`, error);
    }
    return read(text);
  };
  const verdict = async (
    name: keyof typeof REJECTIONS,
    caller: HookCaller,
    input: object,
  ): Promise<Verdict> => {
    const { decision, message, should_logout_user } = await run(name, caller, input);
    return {
      rejected: decision === "reject",
      message: typeof message === "string" && message !== "" ? message : REJECTIONS[name],
      shouldLogoutUser: should_logout_user === true,
    };
  };

  return {
    enabled: (name) => targets.has(name),
    async customAccessToken(caller, input) {
      if (!targets.has("custom_access_token")) return input.claims;
      const { claims } = await run("custom_access_token", caller, input);
      if (claims === undefined) throw internal("output claims field is missing");
      if (typeof claims !== "object" || claims === null || Array.isArray(claims))
        throw internal("Error unmarshaling JSON output.");
      checkClaims(claims);
      return { ...claims };
    },
    passwordVerification: (caller, input) => verdict("password_verification_attempt", caller, input),
    mfaVerification: (caller, input) => verdict("mfa_verification_attempt", caller, input),
    async beforeUserCreated(caller, input) {
      await run("before_user_created", caller, input);
    },
    async sendEmail(caller, input) {
      await run("send_email", caller, input);
    },
  };
}

async function inDatabase(
  database: HookDatabase,
  connection: HookConnection | undefined,
  name: string,
  payload: string,
): Promise<string | undefined> {
  const call = async (within: HookConnection) => {
    await within.query(`set local statement_timeout to '${POSTGRES_TIMEOUT_MS}'`);
    const { rows } = await within.query(`select ${name}($1) as answer`, [payload]);
    await within.query("set local statement_timeout to default");
    const [row] = rows;
    const answer: unknown =
      typeof row === "object" && row !== null && "answer" in row ? row.answer : undefined;
    return answer === undefined || answer === null || answer === "" ? undefined : JSON.stringify(answer);
  };
  return await (connection ? call(connection) : database.transaction(call));
}

/** A hook's answer; one with an `error` is a refusal in its words. */
function read(text: string | undefined): Record<string, unknown> {
  if (text === undefined) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw internal("Error unmarshaling JSON output.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw internal("Error unmarshaling JSON output.");
  const answer = value as Record<string, unknown>;
  const { error } = answer;
  if (typeof error === "object" && error !== null && "message" in error) {
    const { message } = error;
    const status = "http_code" in error && Number.isInteger(error.http_code) ? Number(error.http_code) : 500;
    if (typeof message === "string" && message !== "")
      throw new AuthError(
        status >= 400 && status < 600 ? status : 500,
        status === 500 ? "unexpected_failure" : "unknown",
        message,
      );
  }
  return answer;
}

/** The claims that policies and clients rely on; a hook may change them and not leave them out. */
const NEEDED: readonly [string, (value: unknown) => boolean, string][] = [
  ["aud", (value) => typeof value === "string" || Array.isArray(value), "string"],
  ["exp", Number.isInteger, "integer"],
  ["iat", Number.isInteger, "integer"],
  ["sub", (value) => typeof value === "string", "string"],
  ["email", (value) => typeof value === "string", "string"],
  ["phone", (value) => typeof value === "string", "string"],
  ["role", (value) => typeof value === "string", "string"],
  ["aal", (value) => typeof value === "string", "string"],
  ["session_id", (value) => typeof value === "string", "string"],
  ["is_anonymous", (value) => typeof value === "boolean", "boolean"],
];

function checkClaims(claims: object): void {
  const faults = NEEDED.flatMap(([name, fits, type]) => {
    const value: unknown = Reflect.get(claims, name);
    if (value === undefined) return [`- (root): ${name} is required`];
    return fits(value) ? [] : [`- ${name}: Invalid type. Expected: ${type}`];
  });
  if (faults.length > 0)
    throw internal(`output claims do not conform to the expected schema: \n${faults.join("\n")}`);
}
