// Starts Auth: its settings, connections and handler.

import { setTimeout as sleep } from "node:timers/promises";
import type { AuthSettings } from "../config/auth-settings.ts";
import { readConfig } from "../config/read-config.ts";
import type { FetchHandler } from "../gateway/in-process.ts";
import type { StackKeys } from "../keys.ts";
import type { Mailbox } from "../mailbox/mailbox.ts";
import type { AuthContext } from "./context.ts";
import { openAuthDatabase } from "./database.ts";
import { createHooks } from "./hooks/hooks.ts";
import { createRateLimits } from "./limits/rate-limits.ts";
import { loadMailTemplates } from "./mail/templates.ts";
import { unsupportedNames } from "./oauth/providers.ts";
import { createAuthHandler } from "./server.ts";
import { withoutTraces } from "./without-traces.ts";

export interface AuthOptions {
  /** The connection of Auth's role. */
  dbUrl: string;
  keys: Pick<StackKeys, "jwtSecret" | "signingKeys">;
  /** The folder that holds supabase/config.toml. */
  root: string;
  env: Readonly<Record<string, string | undefined>>;
  /** The gateway. */
  gatewayUrl: string;
  mailbox: Mailbox;
  /** Changes what config.toml says. */
  adjust?: (settings: AuthSettings) => AuthSettings;
  /** Answers that depend on whether an address has an account do not say so, and take as long. */
  hideAccounts?: boolean;
  log: (message: string) => void;
}

export interface AuthService {
  /** Serves /auth/v1. */
  handler: FetchHandler;
  stop(): Promise<void>;
}

/** Starts Auth inside this process. Its tables are there already: the bootstrap of the database makes them. */
export async function startAuth(options: AuthOptions): Promise<AuthService> {
  const config = await readConfig(options.root, options.env);
  const settings = options.adjust?.(config.auth) ?? config.auth;
  const { templates, warnings } = await loadMailTemplates(options.root, settings.email);
  const unsupported = unsupportedNames(settings.external).map(
    (name) => `supabase/config.toml: [auth.external.${name}] is enabled; this stack does not support it.`,
  );
  for (const warning of [...config.warnings, ...warnings, ...unsupported]) options.log(warning);
  const database = openAuthDatabase(options.dbUrl);
  const context: AuthContext = {
    database,
    settings,
    keys: options.keys,
    externalUrl: `${options.gatewayUrl}/auth/v1`,
    hooks: createHooks(settings.hook, database),
    limits: createRateLimits(settings.rate_limit, { mails: settings.email.smtp?.enabled ?? false }),
    templates,
    mailbox: options.mailbox,
    now: () => new Date(),
  };
  const handler = createAuthHandler(context);
  return {
    handler: options.hideAccounts ? withoutTraces(handler) : handler,
    // Closing waits for open queries; a stop does not wait for one that hangs.
    stop: async () => await Promise.race([database.close(), sleep(1000, undefined, { ref: false })]),
  };
}
