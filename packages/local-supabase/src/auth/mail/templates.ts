// The mails that Auth sends: config.toml's templates, or words of ours.

import { readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import type { AuthSettings } from "../../config/auth-settings.ts";
import { codeOf, reasonOf } from "../../errors.ts";
import { parseTemplate, type Template, type TemplateData } from "./go-template.ts";

/** The kinds of mail, by their names in config.toml. */
export type MailKind = keyof typeof DEFAULTS;

/** One mail, ready to be sent. */
export interface RenderedMail {
  subject: string;
  html: string;
  text: string;
}

/** The templates of a project. */
export interface MailTemplates {
  /** One mail with this data (`ConfirmationURL`, `Token`, `Email` …, as Auth documents them). */
  render(kind: MailKind, data: TemplateData): RenderedMail;
}

const link = (label: string) => `<p><a href="{{ .ConfirmationURL }}">${label}</a></p>`;
const code = "<p>Or enter this code: <strong>{{ .Token }}</strong></p>";
const ignore = "<p>If this was not you, ignore this mail and nothing will change.</p>";
const notYou = "<p>If this was not you, change your password and contact support.</p>";

const DEFAULTS = {
  invite: [
    "You have an invitation",
    `<h2>You are invited</h2><p>Open the link to create your account.</p>${link("Accept")}`,
  ],
  confirmation: [
    "Confirm your address",
    `<h2>Confirm your address</h2><p>Open the link to complete your sign-up.</p>${link("Confirm")}${code}${ignore}`,
  ],
  recovery: [
    "Choose a new password",
    `<h2>Choose a new password</h2><p>Open the link to set a new password.</p>${link("Set a new password")}${code}${ignore}`,
  ],
  magic_link: [
    "Your link to sign in",
    `<h2>Sign in</h2><p>The link works once and for a short time.</p>${link("Sign in")}${code}${ignore}`,
  ],
  email_change: [
    "Confirm your new address",
    `<h2>Confirm the change of your address</h2><p>Your address will change from {{ .Email }} to {{ .NewEmail }}.</p>${link("Confirm")}${code}${ignore}`,
  ],
  reauthentication: [
    "{{ .Token }} is your code",
    "<h2>Confirm that it is you</h2><p>Enter this code: <strong>{{ .Token }}</strong></p>",
  ],
  password_changed_notification: [
    "Your password was changed",
    `<h2>Your password was changed</h2><p>The password of {{ .Email }} is a new one.</p>${notYou}`,
  ],
  email_changed_notification: [
    "Your address was changed",
    `<h2>Your address was changed</h2><p>It was {{ .OldEmail }} and is {{ .Email }} now.</p>${notYou}`,
  ],
  phone_changed_notification: [
    "Your phone number was changed",
    `<h2>Your phone number was changed</h2><p>It was {{ .OldPhone }} and is {{ .Phone }} now.</p>${notYou}`,
  ],
  identity_linked_notification: [
    "A way to sign in was added",
    `<h2>A way to sign in was added</h2><p>{{ .Email }} can sign in with {{ .Provider }} now.</p>${notYou}`,
  ],
  identity_unlinked_notification: [
    "A way to sign in was removed",
    `<h2>A way to sign in was removed</h2><p>{{ .Email }} cannot sign in with {{ .Provider }} any more.</p>${notYou}`,
  ],
  mfa_factor_enrolled_notification: [
    "A second factor was added",
    `<h2>A second factor was added</h2><p>Your account has a factor of type {{ .FactorType }} now.</p>${notYou}`,
  ],
  mfa_factor_unenrolled_notification: [
    "A second factor was removed",
    `<h2>A second factor was removed</h2><p>A factor of type {{ .FactorType }} was removed from your account.</p>${notYou}`,
  ],
} as const;

/**
 * Reads a project's templates.
 * @param root the project's folder; `content_path` is below it, or below its folder supabase
 * @param email [auth.email] of config.toml
 * @returns the templates, and a sentence for each that cannot be used: the mail then has our words, as on hosted
 */
export async function loadMailTemplates(
  root: string,
  email: Pick<AuthSettings["email"], "template" | "notification">,
): Promise<{ templates: MailTemplates; warnings: string[] }> {
  const warnings: string[] = [];
  const read = new Map<string, { subject: Template; body: Template }>();
  for (const [kind, [subject, body]] of Object.entries(DEFAULTS)) {
    const notified = kind.replace(/_notification$/, "");
    const own = kind === notified ? lookUp(email.template, kind) : lookUp(email.notification, notified);
    const name = `auth.email.${kind === notified ? "template" : "notification"}.${notified}`;
    const usable = async (
      setting: string,
      form: "html" | "text",
      fallback: string,
      source: () => Promise<string>,
    ) => {
      try {
        return parseTemplate((await source()) || fallback, form);
      } catch (error) {
        const why =
          codeOf(error) === "ENOENT"
            ? "names a file that does not exist"
            : `cannot be used (${reasonOf(error)})`;
        warnings.push(`supabase/config.toml: ${name}.${setting} ${why}; the default is sent.`);
        return parseTemplate(fallback, form);
      }
    };
    read.set(kind, {
      subject: await usable("subject", "text", subject, async () => own?.subject ?? ""),
      body: await usable("content_path", "html", body, async () =>
        own?.content_path ? await contentOf(root, own.content_path) : "",
      ),
    });
  }
  return {
    warnings,
    templates: {
      render(kind, data) {
        const { subject, body } = read.get(kind)!;
        const html = body.render(data);
        // A line break in a subject would begin another header of the mail.
        return { subject: subject.render(data).replace(/\s+/g, " ").trim(), html, text: textOf(html) };
      },
    },
  };
}

interface Own {
  subject: string;
  content_path: string;
}

const lookUp = (of: Readonly<Record<string, Own | undefined>>, name: string): Own | undefined => of[name];

async function contentOf(root: string, path: string): Promise<string> {
  if (isAbsolute(path)) return await readFile(path, "utf8");
  try {
    return await readFile(join(root, path), "utf8");
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    return await readFile(join(root, "supabase", path), "utf8");
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  nbsp: " ",
  "#34": '"',
  "#39": "'",
};

/** The same mail for programs without HTML: links become their addresses. */
function textOf(html: string): string {
  return html
    .replace(/<(style|script|head)\b[\s\S]*?<\/\1>/gi, "")
    .replace(/<a\b[^>]*\bhref="([^"]*)"[^>]*>([\s\S]*?)<\/a>/gi, "$2: $1")
    .replace(/<br\s*\/?>|<\/(?:p|h\d|div|li|tr)>/gi, "\n")
    .replace(/<[^>]*>/g, "")
    .replace(/&([a-z]+|#\d+);/g, (whole, name: string) => ENTITIES[name] ?? whole)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join("\n");
}
