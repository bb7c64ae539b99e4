// Begins, refreshes and ends sessions.

import { randomBytes, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { issueAccessToken } from "./access-token.ts";
import { recordAudit } from "./audit.ts";
import type { AuthContext } from "./context.ts";
import { CommitWithError } from "./database.ts";
import { AuthError, badRequest, forbidden, OAuthError } from "./errors.ts";
import type { Queryable } from "./queryable.ts";
import type { AuthRequest } from "./request.ts";
import { findUser, isBanned, type Json, type UserRow, updateUser, userJson } from "./users.ts";

/** A row of auth.sessions, as far as Auth uses it. */
export interface SessionRow {
  id: string;
  user_id: string;
  created_at: Date;
  factor_id: string | null;
  aal: "aal1" | "aal2" | "aal3" | null;
  not_after: Date | null;
  refreshed_at: Date | null;
  /** The app that the session is of, and what it may read; null for the user's own. */
  oauth_client_id: string | null;
  scopes: string | null;
}

interface RefreshTokenRow {
  id: string;
  token: string;
  user_id: string;
  session_id: string | null;
  revoked: boolean;
  parent: string | null;
  updated_at: Date;
}

/** A session as clients get it. */
export type SessionJson = Json & { access_token: string; refresh_token: string; user: Json };

/** What must be decided together about how a session began. */
export interface SessionStart {
  /** As in the claim `amr`: password, otp, oauth, anonymous … */
  method: string;
  factorId?: string;
  /** The app that gets the session, and what it may read. */
  client?: { id: string; scopes: string };
}

/**
 * Begins a session, in the transaction under way.
 * @returns what the client gets: tokens and the user
 */
export async function issueSession(
  context: AuthContext,
  on: Queryable,
  request: AuthRequest,
  user: UserRow,
  { method, client }: SessionStart,
): Promise<SessionJson> {
  // The one door of all ways in: a code of PKCE, an invitation and others may be older than the ban.
  if (isBanned(user, context.now())) throw forbidden("user_banned", "User is banned");
  await updateUser(on, user, { last_sign_in_at: context.now() });
  const sessionId = randomUUID();
  await on.query(
    `insert into auth.sessions (id, user_id, aal, created_at, updated_at, user_agent, ip, oauth_client_id, scopes)
      values ($1, $2, 'aal1', now(), now(), $3, $4, $5, $6)`,
    [
      sessionId,
      user.id,
      request.userAgent ?? null,
      request.ip || null,
      client?.id ?? null,
      client?.scopes ?? null,
    ],
  );
  await addMethod(on, sessionId, method);
  const refreshToken = await insertRefreshToken(on, user.id, sessionId, null);
  return await sessionJson(context, on, request, user, { sessionId, refreshToken, method });
}

/** Notes that a session was confirmed in a way, now. */
export async function addMethod(on: Queryable, sessionId: string, method: string): Promise<void> {
  await on.query(
    `insert into auth.mfa_amr_claims (id, session_id, authentication_method, created_at, updated_at)
      values ($1, $2, $3, now(), now())
      on conflict on constraint mfa_amr_claims_session_id_authentication_method_pkey do update set updated_at = now()`,
    [randomUUID(), sessionId, method],
  );
}

/** What a client gets of a session, with a new access token. */
export async function sessionJson(
  context: AuthContext,
  on: Queryable,
  request: AuthRequest,
  user: UserRow,
  session: { sessionId: string; refreshToken: string; method: string },
): Promise<SessionJson> {
  const { token, expiresAt } = await issueAccessToken(context, on, request, { user, ...session });
  return {
    access_token: token,
    token_type: "bearer",
    expires_in: expiresAt - Math.floor(context.now().getTime() / 1000),
    expires_at: expiresAt,
    refresh_token: session.refreshToken,
    user: userJson(user),
  };
}

/** A refresh token in Auth's older form: twelve letters and digits. */
const newRefreshToken = (): string =>
  [...randomBytes(12)].map((byte) => "abcdefghijklmnopqrstuvwxyz234567"[byte % 32]).join("");

async function insertRefreshToken(
  on: Queryable,
  userId: string,
  sessionId: string,
  parent: string | null,
): Promise<string> {
  const token = newRefreshToken();
  await on.query(
    `insert into auth.refresh_tokens (instance_id, token, user_id, session_id, parent, revoked, created_at, updated_at)
      values ('00000000-0000-0000-0000-000000000000', $1, $2, $3, $4, false, now(), now())`,
    [token, userId, sessionId, parent ?? ""],
  );
  return token;
}

/** Revokes a session's token and makes the next. */
export async function swapRefreshToken(
  on: Queryable,
  userId: string,
  sessionId: string,
  before: string,
): Promise<string> {
  await on.query("update auth.refresh_tokens set revoked = true, updated_at = now() where token = $1", [
    before,
  ]);
  return await insertRefreshToken(on, userId, sessionId, before);
}

/** The session's token that is in use. */
export async function activeRefreshToken(
  on: Queryable,
  sessionId: string,
): Promise<RefreshTokenRow | undefined> {
  const { rows } = await on.query<RefreshTokenRow>(
    "select * from auth.refresh_tokens where session_id = $1 and not revoked order by id desc limit 1",
    [sessionId],
  );
  return rows[0];
}

/** For how long a refresh waits for another of the same session. */
const PATIENCE_MS = 5000;

/**
 * Exchanges a refresh token for a new session.
 * A token that was used before is accepted while the client may not know better: within the reuse interval, or while it is the
 * parent of the one in use. Otherwise its whole session is revoked (rotation).
 * @param clientId the app that asks; a session of an app is refreshed by that app alone
 */
export async function refreshSession(
  context: AuthContext,
  request: AuthRequest,
  given: string,
  clientId?: string,
): Promise<{ session: SessionJson; headers: Record<string, string> }> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await findRefreshToken(context.database, given);
    const user = found && (await findUser(context.database, found.user_id));
    if (!found || !user)
      throw badRequest("refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found");
    if (isBanned(user, context.now())) throw badRequest("user_banned", "Invalid Refresh Token: User Banned");
    const refreshed = await context.database.transaction((on) =>
      refreshOnce(context, on, request, { given, clientId }, user),
    );
    if (refreshed !== "locked") return refreshed;
    if (Date.now() > deadline)
      throw new AuthError(
        409,
        "conflict",
        "Too many concurrent token refresh requests on the same session or refresh token",
      );
    await sleep(10 + Math.random() * 20); // the database does not say when a lock goes that one does not wait for
  }
}

