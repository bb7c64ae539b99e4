// Finds who asks: by a verified token, its user and its session.

import { hasKeyFor, isSignedBy } from "../jwt-keys.ts";
import { verifyingKeys } from "../keys.ts";
import type { AuthContext } from "./context.ts";
import { AuthError, badRequest, forbidden } from "./errors.ts";
import type { AuthRequest, Claims } from "./request.ts";
import { findSession } from "./sessions.ts";
import { findUser, isBanned } from "./users.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * The claims of a request's token.
 * @throws AuthError `no_authorization`, `bad_jwt`
 */
export function claimsOf(context: AuthContext, request: AuthRequest): Claims {
  const token = /^bearer (\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  if (!token) throw new AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token");
  const bad = (why: string) =>
    forbidden("bad_jwt", `invalid JWT: unable to parse or verify signature, ${why}`);
  const parts = token.split(".");
  const [head = "", payload = "", signature = ""] = parts;
  if (parts.length !== 3) throw bad("token is malformed: token contains an invalid number of segments");
  let header: Record<string, unknown>;
  let claims: Claims;
  try {
    header = JSON.parse(Buffer.from(head, "base64url").toString("utf8")) as Record<string, unknown>;
    claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as Claims;
  } catch {
    throw bad("token is malformed: could not JSON decode");
  }
  if (typeof header !== "object" || header === null || typeof claims !== "object" || claims === null)
    throw bad("token is malformed: could not JSON decode");
  const keys = verifyingKeys(context.keys);
  if (!hasKeyFor(keys, header))
    throw bad(
      `token is unverifiable: error while executing keyfunc: unrecognized JWT kid ${header.kid ?? "<nil>"} for algorithm ${String(header.alg)}`,
    );
  if (!isSignedBy(keys, header, { text: `${head}.${payload}`, signature }))
    throw bad("token signature is invalid: signature is invalid");
  if (typeof claims.exp === "number" && context.now().getTime() >= claims.exp * 1000)
    throw bad("token has invalid claims: token is expired");
  request.claims = claims;
  return claims;
}

/** Throws unless the token is of the secret key. */
export function requireAdmin(context: AuthContext, request: AuthRequest): void {
  const { role } = claimsOf(context, request);
  if (role !== "service_role" && role !== "supabase_admin") throw forbidden("not_admin", "User not allowed");
}

/** Finds whose token it is, and their session. Throws when there is none, or the user is banned. */
export async function requireUser(context: AuthContext, request: AuthRequest): Promise<void> {
  const { sub, session_id: sessionId } = claimsOf(context, request);
  if (!sub) throw forbidden("bad_jwt", "invalid claim: missing sub claim");
  if (!UUID.test(sub)) throw badRequest("bad_jwt", "invalid claim: sub claim must be a UUID");
  if (sessionId && !UUID.test(sessionId))
    throw forbidden("bad_jwt", "invalid claim: session_id claim must be a UUID");
  const [user, session] = await Promise.all([
    findUser(context.database, sub),
    sessionId ? findSession(context.database, sessionId) : undefined,
  ]);
  if (!user) throw forbidden("user_not_found", "User from sub claim in JWT does not exist");
  if (sessionId && !session)
    throw forbidden("session_not_found", "Session from session_id claim in JWT does not exist");
  if (isBanned(user, context.now())) throw forbidden("user_banned", "User is banned");
  request.user = user;
  request.session = session;
}
