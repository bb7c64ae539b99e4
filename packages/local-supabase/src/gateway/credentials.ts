// Checks a request's API key.

import { hash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { JwtKeys } from "../jwt-keys.ts";
import type { StackKeys } from "../keys.ts";
import { type ApiRole, roleOfToken } from "../tokens.ts";

export type KeyCheck = { status: "missing" } | { status: "unknown" } | { status: "known"; role: ApiRole };

/** The keys of this stack, and what verifies a legacy key. */
export type ApiKeys = Pick<StackKeys, "publishableKey" | "secretKey"> & { jwtKeys: JwtKeys };

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
  keys: ApiKeys,
  now: number,
): KeyCheck {
  const key = single(headers.apikey) || queryKey(target);
  if (!key) return { status: "missing" };
  const given = digestOf(key);
  if (timingSafeEqual(given, digestOfOurs(keys.publishableKey))) return { status: "known", role: "anon" };
  if (timingSafeEqual(given, digestOfOurs(keys.secretKey))) return { status: "known", role: "service_role" };
  const role = key.startsWith("ey") ? roleOfToken(key, keys.jwtKeys, now) : undefined;
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
const digestOf = (text: string): Buffer => hash("sha256", text, "buffer");

/** Of this stack's own keys, which every request is compared with. */
const ours = new Map<string, Buffer>();

function digestOfOurs(key: string): Buffer {
  let digest = ours.get(key);
  if (digest === undefined) {
    digest = digestOf(key);
    ours.set(key, digest);
  }
  return digest;
}
