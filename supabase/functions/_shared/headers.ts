/** The headers that every response carries, and those that pass through. */
import type { AnswerHeaders } from "./postgrest.ts";

/** RFC 4648 base32, lower case. */
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

/**
 * The id under which a request is logged: the caller's where it is sane, a new one otherwise.
 * @param inbound the caller's `x-request-id`
 */
export function requestIdOf(inbound: string | null): string {
  if (inbound !== null && /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/.test(inbound)) return inbound;
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  let id = "req-";
  for (const byte of bytes) id += BASE32[byte & 31];
  return id;
}

/**
 * Whether an Idempotency-Key can be used: 1 to 255 visible ASCII characters.
 * @param key the header's value
 */
export const isIdempotencyKey = (key: string): boolean => /^[\x21-\x7e]{1,255}$/.test(key);

/** Set by the RPCs, copied to the client as they are. */
const rateLimits = [
  "x-ratelimit-limit",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
  "supabase-ratelimit-remaining",
  "supabase-auth-rate-limit",
];
const passed = ["retry-after", "idempotency-replayed"];

export const documentedHeaders: Readonly<Record<string, string>> = {
  "x-request-id": "Id of this request in the logs and in error bodies.",
  "X-RateLimit-Limit": "Requests allowed in the current window.",
  "X-RateLimit-Remaining": "Requests left in the current window.",
  "X-RateLimit-Reset": "When the window ends, in Unix seconds.",
  "Supabase-RateLimit-Remaining": "Supabase queries left in the current minute.",
  "Supabase-Auth-Rate-Limit": "Auth requests left in the current hour.",
};

const exposed = [...rateLimits, ...passed, "x-request-id", "allow"].join(", ");
const always: Readonly<Record<string, string>> = {
  "content-type": "application/json; charset=utf-8",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "access-control-allow-origin": "*",
  "access-control-expose-headers": exposed,
};

/**
 * Headers of a response.
 * @param requestId the request's id
 * @param upstream PostgREST's headers, where it was asked
 * @param now milliseconds since the epoch
 * @returns a fresh record, to add to
 */
export function responseHeaders(
  requestId: string,
  upstream: AnswerHeaders | undefined,
  now: number,
): Record<string, string> {
  const headers: Record<string, string> = { ...always, "x-request-id": requestId };
  for (const name of passed) {
    const value = upstream?.get(name);
    if (value) headers[name] = value;
  }
  // Without an identity no request is allowed, and none needs to be waited for.
  headers["x-ratelimit-reset"] = String(Math.floor(now / 1000));
  for (const name of rateLimits) headers[name] = upstream?.get(name) ?? headers[name] ?? "0";
  return headers;
}

/**
 * Headers of the answer to a preflight.
 * @param methods what the path offers
 */
export const preflightHeaders = (methods: readonly string[]): Record<string, string> => ({
  allow: methods.join(", "),
  "access-control-allow-methods": methods.join(", "),
  "access-control-allow-headers":
    "authorization, apikey, content-type, idempotency-key, x-client-info, x-request-id, x-region",
  "access-control-max-age": "7200",
});
