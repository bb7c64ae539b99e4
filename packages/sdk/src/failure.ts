/** From an answer that is not a success to the error that tells it. Pure. */

import type { ApiErrorCode, SupabaseDetails } from "./contract.ts";
import { AgentLaunchpadError } from "./errors.ts";
import { retryAfterOf } from "./retry.ts";

/** One row was asked for, and there is none that the caller may see. */
const nothing = { code: "NOT_FOUND", message: "Not found or access denied", status: 404 } as const;

type Facts = Record<string, unknown>;

/**
 * Judges an answer of `/api` (an envelope), of PostgREST (its own form), or of something on the way (neither).
 * @param status its HTTP status
 * @param headers its headers
 * @param text its body
 * @param now milliseconds since the epoch
 */
export function failureOf(status: number, headers: Headers, text: string, now: number): AgentLaunchpadError {
  const body = factsOf(text);
  if (body === undefined && status === 404) {
    return new AgentLaunchpadError({
      code: "INVALID_RESPONSE",
      message: "The server answered 404, not as the Agent Launchpad API does: check baseUrl",
      status,
    });
  }
  const envelope = factsOf(body?.error);
  const told = envelope ?? body ?? {};
  if (told.code === "PGRST116") return new AgentLaunchpadError(nothing);
  const known = envelope === undefined ? ownCode(told.code) : textOf(told.code);
  const details = factsOf(told.details);
  return new AgentLaunchpadError({
    code: known ?? codeOf(status),
    message: textOf(told.message) ?? textOf(told.msg) ?? `The server answered ${status}`,
    status,
    requestId: textOf(told.requestId) ?? headers.get("x-request-id") ?? undefined,
    details:
      known === undefined && told.code !== undefined ? { upstream_code: told.code, ...details } : details,
    retryAfter: status === 429 || status === 503 ? retryAfterOf(headers, now) : undefined,
    supabaseDetails: factsOf(told.supabase_details) as SupabaseDetails | undefined,
  });
}

/** A code in the API's form, also one that is newer than this SDK. PostgREST's and Postgres's (PGRST301, 23505) have digits. */
const ownCode = (value: unknown): string | undefined =>
  typeof value === "string" && /^[A-Z]+(_[A-Z0-9]+)*$/.test(value) ? value : undefined;

/** Where nobody gave one of our codes. */
function codeOf(status: number): ApiErrorCode {
  switch (status) {
    case 400:
      return "VALIDATION_ERROR";
    case 401:
      return "INVALID_JWT_TOKEN";
    case 403:
      return "PERMISSION_DENIED";
    case 404:
    case 406:
      return "NOT_FOUND";
    case 405:
      return "METHOD_NOT_ALLOWED";
    case 409:
      return "CONFLICT";
    case 413:
      return "PAYLOAD_TOO_LARGE";
    case 429:
      return "RATE_LIMIT_EXCEEDED";
    case 502:
    case 503:
    case 504:
      return "SUPABASE_CONNECTION_ERROR";
    default:
      return "INTERNAL_ERROR";
  }
}

const textOf = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

/** An object, or the JSON text of one (PostgREST's details are text). */
function factsOf(value: unknown): Facts | undefined {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Facts;
  if (typeof value !== "string" || !value.trimStart().startsWith("{")) return undefined;
  try {
    return factsOf(JSON.parse(value));
  } catch {
    return undefined;
  }
}
