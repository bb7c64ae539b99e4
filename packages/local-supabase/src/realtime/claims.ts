// Verifies Realtime tokens and reads their claims.

import { hasKeyFor, isSignedBy, type JwtKeys } from "../jwt-keys.ts";
import { isRecord } from "./frames.ts";

/** Who speaks: the claims that RLS sees, and when they end (seconds; absent for an API key, which does not expire). */
export interface Identity {
  role: string;
  sub: string | undefined;
  claims: Record<string, unknown>;
  /** The claims as RLS gets them; equal texts are checked once. */
  json: string;
  expiresAt: number | undefined;
}

/** Why a token is refused: `code` and `message` as hosted words them. */
export interface TokenProblem {
  code: string;
  message: string;
}

const MALFORMED = { code: "MalformedJWT", message: "The token provided is not a valid JWT" };
const SIGNATURE = { code: "JwtSignatureError", message: "Failed to validate JWT signature" };
const SIGNER = {
  code: "JwtSignerError",
  message: "Failed to generate JWT signer, check your JWT secret or JWKS configuration",
};
const MISSING = { code: "InvalidJWTToken", message: "Fields `role` and `exp` are required in JWT" };

/** The identity of an API key. */
export function identityOfKey(role: string): Identity {
  return identityOf({ role }, undefined);
}

/**
 * Verifies a JWT of this stack. Takes the token, the keys and the time in milliseconds.
 * The order of the checks and their words are hosted's (channels_authorization.ex, realtime_channel.ex).
 */
export function verifyToken(token: string, keys: JwtKeys, now: number): Identity | { problem: TokenProblem } {
  const parts = token.replaceAll(/\s/g, "").split(".");
  const [head, body, signature] = parts;
  const header = decode(head);
  const claims = decode(body);
  if (parts.length !== 3 || !header || !claims || signature === undefined) return { problem: MALFORMED };
  if (!hasKeyFor(keys, header)) return { problem: SIGNER };
  if (!isSignedBy(keys, header, { text: `${head}.${body}`, signature })) return { problem: SIGNATURE };
  const seconds = Math.floor(now / 1000);
  if (typeof claims.exp === "number" && claims.exp <= seconds) return { problem: expired(claims.exp, now) };
  if (typeof claims.exp !== "number" || typeof claims.role !== "string") return { problem: MISSING };
  return identityOf(claims as { role: string }, Math.round(claims.exp));
}

/** What hosted says of a token whose time is over. */
export function expired(expiresAt: number, now: number): TokenProblem {
  const ago = Math.max(0, Math.floor(now / 1000) - Math.round(expiresAt));
  return { code: "InvalidJWTToken", message: `Token has expired ${ago} seconds ago` };
}

function identityOf(
  claims: { role: string } & Record<string, unknown>,
  expiresAt: number | undefined,
): Identity {
  const sub = typeof claims.sub === "string" ? claims.sub : undefined;
  return { role: claims.role, sub, claims, json: JSON.stringify(claims), expiresAt };
}

function decode(part: string | undefined): Record<string, unknown> | undefined {
  if (!part) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
