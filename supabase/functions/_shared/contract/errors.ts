/** The one list of error codes, each with its HTTP status, and the envelope that carries them. */
import { z } from "zod";

/** Every code that `/api` or an RPC answers with: when it comes, and what helps. SQL raises the same list; a test holds the two equal. */
export const errorCodes = {
  INVALID_JWT_TOKEN: {
    status: 401,
    description: "The Supabase JWT is missing, invalid or expired.",
    remedy: "Sign in again, and send both `apikey` and `Authorization: Bearer <access token>`.",
  },
  BUDGET_EXHAUSTED: {
    status: 402,
    description: "A budget is used up; `details.resumesAt` says when it resets.",
    remedy: "Raise it with PUT /api/budgets or wait; answers that wait for it then go on.",
  },
  INVALID_API_KEY: {
    status: 401,
    description:
      "The agent's address was called without a key or token, or with a wrong, expired or revoked one.",
    remedy:
      "Send `Authorization: Bearer <key>`: a key of this agent (POST /api/agents/{agentId}/keys), or its owner's token.",
  },
  INSUFFICIENT_PERMISSIONS: {
    status: 403,
    description: "The user lacks a required permission.",
    remedy: "Ask an operator for the permission that the message names (table `user_permissions`).",
  },
  AGENT_NOT_FOUND: {
    status: 404,
    description: "The agent does not exist, or row-level security hides it.",
    remedy: "Check the id with GET /api/agents; another user's agent looks the same as none.",
  },
  RLS_ACCESS_DENIED: {
    status: 403,
    description: "A row-level security policy refuses the change.",
    remedy: "Write only rows of your own, and only the columns that the schema reference marks as yours.",
  },
  SUPABASE_CONNECTION_ERROR: {
    status: 503,
    description: "The Supabase backend cannot be reached.",
    remedy: "Try again shortly; GET /api/health shows which part is down.",
  },
  VALIDATION_ERROR: {
    status: 400,
    description: "The request is not valid; `details` names each wrong field.",
    remedy: "Correct the fields that `details` names.",
  },
  DEPLOYMENT_FAILED: {
    status: 500,
    description: "The agent's deployment failed.",
    remedy: "Read `conditions` in the agent's status and its logs, then change it or deploy it again.",
  },
  RESOURCE_LIMIT_EXCEEDED: {
    status: 429,
    description: "A resource quota would be exceeded.",
    remedy: "Scale down or delete something, or ask an operator for a larger quota (table `quotas`).",
  },
  SECURITY_SCAN_FAILED: {
    status: 422,
    description: "A security scan blocks the deployment.",
    remedy: "Read the scan's findings, and remove what they name.",
  },
  MODEL_PRICE_MISSING: {
    status: 422,
    description: "A budget applies, but the model has no price; `details.statement` adds one.",
    remedy: "Ask an operator to run the statement with the model's prices (table `model_prices`).",
  },
  PLUGIN_NOT_ALLOWED: {
    status: 422,
    description: "Operators do not allow a package as a plugin; `details` names each.",
    remedy:
      "Name a plugin of GET /api/plugins, or ask an operator to allow it (`launchpad plugins rules allow`).",
  },
  REAL_TIME_SUBSCRIPTION_FAILED: {
    status: 422,
    description: "The real-time connection cannot be made.",
    remedy: "Check the topic and that the token is still valid, then join again.",
  },
  RATE_LIMIT_EXCEEDED: {
    status: 429,
    description: "Too many requests; `details.reset_time` says when to return.",
    remedy: "Wait for as long as `Retry-After` says.",
  },
  AGENT_LIMIT_REACHED: {
    status: 403,
    description: "The user has as many agents as the quota allows.",
    remedy: "Delete an agent, or ask an operator for a larger quota.",
  },
  INVALID_FRAMEWORK: {
    status: 400,
    description: "The framework is not in the catalogue.",
    remedy: "Choose one of the table `frameworks`.",
  },
  INVALID_MODEL: {
    status: 400,
    description: "The model is not offered for the framework.",
    remedy: "Choose one of the table `models`, for the same framework.",
  },
  PERMISSION_DENIED: {
    status: 403,
    description: "The caller may not touch this agent.",
    remedy: "Use an agent of your own.",
  },
  IDEMPOTENCY_CONFLICT: {
    status: 409,
    description: "The idempotency key was used for another request.",
    remedy: "Send a new `Idempotency-Key` for a new request.",
  },
  CONFLICT: {
    status: 409,
    description: "The request contradicts the present state.",
    remedy: "Read the agent's status; try again once the change under way has ended.",
  },
  NOT_FOUND: {
    status: 404,
    description: "No such path.",
    remedy: "Compare the path with the API reference.",
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    description: "The path does not offer this method; see `Allow`.",
    remedy: "Use a method of the header `Allow`.",
  },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    description: "The body is not declared as application/json.",
    remedy: "Send `Content-Type: application/json`.",
  },
  PAYLOAD_TOO_LARGE: {
    status: 413,
    description: "The body is larger than 1 MiB; a bundle may have 8 MiB.",
    remedy: "Send less; large files belong in Storage.",
  },
  INTERNAL_ERROR: {
    status: 500,
    description: "A defect on our side; quote the request id.",
    remedy: "Report it with the `requestId`.",
  },
} as const satisfies Record<string, { status: number; description: string; remedy: string }>;

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
