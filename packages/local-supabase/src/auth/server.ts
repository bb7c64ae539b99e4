// Auth as a fetch handler: reads a request, finds who asks, runs the operation, and words what goes wrong.

import type { FetchHandler } from "../gateway/in-process.ts";
import { requireAdmin, requireUser } from "./caller.ts";
import type { AuthContext } from "./context.ts";
import { isLate, isTakenEmail } from "./database.ts";
import { AuthError, badRequest, internal, notFound, OAuthError, takenEmail } from "./errors.ts";
import { type Answer, type AuthRequest, readRequest } from "./request.ts";
import { routeOf } from "./routes.ts";

const VERSION_HEADER = "x-supabase-api-version";
const FIRST_VERSION = "2024-01-01";

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

/** An error in Auth's words: its own, a rule of the database's, or a defect. */
function explain(error: unknown): AuthError | OAuthError {
  if (error instanceof OAuthError) return error;
  const cause = error instanceof AuthError ? error.cause : error;
  if (isTakenEmail(cause)) return takenEmail();
  if (!(error instanceof AuthError) && isLate(cause))
    return new AuthError(
      504,
      "request_timeout",
      "Processing this request timed out, please retry after a moment.",
    );
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
