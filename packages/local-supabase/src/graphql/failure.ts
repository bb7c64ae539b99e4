// Turns database errors into GraphQL errors.

import { GraphQLError, type GraphQLFormattedError } from "graphql";

/** What a request is answered with that failed as a whole. */
export interface Failure {
  status: number;
  headers?: Record<string, string>;
  error: GraphQLFormattedError;
  /** Whether a rule of the database refused: a policy, a privilege, a trigger. */
  refused?: boolean;
}

export const failure = (status: number, code: string, message: string): Failure => ({
  status,
  error: { message, extensions: { code } },
});

interface DatabaseFault {
  code: string;
  message: string;
  detail?: string;
}

/** Codes of PostgreSQL (SQLSTATE) in the API's list. */
function codeOf(sqlState: string, message: string): [code: string, status: number] {
  if (sqlState === "42501") {
    return message.includes("row-level security")
      ? ["RLS_ACCESS_DENIED", 403]
      : ["INSUFFICIENT_PERMISSIONS", 403];
  }
  if (sqlState === "23505" || sqlState === "23503" || /^40|^55P03/.test(sqlState)) return ["CONFLICT", 409];
  if (/^22|^23|^2201B|^0A000/.test(sqlState)) return ["VALIDATION_ERROR", 400];
  if (sqlState === "57014") return ["RESOURCE_LIMIT_EXCEEDED", 429];
  if (/^08|^53|^57|^58/.test(sqlState)) return ["SUPABASE_CONNECTION_ERROR", 503];
  return ["INTERNAL_ERROR", 500];
}

/** Judges what the database said, or that it said nothing. `path`: the field that failed. */
export function failureOf(error: unknown, path?: readonly string[]): Failure {
  const where = path ? { path } : {};
  if (error instanceof GraphQLError) {
    const { code = "VALIDATION_ERROR" } = error.extensions;
    return { status: 200, error: { ...where, ...error.toJSON(), extensions: { ...error.extensions, code } } };
  }
  if (!isFault(error)) {
    const down = failure(503, "SUPABASE_CONNECTION_ERROR", "The database does not answer; try again shortly");
    return { ...down, error: { ...where, ...down.error } };
  }
  if (error.code === "PGRST") return { ...raised(error), ...withPath(raised(error).error, where) };
  const [code, status] = codeOf(error.code, error.message);
  // An error of ours tells nothing of the inside.
  const message = code === "INTERNAL_ERROR" ? "An unexpected error occurred" : error.message;
  const refused = error.code === "42501";
  return { status, refused, error: { ...where, message, extensions: { code, sqlState: error.code } } };
}

const withPath = (error: GraphQLFormattedError, where: object) => ({ error: { ...where, ...error } });

/** An error that SQL raised with a code of the API (private.raise_error). */
function raised({ message, detail }: DatabaseFault): Failure {
  const body = JSON.parse(message) as { code: string; message: string; details: string | null };
  const { status, headers } = JSON.parse(detail ?? "{}") as {
    status?: number;
    headers?: Record<string, string>;
  };
  return {
    status: status ?? 500,
    headers: headers ?? {},
    refused: true,
    error: {
      message: body.message,
      extensions: { code: body.code, ...(body.details ? { details: JSON.parse(body.details) } : {}) },
    },
  };
}

function isFault(error: unknown): error is DatabaseFault {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    /^(PGRST|[0-9A-Z]{5})$/.test(error.code) &&
    "severity" in error
  );
}
