/** The one error that every call of the SDK fails with. */
import type { ApiErrorCode, SupabaseDetails } from "./contract.ts";

/**
 * Codes that no server sent: no answer in time, an answer that is not the API's (a wrong `baseUrl`), an agent that could not
 * answer a message.
 * A server that cannot be reached is SUPABASE_CONNECTION_ERROR with status 0.
 */
export type ClientErrorCode = "TIMEOUT" | "INVALID_RESPONSE" | "ANSWER_FAILED";

/** Open: a newer server may answer a code that this version of the SDK does not list; it is passed on as it came. */
export type ErrorCode = ApiErrorCode | ClientErrorCode | (string & {});

export interface ErrorFacts {
  code: ErrorCode;
  message: string;
  status?: number | undefined;
  requestId?: string | undefined;
  details?: Record<string, unknown> | undefined;
  retryAfter?: number | undefined;
  supabaseDetails?: SupabaseDetails | undefined;
  cause?: unknown;
}

const BRAND = Symbol.for("@agent-launchpad/sdk/AgentLaunchpadError");

/** A failed call. `code` says what to do about it, `message` is one sentence for people. */
export class AgentLaunchpadError extends Error {
  override readonly name = "AgentLaunchpadError";
  readonly code: ErrorCode;
  /** HTTP status of the answer; 0 where there was none. */
  readonly status: number;
  /** Id of the request in the server's logs. */
  readonly requestId: string | undefined;
  /** Field → problem of a VALIDATION_ERROR; facts of a limit; what else the code has to tell. */
  readonly details: Record<string, unknown> | undefined;
  /** Seconds after which the same call may succeed. */
  readonly retryAfter: number | undefined;
  /** What is known of row-level security for this request. */
  readonly supabaseDetails: SupabaseDetails | undefined;

  constructor(facts: ErrorFacts) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = facts.code;
    this.status = facts.status ?? 0;
    this.requestId = facts.requestId;
    this.details = facts.details;
    this.retryAfter = facts.retryAfter;
    this.supabaseDetails = facts.supabaseDetails;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** True across copies of the package: one program may load it as ESM and as CommonJS. A subclass has its own instances. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: of a subclass, that is the subclass
    if (this !== AgentLaunchpadError) return Function.prototype[Symbol.hasInstance].call(this, value);
    return typeof value === "object" && value !== null && BRAND in value;
  }

  /** What logs show: everything but the stack and the cause. */
  toJSON(): Omit<ErrorFacts, "cause"> & { name: string } {
    const { name, code, message, status, requestId, details, retryAfter } = this;
    return { name, code, message, status, requestId, details, retryAfter };
  }
}

/**
 * The failure of a call that was made wrongly, before any request.
 * @param field the argument
 * @param problem what would be right
 */
export const invalid = (field: string, problem: string): AgentLaunchpadError =>
  new AgentLaunchpadError({
    code: "VALIDATION_ERROR",
    message: `${field}: ${problem}`,
    details: { [field]: problem },
  });
