// Signs and verifies JWTs.

import { createHmac } from "node:crypto";
import { isSignedBy, type JwtKeys } from "./jwt-keys.ts";

export type ApiRole = "anon" | "service_role";

const header = encode({ alg: "HS256", typ: "JWT" });

/**
 * Signs a JWT as hosted Supabase's gateway does for an API key: the role, and nothing about a user.
 * Takes the role, the signing secret, the time in milliseconds and the life in seconds.
 */
export function mintRoleToken(role: ApiRole, secret: string, now: number, lifetimeSeconds: number): string {
  const iat = Math.floor(now / 1000);
  const body = `${header}.${encode({ iss: "launchpad", aud: "authenticated", role, iat, exp: iat + lifetimeSeconds })}`;
  return `${body}.${sign(body, secret)}`;
}

/** The role of a legacy key (a JWT of this stack that carries an API role), or undefined. */
export function roleOfToken(token: string, keys: JwtKeys, now: number): ApiRole | undefined {
  const [head, payload, signature, ...rest] = token.split(".");
  if (!head || !payload || !signature || rest.length > 0) return undefined;
  try {
    if (!isSignedBy(keys, decode(head), { text: `${head}.${payload}`, signature })) return undefined;
    const { role, exp } = decode(payload);
    if (typeof exp !== "number" || exp * 1000 <= now) return undefined;
    return role === "anon" || role === "service_role" ? role : undefined;
  } catch {
    return undefined; // signed by us but not a JWT: no role
  }
}

/** A JWT's claims, and whether this stack signed it. Whether it has expired is not judged here. */
export interface JudgedToken {
  genuine: boolean;
  claims: { sub?: string; role?: string };
}

/**
 * Genuine tokens that were judged lately, the newest last, each with the keys it was judged by. A request's token is judged
 * by the watch, for its share and for its budget: 15 % of the gateway's CPU a request, 5 % with this. A judgement never changes: whether a token has expired is not part of it.
 * Forged ones are not kept: they would push out those of users.
 */
const genuine = new Map<string, { keys: JwtKeys; judged: JudgedToken; plain?: string }>();
const MOST_GENUINE = 500;

/** Judges a JWT by its signature; undefined for a text that is not a JWT. */
export function judgeToken(token: string, keys: JwtKeys): JudgedToken | undefined {
  if (token.length > 16_384) return undefined;
  const known = genuine.get(token);
  if (known?.keys === keys) return known.judged;
  const judged = judgeUnknown(token, keys);
  if (judged?.genuine) {
    genuine.set(token, { keys, judged });
    if (genuine.size > MOST_GENUINE) genuine.delete(genuine.keys().next().value!);
  }
  return judged;
}

/**
 * The same claims signed with HS256, for PostgREST, which needs 1.8 ms of CPU for each ES256 signature and 0.02 for this one
 * (ADR 0274). Made once for a token. Takes the token, the keys that judge it and the secret that signs; a token that is not
 * genuine, or is signed with HS256 already, is given back as it is.
 */
export function plainToken(token: string, keys: JwtKeys, secret: string): string {
  if (token.startsWith(HS256_HEADER) || !judgeToken(token, keys)?.genuine) return token;
  const known = genuine.get(token);
  if (known === undefined) return token;
  known.plain ??= withHs256(token, secret);
  return known.plain;
}

/** How the header of every HS256 token of this stack begins. */
const HS256_HEADER = `${header}.`;

function withHs256(token: string, secret: string): string {
  const [head, payload] = token.split(".");
  if (decode(head!).alg === "HS256") return token;
  const body = `${header}.${payload}`;
  return `${body}.${sign(body, secret)}`;
}

function judgeUnknown(token: string, keys: JwtKeys): JudgedToken | undefined {
  const [head, payload, signature, ...rest] = token.split(".");
  if (!head || !payload || signature === undefined || rest.length > 0) return undefined;
  try {
    const { sub, role } = decode(payload);
    return {
      genuine: isSignedBy(keys, decode(head), { text: `${head}.${payload}`, signature }),
      claims: {
        ...(typeof sub === "string" ? { sub } : {}),
        ...(typeof role === "string" ? { role } : {}),
      },
    };
  } catch {
    return undefined;
  }
}

/**
 * Role tokens for upstream requests. One token serves many requests: PostgREST caches verified tokens, and
 * signing each request again would defeat that. A token is replaced when half its life is over.
 */
export function createRoleTokens(
  secret: string,
  lifetimeSeconds = 300,
): (role: ApiRole, now?: number) => string {
  const current = new Map<ApiRole, { token: string; until: number }>();
  return (role, now = Date.now()) => {
    const held = current.get(role);
    if (held && now < held.until) return held.token;
    const token = mintRoleToken(role, secret, now, lifetimeSeconds);
    current.set(role, { token, until: now + lifetimeSeconds * 500 });
    return token;
  };
}

function sign(text: string, secret: string): string {
  return createHmac("sha256", secret).update(text).digest("base64url");
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(part: string): Record<string, unknown> {
  const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString());
  if (typeof value !== "object" || value === null) throw new Error("not an object");
  return value as Record<string, unknown>;
}
