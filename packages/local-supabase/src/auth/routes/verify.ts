// GET and POST /verify: the links and codes of mails.

import { recordAudit } from "../audit.ts";
import { AUDIENCE, type AuthContext } from "../context.ts";
import { AuthError, badRequest, forbidden, takenEmail, unprocessable } from "../errors.ts";
import { createIdentity, noteProviders } from "../identities/identities.ts";
import { notify, readEmail, redirectOf } from "../mail/send.ts";
import {
  confirmUser,
  forgetTokens,
  hashOf,
  isPkceToken,
  isValid,
  type OneTimeTokenKind,
  ownerOfToken,
} from "../one-time-tokens.ts";
import { hashPassword, randomPassword } from "../passwords.ts";
import { readPhone } from "../phones.ts";
import type { Queryable } from "../queryable.ts";
import { withCode, withError, withMessage, withSession } from "../redirects.ts";
import { type Answer, type AuthRequest, textOf } from "../request.ts";
import { issueSession } from "../sessions.ts";
import {
  findUser,
  hasPassword,
  isBanned,
  isConfirmed,
  type UserRow,
  updateUser,
  userOfDuplicateEmail,
} from "../users.ts";

const EXPIRED_LINK = () => forbidden("otp_expired", "Email link is invalid or has expired");
const EXPIRED_CODE = () => forbidden("otp_expired", "Token has expired or is invalid");
const HALF_DONE = "Confirmation link accepted. Please proceed to confirm link sent to the other email";

/** What a client wants confirmed. */
interface Asked {
  type: string;
  /** The hash of the code. */
  hash: string;
  /** Given with a code, absent with a link. */
  email?: string;
}

/** Which tokens a type stands for; `email` is a sign-up or a magic link. */
const KINDS: Readonly<Record<string, readonly OneTimeTokenKind[]>> = {
  signup: ["confirmation_token"],
  invite: ["confirmation_token"],
  magiclink: ["recovery_token"],
  recovery: ["recovery_token"],
  email: ["confirmation_token", "recovery_token"],
  email_change: ["email_change_token_current", "email_change_token_new"],
};

/** POST /verify: a code with its address, or the hash of a link. */
export async function verifyByPost(context: AuthContext, request: AuthRequest): Promise<Answer> {
  context.limits.request("verify", request.ip);
  const asked = readAsked(context, request);
  if (asked.email !== undefined) context.limits.request("guess", asked.email); // wherever the guesses come from
  const session = await context.database.transaction(async (on) => {
    const user = await confirmed(context, on, request, asked);
    return user && (await issueSession(context, on, request, user, { method: "otp" }));
  });
  return { body: session ?? { msg: HALF_DONE, code: "200" } };
}

function readAsked({ keys }: AuthContext, request: AuthRequest): Asked {
  const body = request.body();
  const type = textOf(body, "type") ?? "";
  const [code, hash, given, phone] = ["token", "token_hash", "email", "phone"].map((name) =>
    textOf(body, name),
  );
  if (type === "") throw badRequest("validation_failed", "Verify requires a verification type");
  if (Boolean(code) === Boolean(hash))
    throw badRequest("validation_failed", "Verify requires either a token or a token hash");
  if (hash) {
    if (given || phone || textOf(body, "redirect_to"))
      throw badRequest("validation_failed", "Only the token_hash and type should be provided");
    return { type, hash };
  }
  if (phone && !given) {
    readPhone(phone);
    throw EXPIRED_CODE(); // no code was sent by text message
  }
  if (!given || phone)
    throw badRequest(
      "validation_failed",
      "Only an email address or phone number should be provided on verify",
    );
  let email: string;
  try {
    email = readEmail(given);
  } catch {
    throw unprocessable("validation_failed", "Invalid email format");
  }
  return { type, email, hash: hashOf(keys, email, code ?? "") };
}

/** GET /verify: the link of a mail, opened by a browser, which is sent on to the app. */
export async function verifyByGet(context: AuthContext, request: AuthRequest): Promise<Answer> {
  context.limits.request("verify", request.ip);
  const type = request.query.get("type") ?? "";
  const token = request.query.get("token") ?? "";
  if (type === "") throw badRequest("validation_failed", "Verify requires a verification type");
  if (token === "") throw badRequest("validation_failed", "Verify requires a token or a token hash");
  const to = redirectOf(context, request);
  const pkce = isPkceToken(token);
  try {
    const location = await context.database.transaction(async (on) => {
      const user = await confirmed(context, on, request, { type, hash: token });
      if (!user) return withMessage(to, HALF_DONE, pkce);
      if (pkce) return withCode(to, await issueCode(on, user.id, type));
      return withSession(to, await issueSession(context, on, request, user, { method: "otp" }), type);
    });
    return { status: 303, headers: { location } };
  } catch (error) {
    if (!(error instanceof AuthError)) throw error;
    return { status: 303, headers: { location: withError(to, error, pkce) } };
  }
}

/** The code of the newest flow that a mail of this kind belongs to. */
async function issueCode(on: Queryable, userId: string, type: string): Promise<string> {
  const { rows } = await on.query<{ auth_code: string | null }>(
    `update auth.flow_state set auth_code_issued_at = now(), updated_at = now() where id = (
        select id from auth.flow_state where user_id = $1 and authentication_method = $2
          order by created_at desc limit 1) returning auth_code`,
    [userId, type === "signup" ? "email/signup" : type],
  );
  const code = rows[0]?.auth_code;
  if (!code) throw badRequest("flow_state_not_found", "No associated flow state found. ");
  return code;
}

