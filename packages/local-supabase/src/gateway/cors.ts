// Answers preflight requests and adds CORS headers.

import type { IncomingMessage } from "node:http";

const ALLOW_METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS, HEAD";

// What supabase-js and the API's own clients send, for browsers that do not name what they need.
const ALLOW_HEADERS =
  "authorization, apikey, content-type, x-client-info, x-supabase-api-version, accept, accept-profile, content-profile, " +
  "prefer, range, x-upsert, cache-control, idempotency-key, x-request-id, x-region, traceparent, tracestate, baggage";

const EXPOSE_HEADERS =
  "content-range, content-profile, content-encoding, content-location, content-length, location, preference-applied, range-unit, " +
  "x-request-id, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, retry-after, idempotency-replayed, " +
  "supabase-ratelimit-remaining, supabase-auth-rate-limit, x-supabase-api-version, etag";

/** True for a browser's preflight; a plain OPTIONS request is the upstream's. */
export function isPreflight(request: IncomingMessage): boolean {
  return request.method === "OPTIONS" && request.headers["access-control-request-method"] !== undefined;
}

/** The headers that answer a preflight. Takes the headers the browser asks for; with none, the known list. */
export function preflightHeaders(requested: string | undefined): Record<string, string> {
  return {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": ALLOW_METHODS,
    "access-control-allow-headers": requested || ALLOW_HEADERS,
    "access-control-max-age": "3600",
    vary: "access-control-request-headers",
  };
}

/** Added to every answer, so that a page on any origin can read it and the headers it needs. */
export const CORS_HEADERS: readonly (readonly [string, string])[] = [
  ["access-control-allow-origin", "*"],
  ["access-control-expose-headers", EXPOSE_HEADERS],
];
