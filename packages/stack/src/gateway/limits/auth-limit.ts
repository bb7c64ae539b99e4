// Limits auth requests per e-mail address.

import { type AuthRequest, isCounted } from "@agent-launchpad/local-supabase/gateway/auth-request.ts";
import type { JwtKeys } from "@agent-launchpad/local-supabase/jwt-keys.ts";
import { roleOfToken } from "@agent-launchpad/local-supabase/tokens.ts";

/** What SQL tells of an address's counter after counting one request. */
export interface AuthCounted {
  limit: number;
  /** Negative: over. */
  remaining: number;
  /** Unix seconds. */
  reset: number;
}

export interface AuthLimitOptions {
  count: (email: string) => Promise<AuthCounted>;
  jwtKeys: JwtKeys;
  now?: () => number;
}

/**
 * Puts the limit of auth requests per e-mail address (bucket `auth` of rate_limits) before Auth. Hosted Supabase limits by
 * IP address and mails per hour instead (config.toml, [auth.rate_limit]). A caller with the secret key is not counted.
 */
export function createAuthLimit({ count, jwtKeys, now = Date.now }: AuthLimitOptions) {
  /**
   * Counts one request and has it served.
   * @param asked what the request asks of Auth
   * @param token the caller's token or that of their key's role
   */
  return async (
    { method, asked, token }: { method: string; asked: AuthRequest; token: string | undefined },
    serve: () => Promise<Response>,
  ): Promise<Response> => {
    const { email } = asked;
    if (email === undefined || !isCounted(method, asked)) return await serve();
    if (roleOfToken(token ?? "", jwtKeys, now()) === "service_role") return await serve();
    // Without the database Auth cannot work either: it says so itself.
    const counted = await count(email).catch(() => undefined);
    if (!counted) return await serve();
    const remaining = String(Math.max(0, counted.remaining));
    if (counted.remaining < 0) return refusal(counted, now());
    const answer = await serve();
    const headers = new Headers(answer.headers);
    headers.set("supabase-auth-rate-limit", remaining);
    return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
  };
}

/** Auth's own form of an error, as supabase-js reads it. */
function refusal({ reset }: AuthCounted, now: number): Response {
  return Response.json(
    { code: 429, error_code: "over_request_rate_limit", msg: "Request rate limit reached" },
    {
      status: 429,
      headers: {
        "retry-after": String(Math.max(1, reset - Math.floor(now / 1000))),
        "supabase-auth-rate-limit": "0",
        "x-sb-error-code": "over_request_rate_limit",
      },
    },
  );
}
