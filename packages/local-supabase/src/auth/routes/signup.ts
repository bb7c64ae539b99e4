// POST /signup: with an address and a password, or anonymously.

import { recordAudit } from "../audit.ts";
import { AUDIENCE, type AuthContext } from "../context.ts";
import { isTakenEmail } from "../database.ts";
import { badRequest, internal, unprocessable } from "../errors.ts";
import { createIdentity } from "../identities/identities.ts";
import { readEmail, sendActionMail } from "../mail/send.ts";
import { beginFlow, checkPkce } from "../oauth/flow-states.ts";
import { confirmUser } from "../one-time-tokens.ts";
import { hashPassword, judgePassword } from "../passwords.ts";
import type { Queryable } from "../queryable.ts";
import { type Answer, type AuthRequest, objectOf, textOf } from "../request.ts";
import { issueSession } from "../sessions.ts";
import {
  draftUser,
  findUser,
  insertUser,
  isConfirmed,
  type Json,
  type NewUser,
  type UserRow,
  userJson,
  userOfDuplicateEmail,
} from "../users.ts";

/** POST /signup */
export async function signUp(context: AuthContext, request: AuthRequest): Promise<Answer> {
  const { settings, limits } = context;
  const body = request.body();
  const given = textOf(body, "email");
  const phone = textOf(body, "phone");
  if (!given && !phone) {
    if (!settings.enable_anonymous_sign_ins)
      throw unprocessable("anonymous_provider_disabled", "Anonymous sign-ins are disabled");
    limits.request("anonymous", request.ip);
    return await signUpAnonymously(context, request, body);
  }
  limits.request("signup", request.ip);
  if (!settings.enable_signup)
    throw unprocessable("signup_disabled", "Signups not allowed for this instance");
  const password = textOf(body, "password") ?? "";
  if (password === "") throw badRequest("validation_failed", "Signup requires a valid password");
  judgePassword(password, settings);
  if (given && phone)
    throw badRequest(
      "validation_failed",
      "Only an email address or phone number should be provided on signup.",
    );
  if (phone) throw badRequest("phone_provider_disabled", "Phone signups are disabled");
  const pkce = readPkce(body);
  if (settings.email.enabled === false || !settings.email.enable_signup)
    throw badRequest("email_provider_disabled", "Email signups are disabled");
  const email = readEmail(given);
  const data = objectOf(body, "data") ?? {};

  const known = await userOfDuplicateEmail(context.database, email, AUDIENCE);
  if (known && isConfirmed(known)) return await signUpAgain(context, request, known, data);
  const draft = known ?? (await newUser(context, request, { email, password, data }));
  const work = context.database.transaction(async (on) => {
    const user = known ?? (await createUser(on, draft, data));
    if (!settings.email.enable_confirmations) {
      await recordAudit(on, request, user, "user_signedup", { provider: "email" });
      await confirmUser(on, user, context.now());
      await recordAudit(on, request, user, "login", { provider: "email" });
      return { user, session: await issueSession(context, on, request, user, { method: "password" }) };
    }
    await recordAudit(on, request, user, "user_confirmation_requested", { provider: "email" });
    if (pkce.code_challenge !== "")
      await beginFlow(on, { provider: "email", method: "email/signup", userId: user.id, ...pkce });
    await sendActionMail(context, on, request, user, "signup", { pkce: pkce.code_challenge !== "" });
    return { user, session: undefined };
  });
  const result = await work.catch(async (error: unknown) => {
    // Two sign-ups at once: the second is answered as one that came later.
    const first = isTakenEmail(error) && (await userOfDuplicateEmail(context.database, email, AUDIENCE));
    if (first && isConfirmed(first)) return await signUpAgain(context, request, first, data);
    throw error;
  });
  if ("body" in result) return result;
  if (result.session) return { body: result.session };
  const shown = userJson(result.user);
  return { body: result.user.invited_at === null ? shown : { ...shown, user_metadata: {}, identities: [] } };
}

/** What an app sends to begin a PKCE flow; empty texts where it does not. */
export function readPkce(body: Json): { code_challenge: string; code_challenge_method: string } {
  const pkce = {
    code_challenge: textOf(body, "code_challenge") ?? "",
    code_challenge_method: textOf(body, "code_challenge_method") ?? "",
  };
  checkPkce(pkce);
  return pkce;
}

/** The draft of a user who signs up by mail; the hook before_user_created has seen it. */
export async function newUser(
  context: AuthContext,
  request: AuthRequest,
  { email, password, data }: { email: string; password?: string; data: Json },
): Promise<UserRow> {
  const made: NewUser = {
    aud: AUDIENCE,
    email,
    encryptedPassword: password === undefined ? "" : await hashPassword(password),
    appMetaData: { provider: "email", providers: ["email"] },
    userMetaData: data,
  };
  return await announced(context, request, draftUser(made, context.now()));
}

/** Shows a new user to the hook, which may refuse them. */
export async function announced(
  context: AuthContext,
  request: AuthRequest,
  draft: UserRow,
): Promise<UserRow> {
  await context.hooks.beforeUserCreated({ ipAddress: request.ip }, { user: userJson(draft) });
  return draft;
}

/** Writes a user with the identity of their address. */
export async function createBareUser(on: Queryable, draft: UserRow): Promise<UserRow> {
  const user = await insertUser(on, draft);
  await createIdentity(on, user.id, "email", {
    sub: user.id,
    email: user.email ?? "",
    email_verified: false,
    phone_verified: false,
  });
  return (await findUser(on, user.id)) ?? user;
}

/** Writes a user who signs up, with the identity of their address; what it says becomes user_metadata. */
export async function createUser(on: Queryable, draft: UserRow, data: Json): Promise<UserRow> {
  const user = await insertUser(on, draft);
  const identity = await createIdentity(on, user.id, "email", {
    ...data,
    sub: user.id,
    email: user.email ?? "",
    email_verified: false,
    phone_verified: false,
  });
  await on.query("update auth.users set raw_user_meta_data = $2 where id = $1", [
    user.id,
    { ...user.raw_user_meta_data, ...identity.identity_data },
  ]);
  return (await findUser(on, user.id)) ?? user;
}

/** An address that has an account: said where addresses are not confirmed, else answered as if it had none. */
async function signUpAgain(
  context: AuthContext,
  request: AuthRequest,
  user: UserRow,
  data: Json,
): Promise<Answer & { body: Json }> {
  await recordAudit(context.database, request, user, "user_repeated_signup", { provider: "email" });
  if (!context.settings.email.enable_confirmations)
    throw unprocessable("user_already_exists", "User already registered");
  const now = context.now();
  const decoy = draftUser(
    {
      aud: AUDIENCE,
      role: "",
      email: user.email ?? "",
      appMetaData: { provider: "email", providers: ["email"] },
      userMetaData: data,
    },
    now,
  );
  return { body: userJson({ ...decoy, confirmation_sent_at: now }) };
}

async function signUpAnonymously(context: AuthContext, request: AuthRequest, body: Json): Promise<Answer> {
  if (!context.settings.enable_signup)
    throw unprocessable("signup_disabled", "Signups not allowed for this instance");
  const made: NewUser = { aud: AUDIENCE, userMetaData: objectOf(body, "data") ?? {}, isAnonymous: true };
  const draft = await announced(context, request, draftUser(made, context.now()));
  const session = await context.database
    .transaction(async (on) => {
      const user = await insertUser(on, draft);
      return await issueSession(context, on, request, user, { method: "anonymous" });
    })
    .catch((error: unknown) => {
      throw internal("Database error creating anonymous user", error);
    });
  return { body: session };
}
