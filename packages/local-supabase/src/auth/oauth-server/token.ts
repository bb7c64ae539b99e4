// POST /oauth/token: an app's session for a code or a refresh token.

import { createHash, timingSafeEqual } from "node:crypto";
import { signJwt } from "../access-token.ts";
import { recordAudit } from "../audit.ts";
import type { AuthContext } from "../context.ts";
import { OAuthError } from "../errors.ts";
import { type Answer, type AuthRequest, textOf } from "../request.ts";
import { issueSession, refreshSession, type SessionJson } from "../sessions.ts";
import { findUser, isBanned, type Json, type UserRow } from "../users.ts";
import { type AuthorizationRow, scopesOf } from "./authorizations.ts";
import { authenticateClient, type ClientRow } from "./clients.ts";

const ID_TOKEN_SECONDS = 3600;
const NOT_KEPT = { "cache-control": "no-store" };
const invalid = (why: string) => new OAuthError("invalid_grant", why);

/** POST /oauth/token */
export async function token(context: AuthContext, request: AuthRequest): Promise<Answer> {
  context.limits.request("token", request.ip);
  const client = await authenticateClient(context.database, request);
  const body = request.body();
  const grant = textOf(body, "grant_type");
  if (!grant) throw new OAuthError("invalid_request", "grant_type is required");
  if (!client.grant_types.split(",").includes(grant))
    throw new OAuthError("unsupported_grant_type", `Client is not allowed to use grant type: ${grant}`);
  if (grant === "authorization_code") return await byCode(context, request, client, body);
  const given = textOf(body, "refresh_token");
  if (!given) throw new OAuthError("invalid_request", "refresh_token is required for refresh_token grant");
  const { session, headers } = await refreshSession(context, request, given, client.id);
  return { body: tokensOf(session), headers: { ...headers, ...NOT_KEPT } };
}

async function byCode(
  context: AuthContext,
  request: AuthRequest,
  client: ClientRow,
  body: Json,
): Promise<Answer> {
  const code = textOf(body, "code");
  if (!code) throw new OAuthError("invalid_request", "code is required for authorization_code grant");
  return await context.database.transaction(async (on): Promise<Answer> => {
    const { rows } = await on.query<AuthorizationRow>(
      "select * from auth.oauth_authorizations where authorization_code = $1 and status = 'approved' for update skip locked",
      [code],
    );
    const granted = rows[0];
    if (!granted) throw invalid("Invalid authorization code");
    check(context, granted, client, body);
    const user = granted.user_id && (await findUser(on, granted.user_id));
    if (!user) throw invalid("User not found for authorization code");
    if (isBanned(user, context.now())) throw new OAuthError("access_denied", "User is banned");
    await recordAudit(on, request, user, "login", {
      provider_type: "oauth_provider_authorization_code",
      client_id: client.id,
    });
    const session = await issueSession(context, on, request, user, {
      method: "oauth_provider/authorization_code",
      client: { id: client.id, scopes: granted.scope },
    });
    await on.query("delete from auth.oauth_authorizations where id = $1", [granted.id]);
    const scopes = scopesOf(granted.scope);
    const idToken = scopes.includes("openid")
      ? { id_token: signIdToken(context, user, client.id, scopes, granted.nonce) }
      : {};
    return { body: { ...tokensOf(session), ...idToken }, headers: NOT_KEPT };
  });
}

/** Refuses a code that is too old, of another app, or that is exchanged by whoever did not ask for it. */
function check(context: AuthContext, granted: AuthorizationRow, client: ClientRow, body: Json): void {
  if (context.now() > granted.expires_at) throw invalid("Authorization code has expired");
  if (granted.client_id !== client.id) throw invalid("Authorization code was not issued for this client");
  const resource = textOf(body, "resource");
  if (resource && resource !== granted.resource)
    throw invalid("Authorization code resource does not match the resource parameter");
  const redirectUri = textOf(body, "redirect_uri");
  if (redirectUri && redirectUri !== granted.redirect_uri) throw invalid("Invalid redirect_uri");
  const verifier = textOf(body, "code_verifier");
  if (!verifier)
    throw invalid("PKCE verification failed: code_verifier is required when PKCE challenge is present");
  const derived =
    granted.code_challenge_method === "plain"
      ? verifier
      : createHash("sha256").update(verifier).digest("base64url");
  const [kept, given] = [Buffer.from(granted.code_challenge ?? ""), Buffer.from(derived)];
  if (kept.length !== given.length || !timingSafeEqual(kept, given))
    throw invalid("PKCE verification failed: code challenge does not match previously saved code verifier");
}

/** A session as apps get it: without the user. */
function tokensOf({ access_token, token_type, expires_in, refresh_token }: SessionJson): Json {
  return { access_token, token_type, expires_in, refresh_token };
}

/** Says who signed in, as OpenID Connect has it, as far as the scopes allow. */
function signIdToken(
  context: AuthContext,
  user: UserRow,
  clientId: string,
  scopes: readonly string[],
  nonce: string | null,
): string {
  const iat = Math.floor(context.now().getTime() / 1000);
  const claims: Json = {
    iss: context.settings.jwt_issuer ?? context.externalUrl,
    sub: user.id,
    aud: [clientId],
    iat,
    exp: iat + ID_TOKEN_SECONDS,
    auth_time: user.last_sign_in_at ? Math.floor(user.last_sign_in_at.getTime() / 1000) : iat,
    client_id: clientId,
    email_verified: scopes.includes("email") && user.email_confirmed_at !== null,
    phone_number_verified: scopes.includes("phone") && user.phone_confirmed_at !== null,
    ...(nonce ? { nonce } : {}),
    ...(scopes.includes("email") && user.email ? { email: user.email } : {}),
    ...(scopes.includes("phone") && user.phone ? { phone_number: user.phone } : {}),
    ...(scopes.includes("profile") ? profileOf(user) : {}),
  };
  return signJwt(claims, context.keys.signingKeys[0]!);
}

/** What the scope `profile` shows of a user. Pure. */
export function profileOf(user: UserRow): Json {
  const data = user.raw_user_meta_data ?? {};
  const first = (...values: unknown[]) => values.find((value) => typeof value === "string" && value !== "");
  const shown = {
    name: first(data.name, user.email),
    picture: first(data.picture, data.avatar_url),
    preferred_username: first(data.preferred_username, data.username),
    updated_at: user.updated_at ? Math.floor(user.updated_at.getTime() / 1000) : undefined,
  };
  return Object.fromEntries(Object.entries(shown).filter(([, value]) => value !== undefined));
}
