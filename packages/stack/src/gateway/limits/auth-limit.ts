import { roleOfToken } from "../../tokens.ts";
import type { FetchHandler } from "../in-process.ts";

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
  jwtSecret: string;
  now?: () => number;
}

/** Requests that act on an e-mail address: each guesses a password or a code, or sends a mail. */
const COUNTED = new Set(["signup", "token", "otp", "magiclink", "recover", "resend", "verify"]);
const MOST_BODY = 64 * 1024;

/**
 * Puts the limit of auth requests per e-mail address (bucket `auth` of rate_limits) before Auth. Hosted Supabase limits by
 * IP address and mails per hour instead (config.toml, [auth.rate_limit]). A caller with the secret key is not counted.
 */
export function withAuthLimit(
  handler: FetchHandler,
  { count, jwtSecret, now = Date.now }: AuthLimitOptions,
): FetchHandler {
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (request.method !== "POST" || !COUNTED.has(pathname.replace(/^\/auth\/v1\//, "")))
      return await handler(request);
    const text = await request.text();
    const passed = new Request(request.url, {
      method: "POST",
      headers: request.headers,
      body: text,
      signal: request.signal,
    });
    const email = text.length > MOST_BODY ? undefined : emailOf(text);
    const token = (request.headers.get("authorization") ?? "").replace(/^bearer\s+/i, "");
    if (email === undefined || roleOfToken(token, jwtSecret, now()) === "service_role") {
      return await handler(passed);
    }
    // Without the database Auth cannot work either: it says so itself.
    const counted = await count(email).catch(() => undefined);
    if (!counted) return await handler(passed);
    const remaining = String(Math.max(0, counted.remaining));
    if (counted.remaining < 0) return refusal(counted, now());
    const answer = await handler(passed);
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

function emailOf(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const email = typeof value === "object" && value !== null && "email" in value ? value.email : undefined;
    return typeof email === "string" && email.trim() !== "" && email.length <= 320 ? email : undefined;
  } catch {
    return undefined; // Auth itself says what is wrong with it
  }
}
