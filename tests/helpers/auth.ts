// Auth in this process, on a test's database, asked through supabase-js.

import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { openAuthDatabase } from "../../packages/local-supabase/src/auth/database.ts";
import { createHooks } from "../../packages/local-supabase/src/auth/hooks/hooks.ts";
import { createRateLimits } from "../../packages/local-supabase/src/auth/limits/rate-limits.ts";
import { loadMailTemplates } from "../../packages/local-supabase/src/auth/mail/templates.ts";
import { createAuthHandler } from "../../packages/local-supabase/src/auth/server.ts";
import { parseConfig } from "../../packages/local-supabase/src/config/read-config.ts";
import { generateKeys } from "../../packages/local-supabase/src/keys.ts";
import { createMailbox, type Mailbox } from "../../packages/local-supabase/src/mailbox/mailbox.ts";
import { mintRoleToken } from "../../packages/local-supabase/src/tokens.ts";
import type { TestDatabase } from "./database.ts";

export const AUTH_URL = "http://127.0.0.1:54321";

export interface TestAuth {
  keys: ReturnType<typeof generateKeys>;
  mailbox: Mailbox;
  /** A client that is not signed in; with `address`, one that asks from there. */
  client(options?: { flowType?: "pkce" | "implicit"; address?: string }): SupabaseClient;
  /** A client with the rights of the secret key. */
  admin: SupabaseClient;
  /** Asks as a browser that follows no redirect. */
  ask(url: string | URL, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

/**
 * Starts Auth with a text of config.toml.
 * @param now the clock
 */
export async function startTestAuth(
  database: TestDatabase,
  toml: string,
  now: () => Date = () => new Date(),
): Promise<TestAuth> {
  const { auth: settings } = parseConfig(toml);
  const keys = generateKeys();
  const mailbox = createMailbox();
  const connections = openAuthDatabase(database.url("supabase_admin"));
  const { templates } = await loadMailTemplates("/nowhere", settings.email);
  const handler = createAuthHandler({
    database: connections,
    settings,
    keys,
    externalUrl: `${AUTH_URL}/auth/v1`,
    hooks: createHooks(settings.hook, connections),
    limits: createRateLimits(settings.rate_limit, { mails: true, now: () => now().getTime() }),
    templates,
    mailbox,
    now,
  });
  const ask = async (url: string | URL, init: RequestInit = {}) => await handler(new Request(url, init));
  const make = (token: string, flowType: "pkce" | "implicit" = "implicit", address?: string) =>
    createClient(AUTH_URL, token, {
      auth: { flowType, autoRefreshToken: false, persistSession: flowType === "pkce", storage: memory() },
      global: {
        fetch: async (input, init) => {
          const request = new Request(input, init);
          if (address !== undefined) request.headers.set("x-forwarded-for", address);
          return await handler(request);
        },
      },
    });
  const anon = mintRoleToken("anon", keys.jwtSecret, Date.now(), 3600);
  return {
    keys,
    mailbox,
    client: ({ flowType, address } = {}) => make(anon, flowType, address),
    admin: make(mintRoleToken("service_role", keys.jwtSecret, Date.now(), 3600)),
    ask,
    close: () => connections.close(),
  };
}

/** What a browser keeps. */
function memory() {
  const kept = new Map<string, string>();
  return {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  };
}
