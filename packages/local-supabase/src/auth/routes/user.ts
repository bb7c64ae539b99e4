// GET and PUT /user, POST /logout.

import { recordAudit } from "../audit.ts";
import { AUDIENCE, type AuthContext } from "../context.ts";
import { AuthError, badRequest, forbidden, unprocessable } from "../errors.ts";
import { createIdentity } from "../identities/identities.ts";
import { notify, readEmail, sendEmailChange } from "../mail/send.ts";
import { beginFlow } from "../oauth/flow-states.ts";
import { forgetTokens, hashOf, isValid } from "../one-time-tokens.ts";
import { checkPassword, hashPassword, judgePassword } from "../passwords.ts";
import type { Queryable } from "../queryable.ts";
import { type Answer, type AuthRequest, objectOf, signedIn, textOf } from "../request.ts";
import { endSessions, type SessionRow } from "../sessions.ts";
import {
  findUser,
  hasPassword,
  hasVerifiedFactor,
  mergedMetaData,
  type UserColumns,
  type UserRow,
  updateUser,
  userJson,
  userOfDuplicateEmail,
} from "../users.ts";
import { readPkce } from "./signup.ts";
import { changeEmail } from "./verify.ts";

/** GET /user */
export async function getUser(_context: AuthContext, request: AuthRequest): Promise<Answer> {
  return { body: userJson(signedIn(request).user) };
}

/** PUT /user: address, password, user_metadata. */
export async function putUser(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { database, settings, limits } = context;
  limits.request("user", request.ip);
  const { user, session } = signedIn(request);
  const body = request.body();
  const given = textOf(body, "email");
  const email = given ? readEmail(given) : undefined;
  const password = textOf(body, "password");
  const phone = textOf(body, "phone");
  const data = objectOf(body, "data");
  const pkce = readPkce(body);
  if (phone) throw badRequest("phone_provider_disabled", "Phone logins are disabled");
  if (password !== undefined) judgePassword(password, settings);
  if (objectOf(body, "app_metadata"))
    throw forbidden("not_admin", "Updating app_metadata requires admin privileges");
  const newEmail = email !== undefined && email !== user.email ? email : undefined;
  if (hasVerifiedFactor(user) && session?.aal === "aal1" && (password || newEmail))
    throw new AuthError(
      401,
      "insufficient_aal",
      "AAL2 session is required to update email or password when MFA is enabled.",
    );
  if (user.is_anonymous && password && !email)
    throw unprocessable(
      "validation_failed",
      "Updating password of an anonymous user without an email or phone is not allowed",
    );
  if (user.is_sso_user && (password || newEmail || textOf(body, "nonce")))
    throw unprocessable(
      "user_sso_managed",
      "Updating email, phone, password of a SSO account only possible via SSO",
    );
  if (newEmail && (await userOfDuplicateEmail(database, newEmail, AUDIENCE, user.id)))
    throw unprocessable("email_exists", "A user with this email address has already been registered");
  if (password !== undefined) {
    await judgeChange(context, database, user, session, body);
    if (password !== "" && hasPassword(user) && (await checkPassword(password, user.encrypted_password)))
      throw unprocessable("same_password", "New password should be different from the old password.");
  }
  const isFirst = Boolean(password) && !hasPassword(user);
  const hash = password === undefined ? undefined : password === "" ? null : await hashPassword(password);
  const after = await database.transaction(async (on) => {
    if (hash !== undefined) {
      await setPassword(on, user, hash, session && { except: session.id });
      await recordAudit(on, request, user, "user_updated_password");
      if (isFirst) await ensureEmailIdentity(on, user);
      await notify(context, "password_changed", { to: user.email ?? "", data: {} });
    }
    if (data)
      await updateUser(on, user, { raw_user_meta_data: mergedMetaData(user.raw_user_meta_data, data) });
    if (newEmail && user.is_anonymous && !settings.email.enable_confirmations) {
      await updateUser(on, user, { email_change: newEmail });
      await changeEmail(context, on, request, user);
    } else if (newEmail) {
      const isPkce = pkce.code_challenge !== "";
      if (isPkce)
        await beginFlow(on, { provider: "email_change", method: "email_change", userId: user.id, ...pkce });
      await sendEmailChange(context, on, request, user, newEmail, { pkce: isPkce });
    }
    await recordAudit(on, request, user, "user_modified");
    return (await findUser(on, user.id)) ?? user;
  });
  return { body: userJson(after) };
}

/** What config.toml asks for before a password may be changed. */
async function judgeChange(
  context: AuthContext,
  on: Queryable,
  user: UserRow,
  session: SessionRow | undefined,
  body: Record<string, unknown>,
): Promise<void> {
  const { settings, limits, now } = context;
  const old = !session || now().getTime() > session.created_at.getTime() + 24 * 3_600_000;
  if (settings.email.secure_password_change && old) {
    const nonce = textOf(body, "nonce");
    if (!nonce) throw badRequest("reauthentication_needed", "Password update requires reauthentication");
    limits.request("guess", user.id);
    const fits = isValid(
      hashOf(context.keys, user.email ?? "", nonce),
      user.reauthentication_token,
      user.reauthentication_sent_at,
      { expirySeconds: settings.email.otp_expiry, now: now() },
    );
    if (!fits) throw unprocessable("reauthentication_not_valid", "Nonce has expired or is invalid");
    await updateUser(on, user, { reauthentication_token: "" });
    await forgetTokens(on, user);
  }
  if (!settings.email.require_current_password || !hasPassword(user)) return;
  const current = textOf(body, "current_password");
  const message = "Current password required when setting new password.";
  if (!current) throw badRequest("current_password_required", message);
  limits.request("guess", user.id);
  if (!(await checkPassword(current, user.encrypted_password)))
    throw badRequest("current_password_mismatch", message);
}

/**
 * Sets a password's hash. What was sent before counts no more, and sessions end: all, or all but one.
 * @param hash null: the user has no password any more
 */
export async function setPassword(
  on: Queryable,
  user: UserRow,
  hash: string | null,
  keep?: { except: string },
): Promise<void> {
  const changes: Partial<UserColumns> = {
    encrypted_password: hash,
    confirmation_token: "",
    confirmation_sent_at: null,
    recovery_token: "",
    recovery_sent_at: null,
    email_change_token_current: "",
    email_change_token_new: "",
    email_change_sent_at: null,
    phone_change_token: "",
    phone_change_sent_at: null,
    reauthentication_token: "",
    reauthentication_sent_at: null,
  };
  await updateUser(on, user, changes);
  await forgetTokens(on, user);
  await endSessions(on, user.id, keep ?? "all");
}

/** Whoever sets a first password can sign in with the address too. */
export async function ensureEmailIdentity(on: Queryable, user: UserRow): Promise<void> {
  if (!user.email || user.identities.some(({ provider }) => provider === "email")) return;
  await createIdentity(on, user.id, "email", {
    sub: user.id,
    email: user.email,
    email_verified: user.email_confirmed_at !== null,
    phone_verified: false,
  });
}

/** POST /logout, with `scope`: global, local or others. */
export async function logOut(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { user, session } = signedIn(request);
  const scope = request.query.get("scope") || "global";
  if (!["global", "local", "others"].includes(scope))
    throw badRequest("validation_failed", `Unsupported logout scope "${scope}"`);
  await context.database.transaction(async (on) => {
    await recordAudit(on, request, user, "logout");
    if (session && scope === "local") await endSessions(on, user.id, { only: session.id });
    else if (session && scope === "others") await endSessions(on, user.id, { except: session.id });
    else await endSessions(on, user.id, "all");
  });
  return { status: 204 };
}
