/** The one list of error codes, each with its HTTP status, and the envelope that carries them. */
import { z } from "zod";

/** Every code that `/api` or an RPC answers with. SQL raises the same list; a test holds the two equal. */
export const errorCodes = {
  INVALID_JWT_TOKEN: { status: 401, description: "The Supabase JWT is missing, invalid or expired." },
  INSUFFICIENT_PERMISSIONS: { status: 403, description: "The user lacks a required permission." },
  AGENT_NOT_FOUND: { status: 404, description: "The agent does not exist, or row-level security hides it." },
  RLS_ACCESS_DENIED: { status: 403, description: "A row-level security policy refuses the change." },
  SUPABASE_CONNECTION_ERROR: { status: 503, description: "The Supabase backend cannot be reached." },
  VALIDATION_ERROR: {
    status: 400,
    description: "The request is not valid; `details` names each wrong field.",
  },
  DEPLOYMENT_FAILED: { status: 500, description: "The agent's deployment failed." },
  RESOURCE_LIMIT_EXCEEDED: { status: 429, description: "A resource quota would be exceeded." },
  SECURITY_SCAN_FAILED: { status: 422, description: "A security scan blocks the deployment." },
  REAL_TIME_SUBSCRIPTION_FAILED: { status: 422, description: "The real-time connection cannot be made." },
  RATE_LIMIT_EXCEEDED: {
    status: 429,
    description: "Too many requests; `details.reset_time` says when to return.",
  },
  AGENT_LIMIT_REACHED: { status: 403, description: "The user has as many agents as the quota allows." },
  INVALID_FRAMEWORK: { status: 400, description: "The framework is not in the catalogue." },
  INVALID_MODEL: { status: 400, description: "The model is not offered for the framework." },
  PERMISSION_DENIED: { status: 403, description: "The caller may not touch this agent." },
  IDEMPOTENCY_CONFLICT: { status: 409, description: "The idempotency key was used for another request." },
  CONFLICT: { status: 409, description: "The request contradicts the present state." },
  NOT_FOUND: { status: 404, description: "No such path." },
  METHOD_NOT_ALLOWED: { status: 405, description: "The path does not offer this method; see `Allow`." },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, description: "The body is not declared as application/json." },
  PAYLOAD_TOO_LARGE: { status: 413, description: "The body is larger than 1 MiB." },
  INTERNAL_ERROR: { status: 500, description: "A defect on our side; quote the request id." },
} as const satisfies Record<string, { status: number; description: string }>;

export type ErrorCode = keyof typeof errorCodes;

/**
 * Whether a value is one of our codes.
 * @param value anything, usually the `code` of an upstream error body
 */
export const isErrorCode = (value: unknown): value is ErrorCode =>
  typeof value === "string" && Object.hasOwn(errorCodes, value);

/** What is known of row-level security for the failed request; `unknown` where the database was not reached. */
export const supabaseDetails = z
  .object({
    rls_applied: z
      .boolean()
      .meta({ description: "Whether the database answered with row-level security on." }),
    user_isolation: z.enum(["active", "compromised", "unknown"]),
  })
  .meta({ id: "SupabaseDetails" });

/** The body of every failed request. */
export const errorEnvelope = z
  .object({
    error: z.object({
      code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]),
      message: z.string(),
      timestamp: z.iso.datetime({ offset: true }),
      requestId: z.string(),
      user_id: z.uuid().nullable().meta({ description: "The caller; null where no token was verified." }),
      supabase_details: supabaseDetails,
      details: z
        .record(z.string(), z.unknown())
        .optional()
        .meta({ description: "Field → problem for VALIDATION_ERROR; facts of the limit for 429." }),
    }),
  })
  .meta({ id: "ErrorEnvelope" });

export type SupabaseDetails = z.infer<typeof supabaseDetails>;
export type ErrorEnvelope = z.infer<typeof errorEnvelope>;
