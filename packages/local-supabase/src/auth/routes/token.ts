// POST /token: sessions for a password, a refresh token or a code of PKCE.

import { recordAudit } from "../audit.ts";
import { AUDIENCE, type AuthContext } from "../context.ts";
import { badRequest, unprocessable } from "../errors.ts";
import { takeFlow } from "../oauth/flow-states.ts";
import { checkPassword, weaknessOf } from "../passwords.ts";
import { type Answer, type AuthRequest, textOf } from "../request.ts";
import { endSessions, issueSession, refreshSession } from "../sessions.ts";
import { findUser, findUserByEmail, hasPassword, isBanned, isConfirmed } from "../users.ts";

const WRONG = "Invalid login credentials";

/** A way to get a session; `grant_type` names it. */
export type Grant = (context: AuthContext, request: AuthRequest) => Promise<Answer>;

/**
 * POST /token
 * @param further grants of other modules, by name
 */
export const token =
  (further: Readonly<Record<string, Grant>>): Grant =>
  async (context, request) => {
    const grants: Record<string, Grant> = {
      password: byPassword,
      refresh_token: byRefreshToken,
      pkce: byCode,
      ...further,
    };
    const name = request.query.get("grant_type") ?? "";
    const grant = Object.hasOwn(grants, name) ? grants[name] : undefined;
    if (!grant) throw badRequest("invalid_credentials", "unsupported_grant_type");
    context.limits.request("token", request.ip);
    return await grant(context, request);
  };

async function byPassword(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { settings, database, hooks } = context;
  const body = request.body();
  const email = textOf(body, "email");
  const phone = textOf(body, "phone");
  const password = textOf(body, "password") ?? "";
  if (email && phone)
    throw badRequest(
      "validation_failed",
      "Only an email address or phone number should be provided on login.",
    );
  if (phone) throw unprocessable("phone_provider_disabled", "Phone logins are disabled");
  if (!email) throw badRequest("validation_failed", "missing email or phone");
  if (settings.email.enabled === false)
    throw unprocessable("email_provider_disabled", "Email logins are disabled");
  const user = await findUserByEmail(database, email, AUDIENCE);
  const valid = await checkPassword(password, user?.encrypted_password);
  if (!user || !hasPassword(user)) throw badRequest("invalid_credentials", WRONG);
  if (isBanned(user, context.now())) throw badRequest("user_banned", "User is banned");
  if (hooks.enabled("password_verification_attempt")) {
    const verdict = await hooks.passwordVerification({ ipAddress: request.ip }, { user_id: user.id, valid });
    if (verdict.rejected) {
      if (verdict.shouldLogoutUser) await endSessions(database, user.id, "all");
      throw badRequest("invalid_credentials", verdict.message);
    }
  }
  if (!valid) throw badRequest("invalid_credentials", WRONG);
  if (!isConfirmed(user)) throw badRequest("email_not_confirmed", "Email not confirmed");
  const session = await database.transaction(async (on) => {
    await recordAudit(on, request, user, "login", { provider: "email" });
    return await issueSession(context, on, request, user, { method: "password" });
  });
  const weak = weaknessOf(password, settings);
  return { body: weak ? { ...session, weak_password: weak } : session };
}

async function byRefreshToken(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const given = textOf(request.body(), "refresh_token") ?? "";
  // Twelve characters are Auth's own; release 0.2.0 had longer ones.
  if (given.length < 12) throw badRequest("validation_failed", "Refresh token is not valid");
  const { session, headers } = await refreshSession(context, request, given);
  return { body: session, headers };
}

async function byCode(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const body = request.body();
  const code = textOf(body, "auth_code");
  const verifier = textOf(body, "code_verifier");
  if (!code || !verifier)
    throw badRequest(
      "validation_failed",
      "invalid request: both auth code and code verifier should be non-empty",
    );
  const session = await context.database.transaction(async (on) => {
    const flow = await takeFlow(on, code, verifier);
    const user = await findUser(on, flow.user_id);
    if (!user) throw badRequest("user_not_found", "User not found");
    await recordAudit(on, request, user, "login", { provider_type: flow.provider_type });
    const issued = await issueSession(context, on, request, user, { method: flow.authentication_method });
    return {
      ...issued,
      ...(flow.provider_access_token ? { provider_token: flow.provider_access_token } : {}),
      ...(flow.provider_refresh_token ? { provider_refresh_token: flow.provider_refresh_token } : {}),
    };
  });
  return { body: session };
}
