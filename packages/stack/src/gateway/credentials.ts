// Checks a request's API key.

import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { StackKeys } from "../keys.ts";
import { type ApiRole, roleOfToken } from "../tokens.ts";

export type KeyCheck = { status: "missing" } | { status: "unknown" } | { status: "known"; role: ApiRole };

/** The bodies that hosted Supabase's gateway answers with. */
export const MISSING_KEY = {
  message: "No API key found in request",
  hint: "No `apikey` request header or url param was found.",
};
export const UNKNOWN_KEY = { message: "Invalid API key", hint: "Double check your API key." };

/**
 * Reads a request's API key (header `apikey`, else `?apikey=`). Publishable key → anon, secret key → service_role;
 * a JWT of this stack that carries one of these roles counts as a legacy key. A user's JWT is no key.
 */
export function checkApiKey(
  headers: IncomingHttpHeaders,
  target: string,
  keys: Pick<StackKeys, "publishableKey" | "secretKey" | "jwtSecret">,
  now: number,
): KeyCheck {
  const key = single(headers.apikey) || queryKey(target);
  if (!key) return { status: "missing" };
  if (same(key, keys.publishableKey)) return { status: "known", role: "anon" };
  if (same(key, keys.secretKey)) return { status: "known", role: "service_role" };
  const role = key.startsWith("ey") ? roleOfToken(key, keys.jwtSecret, now) : undefined;
  return role ? { status: "known", role } : { status: "unknown" };
}

/**
 * The Authorization header that the upstream gets. A caller's own token passes as it is (the upstream verifies it);
 * none at all, or an `sb_` key in its place, becomes a token of the key's role.
 * @param token of the caller's Authorization header
 */
export function upstreamAuthorization(
  token: string | undefined,
  role: ApiRole,
  tokenFor: (role: ApiRole) => string,
): string {
  return `Bearer ${!token || token.startsWith("sb_") ? tokenFor(role) : token}`;
}

function queryKey(target: string): string | undefined {
  if (!target.includes("apikey=")) return undefined;
  const query = target.indexOf("?");
  return query < 0 ? undefined : (new URLSearchParams(target.slice(query)).get("apikey") ?? undefined);
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

// Digests are compared, so neither length nor content shows in the time taken.
function same(a: string, b: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
