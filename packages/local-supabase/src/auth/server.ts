// Auth as a fetch handler: reads a request, finds who asks, runs the operation, and words what goes wrong.

import type { FetchHandler } from "../gateway/in-process.ts";
import { hasKeyFor, isSignedBy } from "../jwt-keys.ts";
import { verifyingKeys } from "../keys.ts";
import type { AuthContext } from "./context.ts";
import { AuthError, badRequest, forbidden, internal, notFound, OAuthError } from "./errors.ts";
import { type Answer, type AuthRequest, type Claims, readRequest } from "./request.ts";
import { routeOf } from "./routes.ts";
import { findSession } from "./sessions.ts";
import { findUser, isBanned } from "./users.ts";

const VERSION_HEADER = "x-supabase-api-version";
const FIRST_VERSION = "2024-01-01";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Makes the handler of everything below /auth/v1. */
export function createAuthHandler(context: AuthContext): FetchHandler {
  return async (received) => {
    const request = await readRequest(received);
    try {
      return respond(await operate(context, request));
    } catch (error) {
      return refuse(explain(error), request);
    }
  };
}

async function operate(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const found = routeOf(request.method, request.path);
  if ("allowed" in found) {
    if (found.allowed.length > 0)
      throw new AuthError(405, "method_not_allowed", `Method ${request.method} is not allowed here`);
    throw notFound("not_found", "Requested path does not exist");
  }
  const { route, parts } = found;
  if (route.requires === "admin") requireAdmin(context, request);
  if (route.requires === "user") await requireUser(context, request);
  return await route.handler(context, request, parts);
}

function respond({ status = 200, body, headers = {} }: Answer): Response {
  if (body === undefined) return new Response(null, { status, headers });
  return Response.json(body, { status, headers });
}

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

function requireAdmin(context: AuthContext, request: AuthRequest): void {
  const { role } = claimsOf(context, request);
  if (role !== "service_role" && role !== "supabase_admin") throw forbidden("not_admin", "User not allowed");
}

async function requireUser(context: AuthContext, request: AuthRequest): Promise<void> {
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

/** An error in Auth's words: its own, a rule of the database's, or a defect. */
function explain(error: unknown): AuthError | OAuthError {
  if (error instanceof OAuthError) return error;
  const cause = error instanceof AuthError ? error.cause : error;
  return ruleOf(cause) ?? (error instanceof AuthError ? error : internal("Internal Server Error", error));
}

/** What a rule of the project's own refused: a trigger that raises as PostgREST's errors are raised. */
function ruleOf(error: unknown): AuthError | undefined {
  if (!(error instanceof Error) || !("code" in error) || error.code !== "PGRST") return undefined;
  try {
    const { code, message, details } = JSON.parse(error.message) as Record<string, unknown>;
    if (code !== "VALIDATION_ERROR") return undefined;
    const fields = typeof details === "string" ? (JSON.parse(details) as object) : {};
    const text = Object.entries(fields)
      .map(([field, problem]) => `${field}: ${String(problem)}`)
      .join("; ");
    return badRequest("validation_failed", text || String(message));
  } catch {
    return undefined;
  }
}

/** An error's answer, in the form of the API version that the client names. */
function refuse(error: AuthError | OAuthError, request: AuthRequest): Response {
  if (error instanceof OAuthError)
    return Response.json({ error: error.error, error_description: error.message }, { status: 400 });
  const { status, code, message, reasons } = error;
  const weak = reasons ? { weak_password: { reasons } } : {};
  const version = request.headers.get(VERSION_HEADER) ?? "";
  if (version >= FIRST_VERSION && /^\d{4}-\d\d-\d\d$/.test(version))
    return Response.json(
      { code, message, ...weak },
      { status, headers: { [VERSION_HEADER]: FIRST_VERSION, "x-sb-error-code": code } },
    );
  return Response.json(
    { code: status, error_code: code, msg: message, ...weak },
    { status, headers: { "x-sb-error-code": code } },
  );
}
