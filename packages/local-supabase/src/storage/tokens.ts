// Verifies callers' tokens and signs links.

import { type JWTPayload, jwtVerify, SignJWT } from "jose";
import { failures } from "./errors.ts";

/** Verifies a token and gives its claims; throws an Error that says what is wrong with it. */
export type VerifyToken = (token: string) => Promise<JWTPayload>;

const MOST_KNOWN = 500;

/** Verifies tokens that this project's secret signed. What was verified lately is kept until it expires. */
export function verifierOf(secret: string): VerifyToken {
  const key = new TextEncoder().encode(secret);
  const known = new Map<string, JWTPayload>();
  return async (token) => {
    const before = known.get(token);
    if (before && (before.exp ?? 0) * 1000 > Date.now()) return before;
    const { payload } = await jwtVerify(token, key, { algorithms: ["HS256"] });
    if (payload.exp !== undefined) known.set(token, payload);
    if (known.size > MOST_KNOWN) known.delete(known.keys().next().value ?? "");
    return payload;
  };
}

export type LinkScope = "download" | "upload";

export interface LinkClaims {
  url: string;
  exp: number;
  owner?: string;
  upsert?: boolean;
}

export interface Links {
  /** Signs a link for `url` (`bucket/name`). Throws where the seconds are no life of a token. */
  sign(scope: LinkScope, url: string, seconds: number, more?: Record<string, unknown>): Promise<string>;
  /** The claims of a link for `url`; throws where it is for something else, has expired or was not signed here. */
  verify(token: string, scope: LinkScope, url: string): Promise<LinkClaims>;
}

/** Links are signed by the project's secret; one for reading is no use for writing. */
export function createLinks(secret: string): Links {
  const key = new TextEncoder().encode(secret);
  return {
    async sign(scope, url, seconds, more = {}) {
      mustBeLife(seconds);
      return await new SignJWT({ ...more, url, scope })
        .setProtectedHeader({ alg: "HS256" })
        .setIssuedAt()
        .setExpirationTime(`${Math.floor(seconds)}s`)
        .sign(key);
    },

    async verify(token, scope, url) {
      const { payload } = await jwtVerify<LinkClaims & { scope?: string }>(token, key, {
        algorithms: ["HS256"],
      }).catch((error: Error) => {
        throw failures.invalidJwt(error.message);
      });
      // Links of release 0.2.0 name no scope; those for uploads say whether they may overwrite.
      const isFor = payload.scope ?? ("upsert" in payload ? "upload" : "download");
      if (isFor !== scope) throw failures.invalidSignature(`Token is not scoped for ${scope}`);
      if (payload.url !== url) throw failures.invalidSignature();
      if (!payload.exp || payload.exp * 1000 < Date.now()) throw failures.expiredToken();
      return payload;
    },
  };
}

/** A life of a token in seconds: at least one, and ending at a time that can be written. */
export function mustBeLife(seconds: number): void {
  const most = Math.floor(Number.MAX_SAFE_INTEGER / 1000) - Math.floor(Date.now() / 1000);
  const whole = Math.floor(seconds);
  if (!Number.isSafeInteger(whole) || whole < 1 || whole > most) throw failures.invalidParameter("expiresIn");
}
