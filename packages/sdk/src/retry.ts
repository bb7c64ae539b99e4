/** Whether a failed attempt is made again, and when. Pure decisions. */
import type { AgentLaunchpadError } from "./errors.ts";

/** What is known when an attempt has failed. */
export interface Attempt {
  /** How many attempts were made, this one included. */
  count: number;
  /** Whether the same request may be carried out twice without harm. */
  repeatable: boolean;
  /** Whether nothing of it was sent, so that it may be made again whatever it is. */
  unsent?: boolean | undefined;
  error: AgentLaunchpadError;
}

export interface RetryLimits {
  maxRetries: number;
  /** Milliseconds. */
  maxRetryWait: number;
}

const FIRST = 250;
const LONGEST_BACKOFF = 8_000;
/** After a stated wait, so that everyone who was refused does not return in the same instant. */
const SPREAD = 250;

/**
 * The wait before the next attempt.
 * @param attempt what happened
 * @param limits how often, and how long
 * @param random from 0 to 1
 * @returns milliseconds, or undefined where the failure is final
 */
export function retryDelay(attempt: Attempt, limits: RetryLimits, random: number): number | undefined {
  const { count, error } = attempt;
  if (count > limits.maxRetries || !mayPass(attempt)) return undefined;
  if (error.retryAfter !== undefined) {
    const wait = error.retryAfter * 1000 + random * SPREAD;
    return wait <= limits.maxRetryWait ? wait : undefined;
  }
  const backoff = Math.min(LONGEST_BACKOFF, FIRST * 2 ** (count - 1));
  return Math.min(limits.maxRetryWait, backoff * (0.5 + random / 2));
}

function mayPass({ error, repeatable, unsent = false }: Attempt): boolean {
  const { code, status } = error;
  // Refused before anything was done: whatever the method, nothing happens twice. A quota (429 too) stays reached.
  if (code === "RATE_LIMIT_EXCEEDED") return true;
  if (!repeatable && !unsent) return false;
  if (code === "SUPABASE_CONNECTION_ERROR" || code === "TIMEOUT" || status === 408) return true;
  return status >= 500 && status !== 501 && code !== "DEPLOYMENT_FAILED";
}

/**
 * Seconds to wait, as the headers of an answer tell.
 * @param headers of an answer with status 429 or 503
 * @param now milliseconds since the epoch
 */
export function retryAfterOf(headers: Headers, now: number): number | undefined {
  const stated = headers.get("retry-after");
  if (stated !== null && stated.trim() !== "") {
    const seconds = Number(stated);
    const wait = Number.isNaN(seconds) ? (Date.parse(stated) - now) / 1000 : seconds;
    if (Number.isFinite(wait)) return Math.max(0, wait);
  }
  const reset = Number(headers.get("x-ratelimit-reset") ?? Number.NaN);
  if (headers.get("x-ratelimit-remaining") !== "0" || !(reset > 0)) return undefined;
  return Math.max(0, reset - now / 1000);
}
