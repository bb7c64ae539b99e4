// One request of Auth, read once.

import { AuthError, badRequest } from "./errors.ts";
import type { SessionRow } from "./sessions.ts";
import type { Json, UserRow } from "./users.ts";

/** What a token says. */
export interface Claims {
  sub?: string;
  role?: string;
  aud?: string | string[];
  session_id?: string;
  is_anonymous?: boolean;
  exp?: number;
  [claim: string]: unknown;
}

export interface AuthRequest {
  method: string;
  /** Below /auth/v1. */
  path: string;
  url: URL;
  query: URLSearchParams;
  headers: Headers;
  /** The address that the request came from. */
  ip: string;
  userAgent: string | undefined;
  /** What was sent: JSON, or a form. Throws AuthError `bad_json`. */
  body(): Json;
  /** Whether anything was sent. */
  hasBody: boolean;
  /** Of a verified bearer token. */
  claims?: Claims;
  user?: UserRow;
  session?: SessionRow | undefined;
}

/** What an operation answers. */
export interface Answer {
  status?: number;
  body?: unknown;
  headers?: Record<string, string>;
}

/** Reads a request. */
export async function readRequest(request: Request): Promise<AuthRequest> {
  const url = new URL(request.url);
  const { headers } = request;
  const text = await request.text();
  const form = headers.get("content-type")?.startsWith("application/x-www-form-urlencoded") ?? false;
  return {
    method: request.method,
    path: url.pathname.replace(/^\/auth\/v1/, "").replace(/(?<=.)\/+$/, "") || "/",
    url,
    query: url.searchParams,
    headers,
    ip: headers.get("x-forwarded-for")?.split(",")[0]?.trim() || "127.0.0.1",
    userAgent: headers.get("user-agent") ?? undefined,
    hasBody: text !== "",
    body: () => (form ? Object.fromEntries(new URLSearchParams(text)) : parseJson(text)),
  };
}

function parseJson(text: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new AuthError(
      400,
      "bad_json",
      `Could not parse request body as JSON: ${error instanceof Error ? error.message : error}`,
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw badRequest("bad_json", "Could not parse request body as JSON: an object is needed");
  return value as Json;
}

/**
 * A text of a body; undefined where it is absent or null.
 * @throws AuthError `bad_json` for another type
 */
export function textOf(body: Json, field: string): string | undefined {
  const value = body[field];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string")
    throw badRequest("bad_json", `Could not parse request body as JSON: ${field} must be a text`);
  return value;
}

/** An object of a body; undefined where it is absent or null. */
export function objectOf(body: Json, field: string): Json | undefined {
  const value = body[field];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object" || Array.isArray(value))
    throw badRequest("bad_json", `Could not parse request body as JSON: ${field} must be an object`);
  return value as Json;
}

/** true, false or undefined of a body. */
export function flagOf(body: Json, field: string): boolean | undefined {
  const value = body[field];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "boolean")
    throw badRequest("bad_json", `Could not parse request body as JSON: ${field} must be true or false`);
  return value;
}

/**
 * The user of a request whose route needs one.
 * @throws Error where the route forgot to ask for one
 */
export function signedIn(request: AuthRequest): { user: UserRow; session: SessionRow | undefined } {
  if (!request.user) throw new Error("this operation needs `requires: user`");
  return { user: request.user, session: request.session };
}
