// POST /invite and /admin/generate_link: links that an administrator sends, or has sent.

import { recordAudit } from "../audit.ts";
import { AUDIENCE, type AuthContext } from "../context.ts";
import { badRequest, notFound, unprocessable } from "../errors.ts";
import { linkOf, readEmail, redirectOf, sendActionMail } from "../mail/send.ts";
import { hashOf, keepToken, newCode, type OneTimeTokenKind } from "../one-time-tokens.ts";
import { judgePassword, randomPassword } from "../passwords.ts";
import type { Queryable } from "../queryable.ts";
import { type Answer, type AuthRequest, objectOf, textOf } from "../request.ts";
import {
  findUser,
  findUserByEmail,
  isConfirmed,
  type Json,
  mergedMetaData,
  type UserColumns,
  type UserRow,
  updateUser,
  userJson,
  userOfDuplicateEmail,
} from "../users.ts";
import { adminOf } from "./admin-users.ts";
import { createBareUser, newUser } from "./signup.ts";

const REGISTERED = () =>
  unprocessable("email_exists", "A user with this email address has already been registered");

/** POST /invite */
export async function invite(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const body = request.body();
  const email = readEmail(textOf(body, "email"));
  const data = objectOf(body, "data") ?? {};
  const known = await findUserByEmail(context.database, email, AUDIENCE);
  if (known && isConfirmed(known)) throw REGISTERED();
  const draft = known ?? (await newUser(context, request, { email, data }));
  const user = await context.database.transaction(async (on) => {
    const invited = known ?? (await createBareUser(on, draft));
    await recordAudit(on, request, adminOf(request), "user_invited", {
      user_id: invited.id,
      user_email: email,
    });
    await sendActionMail(context, on, request, invited, "invite");
    return (await findUser(on, invited.id)) ?? invited;
  });
  return { body: userJson(user) };
}

const TYPES = ["signup", "invite", "magiclink", "recovery", "email_change_current", "email_change_new"];

/** POST /admin/generate_link: a link that Auth does not send. */
export async function generateLink(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { database, settings } = context;
  const body = request.body();
  const email = readEmail(textOf(body, "email"));
  const data = objectOf(body, "data");
  let type = textOf(body, "type") ?? "";
  let password = textOf(body, "password") ?? "";
  const known = await findUserByEmail(database, email, AUDIENCE);
  if (!known && type === "magiclink") {
    type = "signup";
    password = randomPassword();
  }
  if (!TYPES.includes(type))
    throw badRequest("validation_failed", `Invalid email action link type requested: ${type}`);
  if (!known && type !== "signup" && type !== "invite")
    throw notFound("user_not_found", "User with this email not found");
  if (!known && type === "signup") {
    if (password === "") throw badRequest("validation_failed", "Signup requires a valid password");
    judgePassword(password, settings);
  }
  if (known && isConfirmed(known) && (type === "signup" || type === "invite")) throw REGISTERED();
  const draft =
    known ??
    (await newUser(context, request, {
      email,
      ...(type === "signup" ? { password } : {}),
      data: data ?? {},
    }));
  const code = newCode(settings.email.otp_length);
  const { user, token } = await database.transaction(async (on) => {
    const made = known ?? (await createBareUser(on, draft));
    const written = await writeToken(context, on, request, made, type, { code, body, data });
    return { user: (await findUser(on, made.id)) ?? made, token: written };
  });
  const redirectTo = redirectOf(context, request, textOf(body, "redirect_to"));
  const linkType = type.startsWith("email_change") ? "email_change" : type;
  return {
    body: {
      ...userJson(user),
      action_link: linkOf(context, token, linkType, redirectTo),
      email_otp: code,
      hashed_token: token,
      verification_type: type,
      redirect_to: redirectTo,
    },
  };
}

/** Keeps the link's token with the user. Returns it. */
async function writeToken(
  context: AuthContext,
  on: Queryable,
  request: AuthRequest,
  user: UserRow,
  type: string,
  { code, body, data }: { code: string; body: Json; data: Json | undefined },
): Promise<string> {
  const now = context.now();
  const email = user.email ?? "";
  const keep = async (
    kind: Exclude<OneTimeTokenKind, "phone_change_token">,
    address: string,
    changes: Partial<UserColumns>,
  ) => {
    const hash = hashOf(context.keys, address, code);
    await updateUser(on, user, { ...changes, [kind]: hash });
    await keepToken(on, user, kind, { hash, relatesTo: address });
    return hash;
  };
  switch (type) {
    case "magiclink":
    case "recovery":
      await recordAudit(on, request, user, "user_recovery_requested");
      return await keep("recovery_token", email, { recovery_sent_at: now });
    case "invite":
      await recordAudit(on, request, adminOf(request), "user_invited", {
        user_id: user.id,
        user_email: email,
      });
      return await keep("confirmation_token", email, { confirmation_sent_at: now, invited_at: now });
    case "signup":
      return await keep("confirmation_token", email, {
        confirmation_sent_at: now,
        ...(data ? { raw_user_meta_data: mergedMetaData(user.raw_user_meta_data, data) } : {}),
      });
    default: {
      if (!context.settings.email.double_confirm_changes && type === "email_change_current")
        throw badRequest(
          "validation_failed",
          "Enable secure email change to generate link for current email",
        );
      const address = readEmail(textOf(body, "new_email"));
      if (await userOfDuplicateEmail(on, address, AUDIENCE, user.id)) throw REGISTERED();
      const changes = { email_change: address, email_change_sent_at: now, email_change_confirm_status: 0 };
      return type === "email_change_current"
        ? await keep("email_change_token_current", email, changes)
        : await keep("email_change_token_new", address, changes);
    }
  }
}