async function findRefreshToken(on: Queryable, token: string): Promise<RefreshTokenRow | undefined> {
  const { rows } = await on.query<RefreshTokenRow>("select * from auth.refresh_tokens where token = $1", [
    token,
  ]);
  return rows[0];
}

async function refreshOnce(
  context: AuthContext,
  on: Queryable,
  request: AuthRequest,
  { given, clientId }: { given: string; clientId: string | undefined },
  user: UserRow,
): Promise<{ session: SessionJson; headers: Record<string, string> } | "locked"> {
  const { rows } = await on.query<RefreshTokenRow>(
    "select * from auth.refresh_tokens where token = $1 for update skip locked",
    [given],
  );
  const token = rows[0];
  if (!token) return "locked";
  const session = token.session_id ? await lockSession(on, token.session_id) : undefined;
  if (session === "locked") return "locked";
  if (!session) {
    await on.query("delete from auth.refresh_tokens where id = $1", [token.id]);
    throw new CommitWithError(
      badRequest("session_not_found", "Invalid Refresh Token: No Valid Session Found"),
    );
  }
  judgeClient(session, clientId);
  judgeAge(context, session, token);
  let issued: string | undefined;
  if (token.revoked) {
    const active = await activeRefreshToken(on, session.id);
    if (active?.parent === token.token) issued = active.token;
    else await judgeReuse(context, on, token);
  }
  await recordAudit(on, request, user, "token_refreshed");
  if (issued === undefined) {
    await recordAudit(on, request, user, "token_revoked");
    issued = await swapRefreshToken(on, user.id, session.id, token.token);
  }
  await on.query(
    "update auth.sessions set refreshed_at = now() at time zone 'utc', user_agent = $2, ip = $3, updated_at = now() where id = $1",
    [session.id, request.userAgent ?? null, request.ip || null],
  );
  return {
    session: await sessionJson(context, on, request, user, {
      sessionId: session.id,
      refreshToken: issued,
      method: "token_refresh",
    }),
    headers: { "sb-auth-user-id": user.id, "sb-auth-session-id": session.id },
  };
}

async function lockSession(on: Queryable, id: string): Promise<SessionRow | "locked" | undefined> {
  const { rows } = await on.query<SessionRow>(
    "select * from auth.sessions where id = $1 for update skip locked",
    [id],
  );
  if (rows[0]) return rows[0];
  const { rowCount } = await on.query("select from auth.sessions where id = $1", [id]);
  return rowCount ? "locked" : undefined;
}

/** Refuses a refresh by whoever the session is not of. */
function judgeClient({ oauth_client_id: owner }: SessionRow, clientId: string | undefined): void {
  if (owner === (clientId ?? null)) return;
  if (owner === null)
    throw new OAuthError("invalid_client", "Client authentication not allowed for non-OAuth session");
  throw new OAuthError(
    "invalid_client",
    clientId === undefined
      ? "Client authentication required for OAuth session"
      : "Client does not match the session's OAuth client",
  );
}

/** Ends sessions that are too old or rested too long, as [auth.sessions] says. */
function judgeAge({ settings, now }: AuthContext, session: SessionRow, token: RefreshTokenRow): void {
  const { timebox, inactivity_timeout: inactivity } = settings.sessions;
  const at = now().getTime();
  const expired = session.not_after !== null && at > session.not_after.getTime();
  if (expired || (timebox > 0 && at > session.created_at.getTime() + timebox))
    throw badRequest("session_expired", "Invalid Refresh Token: Session Expired");
  if (inactivity > 0 && at > token.updated_at.getTime() + inactivity)
    throw badRequest("session_expired", "Invalid Refresh Token: Session Expired (Inactivity)");
}

async function judgeReuse(
  { settings, now }: AuthContext,
  on: Queryable,
  token: RefreshTokenRow,
): Promise<void> {
  const until = token.updated_at.getTime() + settings.refresh_token_reuse_interval * 1000;
  if (now().getTime() <= until) return;
  if (settings.enable_refresh_token_rotation)
    await on.query(
      "update auth.refresh_tokens set revoked = true, updated_at = now() where session_id = $1 and not revoked",
      [token.session_id],
    );
  throw new CommitWithError(badRequest("refresh_token_already_used", "Invalid Refresh Token: Already Used"));
}

/** The session of an id that a token names. */
export async function findSession(on: Queryable, id: string): Promise<SessionRow | undefined> {
  return (await on.query<SessionRow>("select * from auth.sessions where id = $1", [id])).rows[0];
}

/** Ends sessions of a user: all, this one, or all others. */
export async function endSessions(
  on: Queryable,
  userId: string,
  scope: { only: string } | { except: string } | "all",
): Promise<void> {
  if (scope === "all") await on.query("delete from auth.sessions where user_id = $1", [userId]);
  else if ("only" in scope) await on.query("delete from auth.sessions where id = $1", [scope.only]);
  else await on.query("delete from auth.sessions where user_id = $1 and id <> $2", [userId, scope.except]);
}
