/** Exit codes of the program. The controller reads them: 78 is for a person to act on, anything else non-zero is a crash. */
export const EXIT = { ok: 0, crash: 1, configuration: 78 } as const;

/** Why a configuration cannot work; stands in `metadata.reason` of the last log line. */
export type ConfigurationReason =
  | "INVALID_CONFIG"
  | "INVALID_FRAMEWORK"
  | "INVALID_MODEL"
  | "PLUGIN_NOT_FOUND"
  | "PLUGIN_INVALID"
  | "PLUGIN_FAILED"
  | "PLUGIN_INCOMPATIBLE"
  | "ENGINE_NOT_INSTALLED";

/** The configuration cannot work until a person changes it: the program exits with code 78. */
export class ConfigurationError extends Error {
  readonly reason: ConfigurationReason;
  readonly facts: Record<string, unknown>;

  constructor(reason: ConfigurationReason, message: string, facts: Record<string, unknown> = {}) {
    super(message);
    this.name = "ConfigurationError";
    this.reason = reason;
    this.facts = facts;
  }
}

/** Every error code a caller of the agent can meet, with its HTTP status. */
const STATUS = {
  VALIDATION_ERROR: 400,
  INVALID_API_KEY: 401,
  BUDGET_EXHAUSTED: 402,
  INSUFFICIENT_PERMISSIONS: 403,
  FORBIDDEN: 403,
  AGENT_NOT_FOUND: 404,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408,
  PAYLOAD_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  MODEL_PRICE_MISSING: 422,
  RESOURCE_LIMIT_EXCEEDED: 429,
  RATE_LIMIT_EXCEEDED: 429,
  INTERNAL_ERROR: 500,
  SUPABASE_CONNECTION_ERROR: 503,
  AGENT_BUSY: 503,
  AGENT_STOPPING: 503,
  MODEL_UNCONFIGURED: 503,
  MODEL_RATE_LIMITED: 429,
  MODEL_AUTHENTICATION_FAILED: 502,
  MODEL_NOT_FOUND: 502,
  MODEL_QUOTA_EXHAUSTED: 502,
  MODEL_REQUEST_REJECTED: 502,
  MODEL_REFUSED: 502,
  MODEL_BAD_RESPONSE: 502,
  MODEL_UNAVAILABLE: 502,
  MODEL_TIMEOUT: 504,
  ACTION_FAILED: 502,
  ACTION_TIMEOUT: 504,
} as const;

export type AgentErrorCode = keyof typeof STATUS;

/** A refusal that the caller reads: code, HTTP status, a sentence, and perhaps when to try again. */
export class AgentError extends Error {
  readonly code: AgentErrorCode;
  readonly status: number;
  readonly details: Record<string, string> | undefined;
  readonly retryAfterSeconds: number | undefined;
  /** The answer that failed, where one was begun. */
  messageId?: string;

  constructor(
    code: AgentErrorCode,
    message: string,
    more: { details?: Record<string, string>; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = "AgentError";
    this.code = code;
    this.status = STATUS[code];
    this.details = more.details;
    this.retryAfterSeconds = more.retryAfterSeconds;
  }
}

/** One line about anything thrown. */
export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
