// Sends Auth's mails: makes the code and the link, keeps its hash, and hands the mail to the mailbox or the hook.

import type { AuthContext } from "../context.ts";
import { type AuthError, badRequest, internal } from "../errors.ts";
import { checkFrequency } from "../limits/rate-limits.ts";
import { hashOf, keepToken, newCode, type OneTimeTokenKind, withFlow } from "../one-time-tokens.ts";
import type { Queryable } from "../queryable.ts";
import { mayRedirect } from "../redirects.ts";
import type { AuthRequest } from "../request.ts";
import { type UserColumns, type UserRow, updateUser, userJson } from "../users.ts";
import type { MailKind } from "./templates.ts";

/** What a mail does, in the words of its link. */
export type ActionType = "signup" | "invite" | "magiclink" | "recovery" | "email_change" | "reauthentication";

/** What an address is confirmed for: which columns keep the hash and the time. */
const COLUMNS = {
  signup: ["confirmation_token", "confirmation_sent_at"],
  invite: ["confirmation_token", "confirmation_sent_at"],
  magiclink: ["recovery_token", "recovery_sent_at"],
  recovery: ["recovery_token", "recovery_sent_at"],
  reauthentication: ["reauthentication_token", "reauthentication_sent_at"],
} as const satisfies Partial<Record<ActionType, [OneTimeTokenKind, keyof UserColumns]>>;

const TEMPLATES: Record<ActionType, MailKind> = {
  signup: "confirmation",
  invite: "invite",
  magiclink: "magic_link",
  recovery: "recovery",
  email_change: "email_change",
  reauthentication: "reauthentication",
};

/** Where a browser goes afterwards: `redirect_to` of the request or its Referer where they are allowed, else the site. */
export function redirectOf({ settings }: AuthContext, request: AuthRequest, asked?: string): string {
  const candidates = [
    asked,
    request.headers.get("redirect_to"),
    request.query.get("redirect_to"),
    request.headers.get("referer"),
  ];
  const allowed = candidates.find(
    (each) => each && mayRedirect(each, settings.site_url, settings.additional_redirect_urls),
  );
  return allowed ? asHeader(allowed) : settings.site_url;
}

/** An address in characters that a header may hold; as it was written where it has no others. */
const asHeader = (address: string): string =>
  /^[\x21-\x7e]+$/.test(address) ? address : new URL(address).href;

