// Signs and verifies JWTs.

import { createHmac, timingSafeEqual } from "node:crypto";

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
export function roleOfToken(token: string, secret: string, now: number): ApiRole | undefined {
  const [head, payload, signature, ...rest] = token.split(".");
  if (!head || !payload || !signature || rest.length > 0) return undefined;
  if (!isSigned(head, payload, signature, secret)) return undefined;
  try {
    if (decode(head).alg !== "HS256") return undefined;
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
 * Genuine tokens that were judged lately, the newest last, each with the secret it was judged by. A request's token is judged
 * by the watch, for its share and for its budget: 15 % of the gateway's CPU a request, 5 % with this. A judgement never changes: whether a token has expired is not part of it.
 * Forged ones are not kept: they would push out those of users.
 */
const genuine = new Map<string, { secret: string; judged: JudgedToken }>();
const MOST_GENUINE = 500;

/** Judges a JWT by its signature; undefined for a text that is none. */
export function judgeToken(token: string, secret: string): JudgedToken | undefined {
  if (token.length > 16_384) return undefined;
  const known = genuine.get(token);
  if (known?.secret === secret) return known.judged;
  const judged = judgeUnknown(token, secret);
  if (judged?.genuine) {
    genuine.set(token, { secret, judged });
    if (genuine.size > MOST_GENUINE) genuine.delete(genuine.keys().next().value!);
  }
  return judged;
}

function judgeUnknown(token: string, secret: string): JudgedToken | undefined {
  const [head, payload, signature, ...rest] = token.split(".");
  if (!head || !payload || signature === undefined || rest.length > 0) return undefined;
  try {
    const { alg } = decode(head);
    const { sub, role } = decode(payload);
    return {
      genuine: isSigned(head, payload, signature, secret) && alg === "HS256",
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

/** Compares bytes, as other programs do: the last character of a signature has several spellings. */
function isSigned(head: string, payload: string, signature: string, secret: string): boolean {
  const expected = createHmac("sha256", secret).update(`${head}.${payload}`).digest();
  const given = Buffer.from(signature, "base64url");
  return given.length === expected.length && timingSafeEqual(given, expected);
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
