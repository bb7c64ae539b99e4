// POST /otp, /magiclink, /recover and /resend, and GET /reauthenticate: mails with a link and a code.

import { recordAudit } from "../audit.ts";
import { AUDIENCE, type AuthContext } from "../context.ts";
import { badRequest, unprocessable } from "../errors.ts";
import { noPhones, readEmail, sendActionMail, sendEmailChange } from "../mail/send.ts";
import { beginFlow } from "../oauth/flow-states.ts";
import { confirmUser } from "../one-time-tokens.ts";
import { randomPassword } from "../passwords.ts";
import { type Answer, type AuthRequest, flagOf, objectOf, signedIn, textOf } from "../request.ts";
import { findUserByEmail, isConfirmed, type Json, userOfDuplicateEmail } from "../users.ts";
import { createUser, newUser, readPkce } from "./signup.ts";

/** POST /otp: a link and a code by mail. */
export async function otp(context: AuthContext, request: AuthRequest): Promise<Answer> {
  context.limits.request("otp", request.ip);
  const body = request.body();
  const [email, phone, channel] = ["email", "phone", "channel"].map((name) => textOf(body, name));
  if (email && phone)
    throw badRequest("validation_failed", "Only an email address or phone number should be provided");
  if (email && channel)
    throw badRequest("validation_failed", "Channel should only be specified with Phone OTP");
  readPkce(body);
  if (flagOf(body, "create_user") === false && email) {
    const known = await findUserByEmail(context.database, readEmail(email), AUDIENCE);
    if (!known) throw unprocessable("otp_disabled", "Signups not allowed for otp");
  }
  if (email) return await sendMagicLink(context, request, body);
  if (phone) throw noPhones();
  throw badRequest("validation_failed", "One of email or phone must be set");
}

/** POST /magiclink */
export async function magicLink(context: AuthContext, request: AuthRequest): Promise<Answer> {
  context.limits.request("magic_link", request.ip);
  return await sendMagicLink(context, request, request.body());
}

async function sendMagicLink(context: AuthContext, request: AuthRequest, body: Json): Promise<Answer> {
  const { settings, database } = context;
  if (settings.email.enabled === false)
    throw unprocessable("email_provider_disabled", "Email logins are disabled");
  const given = textOf(body, "email");
  if (!given) throw unprocessable("validation_failed", "Password recovery requires an email");
  const email = readEmail(given);
  const pkce = readPkce(body);
  const isPkce = pkce.code_challenge !== "";
  const data = objectOf(body, "data") ?? {};
  const known = await findUserByEmail(database, email, AUDIENCE);
  if (known && isConfirmed(known)) {
    await database.transaction(async (on) => {
      if (isPkce)
        await beginFlow(on, { provider: "magiclink", method: "magiclink", userId: known.id, ...pkce });
      await recordAudit(on, request, known, "user_recovery_requested");
      await sendActionMail(context, on, request, known, "magiclink", { pkce: isPkce });
    });
    return { body: {} };
  }
  if (!settings.enable_signup)
    throw unprocessable("signup_disabled", "Signups not allowed for this instance");
  if (!settings.email.enable_signup)
    throw badRequest("email_provider_disabled", "Email signups are disabled");
  const other = known ?? (await userOfDuplicateEmail(database, email, AUDIENCE));
  const draft = other ?? (await newUser(context, request, { email, password: randomPassword(), data }));
  await database.transaction(async (on) => {
    const user = other ?? (await createUser(on, draft, data));
    if (settings.email.enable_confirmations) {
      await recordAudit(on, request, user, "user_confirmation_requested", { provider: "email" });
      if (isPkce)
        await beginFlow(on, { provider: "email", method: "email/signup", userId: user.id, ...pkce });
      await sendActionMail(context, on, request, user, "signup", { pkce: isPkce });
      return;
    }
    await recordAudit(on, request, user, "user_signedup", { provider: "email" });
    await confirmUser(on, user, context.now());
    await recordAudit(on, request, user, "user_recovery_requested");
    if (isPkce) await beginFlow(on, { provider: "magiclink", method: "magiclink", userId: user.id, ...pkce });
    await sendActionMail(context, on, request, user, "magiclink", { pkce: isPkce });
  });
  return { body: {} };
}

/** POST /recover: a link to set a new password. */
export async function recover(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { database, settings, limits } = context;
  limits.request("recover", request.ip);
  if (settings.email.enabled === false)
    throw badRequest("email_provider_disabled", "Email logins are disabled");
  const body = request.body();
  const given = textOf(body, "email");
  if (!given) throw badRequest("validation_failed", "Password recovery requires an email");
  const email = readEmail(given);
  const pkce = readPkce(body);
  const isPkce = pkce.code_challenge !== "";
  const user = await findUserByEmail(database, email, AUDIENCE);
  if (!user) return { body: {} };
  await database.transaction(async (on) => {
    if (isPkce) await beginFlow(on, { provider: "recovery", method: "recovery", userId: user.id, ...pkce });
    await recordAudit(on, request, user, "user_recovery_requested");
    await sendActionMail(context, on, request, user, "recovery", { pkce: isPkce });
  });
  return { body: {} };
}

const TYPES = ["signup", "email_change", "sms", "phone_change"];

/** POST /resend: the last mail of a sign-up or a change of address again. */
export async function resend(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { database, settings, limits } = context;
  limits.request("resend", request.ip);
  const body = request.body();
  const type = textOf(body, "type") ?? "";
  const [given, phone] = [textOf(body, "email"), textOf(body, "phone")];
  if (!TYPES.includes(type))
    throw badRequest(
      "validation_failed",
      "Missing one of these types: signup, email_change, sms, phone_change",
    );
  const pkce = readPkce(body);
  const isPkce = pkce.code_challenge !== "";
  if (!given && type === "signup")
    throw badRequest("validation_failed", "Type provided requires an email address");
  if (!phone && type === "sms")
    throw badRequest("validation_failed", "Type provided requires a phone number");
  if (given && phone)
    throw badRequest("validation_failed", "Only an email address or phone number should be provided.");
  if (phone) throw badRequest("phone_provider_disabled", "Phone logins are disabled");
  if (!given) throw badRequest("validation_failed", "Missing email address or phone number");
  if (settings.email.enabled === false)
    throw badRequest("email_provider_disabled", "Email logins are disabled");
  const user = await findUserByEmail(database, readEmail(given), AUDIENCE);
  if (!user || (type === "signup" ? isConfirmed(user) : !user.email_change)) return { body: {} };
  await database.transaction(async (on) => {
    const method = type === "signup" ? "email/signup" : "email_change";
    if (isPkce) await beginFlow(on, { provider: method, method, userId: user.id, ...pkce });
    if (type === "signup") {
      await recordAudit(on, request, user, "user_confirmation_requested");
      await sendActionMail(context, on, request, user, "signup", { pkce: isPkce });
    } else await sendEmailChange(context, on, request, user, user.email_change ?? "", { pkce: isPkce });
  });
  return { body: {} };
}

/** GET /reauthenticate: a code that a change of password asks for. */
export async function reauthenticate(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { user } = signedIn(request);
  if (!user.email && !user.phone)
    throw badRequest(
      "validation_failed",
      "Reauthentication requires the user to have an email or a phone number",
    );
  if (!user.email) throw noPhones();
  if (!isConfirmed(user)) throw unprocessable("email_not_confirmed", "Please verify your email first.");
  await context.database.transaction(async (on) => {
    await recordAudit(on, request, user, "user_reauthenticate_requested");
    await sendActionMail(context, on, request, user, "reauthentication");
  });
  return { body: {} };
}
