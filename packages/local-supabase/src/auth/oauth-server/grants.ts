// What a user granted to apps, and what an app may read of the user.

import { recordAudit } from "../audit.ts";
import type { AuthContext } from "../context.ts";
import { badRequest, notFound } from "../errors.ts";
import { type Answer, type AuthRequest, signedIn } from "../request.ts";
import type { Json } from "../users.ts";
import { scopesOf } from "./authorizations.ts";
import { type ClientRow, clientForUsers, isUuid } from "./clients.ts";
import { profileOf } from "./token.ts";

/** GET /user/oauth/grants */
export async function list({ database }: AuthContext, request: AuthRequest): Promise<Answer> {
  const { rows } = await database.query<ClientRow & { scopes: string; granted_at: Date }>(
    `select c.*, g.scopes, g.granted_at from auth.oauth_consents g join auth.oauth_clients c on c.id = g.client_id
      where g.user_id = $1 and g.revoked_at is null and c.deleted_at is null order by g.granted_at desc`,
    [signedIn(request).user.id],
  );
  return {
    body: rows.map((row) => ({
      client: clientForUsers(row),
      scopes: scopesOf(row.scopes),
      granted_at: row.granted_at,
    })),
  };
}

/** DELETE /user/oauth/grants?client_id=: takes a grant back, and ends the app's sessions of this user. */
export async function revoke({ database }: AuthContext, request: AuthRequest): Promise<Answer> {
  const { user } = signedIn(request);
  const clientId = request.query.get("client_id");
  if (!clientId) throw badRequest("validation_failed", "client_id query parameter is required");
  if (!isUuid(clientId)) throw badRequest("validation_failed", "invalid client_id format");
  await database.transaction(async (on) => {
    const { rowCount } = await on.query(
      "update auth.oauth_consents set revoked_at = now() where user_id = $1 and client_id = $2 and revoked_at is null",
      [user.id, clientId],
    );
    if (!rowCount) throw notFound("oauth_consent_not_found", "No active grant found for this client");
    await on.query("delete from auth.sessions where user_id = $1 and oauth_client_id = $2", [
      user.id,
      clientId,
    ]);
    // A code that the app did not exchange yet would be a session all the same.
    await on.query("delete from auth.oauth_authorizations where user_id = $1 and client_id = $2", [
      user.id,
      clientId,
    ]);
    await recordAudit(on, request, user, "token_revoked", {
      oauth_client_id: clientId,
      action: "revoke_oauth_grant",
    });
  });
  return { status: 204 };
}

/** GET /oauth/userinfo: as far as the session's scopes allow; only `sub` for a session of no app. */
export async function userInfo(_context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { user, session } = signedIn(request);
  const scopes = scopesOf(session?.scopes ?? "");
  const body: Json = { sub: user.id };
  if (scopes.includes("email")) {
    if (user.email) body.email = user.email;
    if (user.email_confirmed_at) body.email_verified = true;
  }
  if (scopes.includes("profile"))
    Object.assign(body, profileOf(user), { user_metadata: user.raw_user_meta_data ?? {} });
  if (scopes.includes("phone")) {
    if (user.phone) body.phone = user.phone;
    if (user.phone_confirmed_at) body.phone_verified = true;
  }
  return { body };
}