/** Confirms what was asked. Returns the user, or undefined while another address has to confirm too. */
async function confirmed(
  context: AuthContext,
  on: Queryable,
  request: AuthRequest,
  asked: Asked,
): Promise<UserRow | undefined> {
  const { user, type } = await ownerOf(context, on, asked);
  if (type === "email_change") return await confirmChange(context, on, request, user, asked.hash);
  const now = context.now();
  if (type === "signup" || type === "invite") {
    if (!hasPassword(user) && user.invited_at !== null)
      await updateUser(on, user, { encrypted_password: await hashPassword(randomPassword()) });
    await recordAudit(on, request, user, "user_signedup", { provider: "email" });
    await confirmUser(on, user, now);
    await on.query(
      `update auth.identities set identity_data = identity_data || '{"email_verified": true}', updated_at = now()
        where user_id = $1 and email = $2`,
      [user.id, user.email],
    );
  } else {
    await updateUser(on, user, { recovery_token: "" });
    await forgetTokens(on, user);
    if (isConfirmed(user)) await recordAudit(on, request, user, "login");
    else {
      await recordAudit(on, request, user, "user_signedup", { provider: "email" });
      await confirmUser(on, user, now);
    }
  }
  return await finished(on, user);
}

async function finished(on: Queryable, user: UserRow): Promise<UserRow> {
  await noteProviders(on, user.id);
  return (await findUser(on, user.id)) ?? user;
}

/**
 * The user of a code or a link, while it is valid.
 * @throws AuthError `otp_expired`, `user_banned`
 */
async function ownerOf(
  context: AuthContext,
  on: Queryable,
  asked: Asked,
): Promise<{ user: UserRow; type: string }> {
  const kinds = Object.hasOwn(KINDS, asked.type) ? KINDS[asked.type] : undefined;
  if (!kinds) throw badRequest("validation_failed", "Invalid email verification type");
  const refuse = asked.email === undefined ? EXPIRED_LINK : EXPIRED_CODE;
  const id = await ownerOfToken(on, asked.hash, kinds);
  // Locked, and looked for again: of two requests with one token the second finds it used.
  if (id !== undefined) await on.query("select from auth.users where id = $1 for update", [id]);
  const isOpen = id !== undefined && (await ownerOfToken(on, asked.hash, kinds)) === id;
  const user = isOpen ? await findUser(on, id) : undefined;
  if (!user) throw refuse();
  if (isBanned(user, context.now())) throw forbidden("user_banned", "User is banned");
  const limit = { expirySeconds: context.settings.email.otp_expiry, now: context.now() };
  const fits = (given: string | null, sentAt: Date | null) => isValid(asked.hash, given, sentAt, limit);
  const valid: Record<string, boolean> = {
    confirmation_token: fits(user.confirmation_token, user.confirmation_sent_at),
    recovery_token: fits(user.recovery_token, user.recovery_sent_at),
    email_change_token_current: fits(user.email_change_token_current, user.email_change_sent_at),
    email_change_token_new: fits(user.email_change_token_new, user.email_change_sent_at),
  };
  const kind = kinds.find((each) => valid[each]);
  if (kind === undefined) throw refuse();
  if (asked.type !== "email") return { user, type: asked.type };
  return { user, type: kind === "confirmation_token" ? "signup" : "magiclink" };
}

/** Confirms one address of a change; the change is made when all that are asked have confirmed. */
async function confirmChange(
  context: AuthContext,
  on: Queryable,
  request: AuthRequest,
  user: UserRow,
  hash: string,
): Promise<UserRow | undefined> {
  const double = context.settings.email.double_confirm_changes && Boolean(user.email);
  const isCurrent = [hash, `pkce_${hash}`].includes(user.email_change_token_current ?? "");
  const other = isCurrent ? user.email_change_token_new : user.email_change_token_current;
  if (double && user.email_change_confirm_status === 0 && other) {
    await updateUser(on, user, {
      email_change_confirm_status: 1,
      ...(isCurrent ? { email_change_token_current: "" } : { email_change_token_new: "" }),
    });
    await forgetTokens(on, user, isCurrent ? "email_change_token_current" : "email_change_token_new");
    return undefined;
  }
  return await changeEmail(context, on, request, user);
}

/** Gives a user the address that they have confirmed. */
export async function changeEmail(
  context: AuthContext,
  on: Queryable,
  request: AuthRequest,
  user: UserRow,
): Promise<UserRow> {
  const [before, email] = [user.email ?? "", user.email_change ?? ""];
  // Somebody may have signed up with it since the change was asked for.
  if (await userOfDuplicateEmail(on, email, AUDIENCE, user.id)) throw takenEmail();
  await recordAudit(on, request, user, "user_modified");
  const own = user.identities.find(({ provider }) => provider === "email");
  const data = { email, email_verified: true };
  if (own)
    await on.query(
      "update auth.identities set identity_data = identity_data || $2, updated_at = now() where id = $1",
      [own.id, data],
    );
  else await createIdentity(on, user.id, "email", { sub: user.id, ...data, phone_verified: false });
  await updateUser(on, user, {
    email,
    email_change: "",
    email_change_token_current: "",
    email_change_token_new: "",
    email_change_confirm_status: 0,
    is_anonymous: false,
  });
  await forgetTokens(on, user);
  if (!isConfirmed(user)) await confirmUser(on, user, context.now());
  await notify(context, "email_changed", { to: before, data: { Email: email, OldEmail: before } });
  return await finished(on, user);
}
