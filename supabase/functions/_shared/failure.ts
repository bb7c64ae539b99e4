/** From PostgREST's error to ours. A pure decision. */
import {
  type ErrorCode,
  type ErrorEnvelope,
  errorCodes,
  isErrorCode,
  type SupabaseDetails,
} from "./contract/index.ts";

/** What went wrong, in our words. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: Record<string, unknown> | undefined;
  readonly isolation: SupabaseDetails;
  /** Whether PostgREST accepted the caller's token before failing. */
  readonly verified: boolean;
}

/** Nothing is known of row-level security where no statement ran. */
const untouched: SupabaseDetails = { rls_applied: false, user_isolation: "unknown" };

/** The failure when PostgREST could not be reached, or answered something that is not PostgREST's. */
export const unreachable: Failure = {
  code: "SUPABASE_CONNECTION_ERROR",
  message: "Cannot connect to Supabase backend",
  isolation: untouched,
  verified: false,
};

/** The failure of a request without the project's key: every request needs both the key and a user's token. */
export const keyless: Failure = {
  code: "INVALID_JWT_TOKEN",
  message: "No API key found in request; send the project's publishable key as the header apikey",
  isolation: untouched,
  verified: false,
};

/** The failure when our own code threw. */
export const defect: Failure = {
  code: "INTERNAL_ERROR",
  message: "An unexpected error occurred",
  isolation: untouched,
  verified: false,
};

/**
 * Judges an answer of PostgREST, or of the gateway before it, that is not a success.
 * @param status its HTTP status
 * @param text its body
 * @param isolationHeader its `x-user-isolation`: whether row-level security is on for all that users own, as SQL saw it
 * @param subject the user named by the caller's token, if any
 */
export function failureOf(
  status: number,
  text: string,
  isolationHeader: string | null,
  subject: string | null,
): Failure {
  const body = asRecord(text);
  if (body === undefined) return foreign(status);
  const message = typeof body.message === "string" ? body.message : "";
  const isolation = isolationOf(isolationHeader);
  if (isErrorCode(body.code)) {
    const code = body.code;
    return { code, message, details: asRecord(body.details), isolation, verified: status !== 401 };
  }
  if (status === 401) return invalidToken(message);
  const code = String(body.code ?? "");
  if (!/^(?:[0-9A-Z]{5}|PGRST\d+)$/.test(code)) return foreign(status);
  const known = fromDatabase(code, message, subject);
  return { ...known, isolation, verified: status < 500 && known.code !== "INVALID_JWT_TOKEN" };
}

type Known = Pick<Failure, "code" | "message">;

/** Codes of Postgres (SQLSTATE) and PostgREST. Their own details may quote rows, so they are dropped. */
function fromDatabase(code: string, message: string, subject: string | null): Known {
  if (code === "42501") {
    if (subject === null) return invalidToken("");
    return message.includes("row-level security")
      ? { code: "RLS_ACCESS_DENIED", message: "A row-level security policy refuses the change" }
      : { code: "INSUFFICIENT_PERMISSIONS", message: "The user lacks a required permission" };
  }
  if (/^(?:22|23502|23514|PGRST10)/.test(code)) {
    return { code: "VALIDATION_ERROR", message: "A value is out of range or cannot be stored" };
  }
  if (code === "23505" || code === "23503") {
    return { code: "CONFLICT", message: "The request contradicts the present state" };
  }
  if (/^(?:40|55P03)/.test(code))
    return { code: "CONFLICT", message: "Another change came first; try again" };
  if (code === "57014") return { ...unreachable, message: "The Supabase backend did not answer in time" };
  if (code === "PGRST202")
    return { ...unreachable, message: "The Supabase backend lacks this function's migrations" };
  return /^(?:08|53|57|58|PGRST0)/.test(code) ? unreachable : defect;
}

/** An answer that neither the RPC nor PostgREST wrote: a proxy's, or a wrong address. */
function foreign(status: number): Failure {
  if (status === 401) return invalidToken("");
  if (status === 413) {
    return { ...unreachable, code: "PAYLOAD_TOO_LARGE", message: "The body is too large" };
  }
  if (status === 429) {
    return { ...unreachable, code: "RATE_LIMIT_EXCEEDED", message: "Rate limit exceeded" };
  }
  return unreachable;
}

function invalidToken(message: string): Failure {
  return {
    code: "INVALID_JWT_TOKEN",
    message: tokenMessages.find(([known]) => known.test(message))?.[1] ?? "A user's Supabase JWT is required",
    isolation: untouched,
    verified: false,
  };
}

const tokenMessages: readonly (readonly [RegExp, string])[] = [
  [/expired/i, "The Supabase JWT has expired"],
  [/api ?key/i, "The Supabase API key is missing or invalid"],
  [/jwt|jws|jwserror|token/i, "The Supabase JWT is invalid"],
];

function isolationOf(header: string | null): SupabaseDetails {
  if (header === "active") return { rls_applied: true, user_isolation: "active" };
  return header === "compromised" ? { rls_applied: false, user_isolation: "compromised" } : untouched;
}

function asRecord(value: unknown): Record<string, unknown> | undefined {
  if (typeof value !== "string") return undefined;
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The envelope of a failure.
 * @param failure what went wrong
 * @param requestId the request's id
 * @param subject the user named by the token; told only where it was verified
 * @param now milliseconds since the epoch
 */
export function envelopeOf(
  failure: Failure,
  requestId: string,
  subject: string | null,
  now: number,
): ErrorEnvelope {
  const { code, message, details, isolation, verified } = failure;
  return {
    error: {
      code,
      message: message === "" ? errorCodes[code].description : message,
      timestamp: new Date(now).toISOString(),
      requestId,
      user_id: verified ? subject : null,
      supabase_details: isolation,
      ...(details === undefined ? {} : { details }),
    },
  };
}
