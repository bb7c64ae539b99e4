// Makes the access tokens of sessions.

import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import type { SigningKey } from "../jwt-keys.ts";
import type { AuthContext } from "./context.ts";
import { internal } from "./errors.ts";
import type { Queryable } from "./queryable.ts";
import type { AuthRequest } from "./request.ts";
import type { Json, UserRow } from "./users.ts";

/** How a session was begun or confirmed, newest first: the claim `amr`. */
export interface AuthenticationMethod {
  method: string;
  timestamp: number;
}

/** Methods that make a session one of level 2. */
const SECOND_FACTORS = new Set(["totp", "mfa/phone", "mfa/webauthn"]);

/** What of a session goes into its tokens. */
async function traitsOf(
  on: Queryable,
  sessionId: string,
): Promise<{ aal: "aal1" | "aal2"; amr: AuthenticationMethod[]; app: Json }> {
  const { rows } = await on.query<
    AuthenticationMethod & { oauth_client_id: string | null; scopes: string | null }
  >(
    `select m.authentication_method as method, floor(extract(epoch from m.updated_at))::float8 as timestamp,
        s.oauth_client_id, s.scopes
      from auth.mfa_amr_claims m join auth.sessions s on s.id = m.session_id
      where m.session_id = $1 order by m.updated_at desc`,
    [sessionId],
  );
  const session = rows[0];
  return {
    aal: rows.some(({ method }) => SECOND_FACTORS.has(method)) ? "aal2" : "aal1",
    amr: rows.map(({ method, timestamp }) => ({ method, timestamp })),
    app: {
      ...(session?.oauth_client_id ? { client_id: session.oauth_client_id } : {}),
      ...(session?.scopes ? { scope: session.scopes } : {}),
    },
  };
}

/** The claims that a hook may not take out. */
const REQUIRED = ["aud", "exp", "iat", "sub", "email", "phone", "role", "aal", "session_id", "is_anonymous"];

/**
 * Signs an access token of a session.
 * @param method how it was authenticated now, for the hook
 * @returns the token, and when it ends in seconds since 1970
 */
export async function issueAccessToken(
  context: AuthContext,
  on: Queryable,
  request: AuthRequest,
  { user, sessionId, method }: { user: UserRow; sessionId: string; method: string },
): Promise<{ token: string; expiresAt: number }> {
  const { aal, amr, app } = await traitsOf(on, sessionId);
  const iat = Math.floor(context.now().getTime() / 1000);
  const exp = iat + context.settings.jwt_expiry;
  let claims: Json = {
    iss: context.settings.jwt_issuer ?? context.externalUrl,
    sub: user.id,
    aud: user.aud ?? "",
    exp,
    iat,
    email: user.email ?? "",
    phone: user.phone ?? "",
    app_metadata: user.raw_app_meta_data ?? {},
    user_metadata: user.raw_user_meta_data ?? {},
    role: user.role ?? "",
    aal,
    amr,
    session_id: sessionId,
    is_anonymous: user.is_anonymous,
    ...app,
  };
  if (context.hooks.enabled("custom_access_token")) {
    const caller = { ipAddress: request.ip, connection: on };
    claims = await context.hooks.customAccessToken(caller, {
      user_id: user.id,
      claims,
      authentication_method: method,
    });
    const missing = REQUIRED.filter((name) => !(name in claims));
    if (missing.length > 0)
      throw internal(
        `output claims do not conform to the expected schema: \n${missing.map((name) => `- (root): ${name} is required\n`).join("")}`,
      );
  }
  return { token: signJwt(claims, context.keys.signingKeys[0]!), expiresAt: exp };
}

const privateKeys = new WeakMap<SigningKey, KeyObject>();
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A JWT signed by the project's own key. */
export function signJwt(claims: Json, key: SigningKey): string {
  let privateKey = privateKeys.get(key);
  if (privateKey === undefined) {
    privateKey = createPrivateKey({ key: { ...key }, format: "jwk" });
    privateKeys.set(key, privateKey);
  }
  const body = `${encode({ alg: key.alg, kid: key.kid, typ: "JWT" })}.${encode(claims)}`;
  const signature = sign("sha256", Buffer.from(body), { key: privateKey, dsaEncoding: "ieee-p1363" });
  return `${body}.${signature.toString("base64url")}`;
}
