// What every operation of Auth works with.

import type { AuthSettings } from "../config/auth-settings.ts";
import type { StackKeys } from "../keys.ts";
import type { Mailbox } from "../mailbox/mailbox.ts";
import type { AuthDatabase } from "./database.ts";
import type { Hooks } from "./hooks/hooks.ts";
import type { RateLimits } from "./limits/rate-limits.ts";
import type { MailTemplates } from "./mail/templates.ts";

export interface AuthContext {
  database: AuthDatabase;
  settings: AuthSettings;
  keys: Pick<StackKeys, "jwtSecret" | "signingKeys">;
  /** Where clients reach Auth, with `/auth/v1`: links in mails and the issuer of tokens. */
  externalUrl: string;
  hooks: Hooks;
  limits: RateLimits;
  templates: MailTemplates;
  mailbox: Mailbox;
  now(): Date;
}

/** The audience and the role of users, as hosted has them. */
export const AUDIENCE = "authenticated";
