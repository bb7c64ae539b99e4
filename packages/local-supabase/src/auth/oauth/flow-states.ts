// What is remembered between a browser's leaving for a provider and its coming back, and until its code is used.

import { createHash, randomUUID } from "node:crypto";
import { badRequest, notFound, unprocessable } from "../errors.ts";
import type { Queryable } from "../queryable.ts";

/** A row of auth.flow_state, as far as it is used. */
export interface FlowState {
  id: string;
  user_id: string | null;
  auth_code: string | null;
  code_challenge: string | null;
  code_challenge_method: "s256" | "plain" | null;
  provider_type: string;
  provider_access_token: string | null;
  provider_refresh_token: string | null;
  authentication_method: string;
  auth_code_issued_at: Date | null;
  created_at: Date;
  invite_token: string | null;
  referrer: string | null;
  oauth_client_state_id: string | null;
  linking_target_id: string | null;
  email_optional: boolean;
}

/** How long a browser may be away, and how long its code lasts. */
export const FLOW_LIFETIME_MS = 300_000;

export interface Pkce {
  code_challenge: string;
  code_challenge_method: string;
}

/** Judges an app's PKCE parameters. Throws 400 in supabase/auth's words; both empty is the implicit flow. */
export function checkPkce({ code_challenge, code_challenge_method }: Pkce): void {
  if ((code_challenge === "") !== (code_challenge_method === ""))
    throw badRequest("validation_failed", "PKCE flow requires code_challenge_method and code_challenge");
  if (code_challenge === "") return;
  if (code_challenge.length < 43 || code_challenge.length > 128)
    throw badRequest("validation_failed", "code challenge has to be between 43 and 128 characters");
  if (!/^[a-zA-Z._~0-9-]+$/.test(code_challenge))
    throw badRequest(
      "validation_failed",
      "code challenge can only contain alphanumeric characters, hyphens, periods, underscores and tildes",
    );
}

/** Begins a flow. Throws 400 for an unknown method of PKCE. */
export async function beginFlow(
  db: Queryable,
  flow: Pkce & {
    provider: string;
    method: string;
    userId?: string;
    inviteToken?: string;
    referrer?: string;
    clientStateId?: string | undefined;
    linkingTargetId?: string | undefined;
    emailOptional?: boolean;
  },
): Promise<FlowState> {
  const method = flow.code_challenge_method.toLowerCase();
  const isPkce = flow.code_challenge !== "";
  if (isPkce && method !== "s256" && method !== "plain")
    throw badRequest("validation_failed", "Invalid code_challenge_method");
  const { rows } = await db.query<FlowState>(
    `insert into auth.flow_state (id, user_id, auth_code, code_challenge_method, code_challenge, provider_type,
       provider_access_token, provider_refresh_token, authentication_method, invite_token, referrer, oauth_client_state_id,
       linking_target_id, email_optional, created_at, updated_at)
     values ($1, $2, $3, $4, $5, $6, '', '', $7, $8, $9, $10, $11, $12, now(), now()) returning *`,
    [
      randomUUID(),
      flow.userId ?? null,
      isPkce ? randomUUID() : null,
      isPkce ? method : null,
      isPkce ? flow.code_challenge : null,
      flow.provider,
      flow.method,
      flow.inviteToken || null,
      flow.referrer || null,
      flow.clientStateId ?? null,
      flow.linkingTargetId ?? null,
      flow.emailOptional ?? false,
    ],
  );
  return rows[0]!;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The flow that a browser comes back to. Throws 400 when it is unknown, too old or over. */
export async function flowOfState(db: Queryable, state: string): Promise<FlowState> {
  if (state === "") throw badRequest("bad_oauth_callback", "OAuth state parameter missing");
  if (!UUID.test(state)) throw badRequest("bad_oauth_state", "OAuth state parameter is invalid");
  const { rows } = await db.query<FlowState>("select * from auth.flow_state where id = $1", [state]);
  const [flow] = rows;
  if (!flow) throw badRequest("bad_oauth_state", "OAuth state not found or expired");
  if (isExpired(flow)) throw badRequest("bad_oauth_state", "OAuth state has expired");
  if (flow.code_challenge !== null && flow.user_id !== null)
    throw badRequest("flow_state_already_used", "State has already been used");
  return flow;
}

/** A magic link's flow lasts from when its code was issued, others from their beginning. */
export function isExpired(flow: FlowState, now = Date.now()): boolean {
  const since =
    flow.authentication_method === "magiclink"
      ? (flow.auth_code_issued_at ?? flow.created_at)
      : flow.created_at;
  return now > since.getTime() + FLOW_LIFETIME_MS;
}

/** Ends the browser's part: the app's code is now worth this user and the provider's tokens. Returns the code. */
export async function issueCode(
  db: Queryable,
  flow: FlowState,
  { userId, accessToken, refreshToken }: { userId: string; accessToken: string; refreshToken: string },
): Promise<string> {
  const { rows } = await db.query<{ auth_code: string }>(
    `update auth.flow_state set user_id = $2, provider_access_token = $3, provider_refresh_token = $4,
            auth_code_issued_at = now(), updated_at = now()
      where id = $1 and user_id is null returning auth_code`,
    [flow.id, userId, accessToken, refreshToken],
  );
  if (!rows[0]) throw badRequest("flow_state_already_used", "State has already been used");
  return rows[0].auth_code;
}

/**
 * Takes the flow of a code away, so that it works once.
 * Throws when the code is unknown or too old, or the verifier is not the challenge's.
 */
export async function takeFlow(
  db: Queryable,
  code: string,
  verifier: string,
): Promise<FlowState & { user_id: string }> {
  const { rows } = await db.query<FlowState>(
    "select * from auth.flow_state where auth_code = $1 for update",
    [code],
  );
  const [flow] = rows;
  if (!flow) throw notFound("flow_state_not_found", "invalid flow state, no valid flow state found");
  if (isExpired(flow))
    throw unprocessable("flow_state_expired", "invalid flow state, flow state has expired");
  const { user_id } = flow;
  if (user_id === null)
    throw notFound("flow_state_not_found", "invalid flow state, no valid flow state found");
  if (!fits(flow, verifier))
    throw badRequest("bad_code_verifier", "code challenge does not match previously saved code verifier");
  await db.query("delete from auth.flow_state where id = $1", [flow.id]);
  return { ...flow, user_id };
}

function fits({ code_challenge, code_challenge_method }: FlowState, verifier: string): boolean {
  if (code_challenge === null) return false;
  const shown =
    code_challenge_method === "s256" ? createHash("sha256").update(verifier).digest("base64url") : verifier;
  return shown === code_challenge;
}