/** The link of a mail. */
export function linkOf(
  { externalUrl }: AuthContext,
  token: string,
  type: string,
  redirectTo: string,
): string {
  const to = /[&=#]/.test(redirectTo) ? encodeURIComponent(redirectTo) : redirectTo;
  return `${externalUrl}/verify?token=${encodeURIComponent(token)}&type=${encodeURIComponent(type)}&redirect_to=${to}`;
}

/** Sends one of the mails that confirm one address. */
export async function sendActionMail(
  context: AuthContext,
  on: Queryable,
  request: AuthRequest,
  user: UserRow,
  type: keyof typeof COLUMNS,
  { pkce = false }: { pkce?: boolean } = {},
): Promise<void> {
  const [column, sentColumn] = COLUMNS[type];
  const sentAt = user[sentColumn];
  if (type !== "invite" && sentAt instanceof Date)
    checkFrequency(sentAt, context.settings.email.max_frequency, context.now().getTime());
  const email = user.email ?? "";
  const code = newCode(context.settings.email.otp_length);
  const token = withFlow(hashOf(context.keys, email, code), pkce);
  const now = context.now();
  await deliver(context, on, request, user, type, [{ to: email, code, token }]);
  await updateUser(on, user, {
    [column]: token,
    [sentColumn]: now,
    ...(type === "invite" ? { invited_at: now } : {}),
  });
  await keepToken(on, user, column, { hash: token, relatesTo: email });
}

/** Asks the new address, and with double_confirm_changes the old one too, to confirm a change. */
export async function sendEmailChange(
  context: AuthContext,
  on: Queryable,
  request: AuthRequest,
  user: UserRow,
  email: string,
  { pkce = false }: { pkce?: boolean } = {},
): Promise<void> {
  const { settings } = context;
  checkFrequency(user.email_change_sent_at, settings.email.max_frequency, context.now().getTime());
  const fresh = newCode(settings.email.otp_length);
  const mails = [{ to: email, code: fresh, token: withFlow(hashOf(context.keys, email, fresh), pkce) }];
  if (settings.email.double_confirm_changes && user.email) {
    const code = newCode(settings.email.otp_length);
    mails.push({ to: user.email, code, token: withFlow(hashOf(context.keys, user.email, code), pkce) });
  }
  user.email_change = email;
  await deliver(context, on, request, user, "email_change", mails);
  await updateUser(on, user, {
    email_change: email,
    email_change_token_new: mails[0]!.token,
    email_change_token_current: mails[1]?.token ?? "",
    email_change_sent_at: context.now(),
    email_change_confirm_status: 0,
  });
  await keepToken(on, user, "email_change_token_new", { hash: mails[0]!.token, relatesTo: email });
  if (mails[1])
    await keepToken(on, user, "email_change_token_current", { hash: mails[1].token, relatesTo: mails[1].to });
}

async function deliver(
  context: AuthContext,
  on: Queryable,
  request: AuthRequest,
  user: UserRow,
  type: ActionType,
  mails: { to: string; code: string; token: string }[],
): Promise<void> {
  const { hooks, limits, settings, templates, mailbox } = context;
  const redirectTo = redirectOf(context, request);
  limits.email();
  if (hooks.enabled("send_email")) {
    const [first, second] = mails;
    await hooks.sendEmail(
      { ipAddress: request.ip, connection: on },
      {
        user: userJson(user),
        email_data: {
          token: second?.code ?? first!.code,
          token_hash: first!.token,
          redirect_to: redirectTo,
          email_action_type: type,
          site_url: context.externalUrl,
          token_new: second ? first!.code : "",
          token_hash_new: second?.token ?? "",
        },
      },
    );
    return;
  }
  for (const { to, code, token } of mails) {
    const mail = render(() =>
      templates.render(TEMPLATES[type], {
        SiteURL: settings.site_url,
        ConfirmationURL: type === "reauthentication" ? "" : linkOf(context, token, type, redirectTo),
        Email: user.email ?? "",
        NewEmail: user.email_change ?? "",
        SendingTo: to,
        Token: code,
        TokenHash: token,
        Data: user.raw_user_meta_data ?? {},
        RedirectTo: redirectTo,
      }),
    );
    await mailbox.send({ to, ...mail });
  }
}

function render<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw internal("Error sending email", error);
  }
}

/** The notices of [auth.email.notification]. */
export type Notice = keyof AuthContext["settings"]["email"]["notification"];

/** Tells a user that something of their account was changed, where config.toml wants that. Never fails the request. */
export async function notify(
  { settings, templates, mailbox }: AuthContext,
  notice: Notice,
  { to, data }: { to: string; data: Record<string, unknown> },
): Promise<void> {
  if (to === "" || !settings.email.notification[notice]?.enabled) return;
  try {
    await mailbox.send({
      to,
      ...templates.render(`${notice}_notification`, { ...data, Email: data.Email ?? to }),
    });
  } catch {
    // what was changed is changed
  }
}

/**
 * An address as Auth keeps it.
 * @throws AuthError `validation_failed`
 */
export function readEmail(email: string | undefined): string {
  if (!email) throw badRequest("validation_failed", "An email address is required");
  if (email.length > 255) throw badRequest("validation_failed", "An email address is too long");
  if (
    !/^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/.test(
      email,
    )
  )
    throw badRequest("validation_failed", "Unable to validate email address: invalid format");
  return email.toLowerCase();
}

/** No way of sending a text message is set up here. */
export const noPhones = (): AuthError => badRequest("phone_provider_disabled", "Unsupported phone provider");
