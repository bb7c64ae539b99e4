// Starts Auth inside this process.

import { setTimeout as sleep } from "node:timers/promises";
import type { Kysely } from "kysely";
import type { FetchHandler } from "../gateway/in-process.ts";
import { bearerOf } from "../gateway/well-formed.ts";
import type { Mailbox } from "../mailbox/mailbox.ts";
import { judgeToken } from "../tokens.ts";
import { withHostedForms } from "./compat.ts";
import { createConnection } from "./connection.ts";

export interface PlatformOptions {
  /** The connection of the role `supabase_lite`. */
  dbUrl: string;
  jwtSecret: string;
  /** The gateway: links in e-mails point there. */
  siteUrl: string;
  mailbox: Mailbox;
}

export interface Platform {
  /** Serves /auth/v1. */
  handler: FetchHandler;
  stop(): Promise<void>;
}

/**
 * Starts Auth (@supabase/lite) inside this process. Its tables are there already (the bootstrap of the
 * database makes them), and API keys are the gateway's matter. The library is loaded here, not at the
 * top: it takes 0.2 s, during which Postgres starts.
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  process.env.LITE_TELEMETRY = "0";
  const [{ App }, connection] = await Promise.all([
    import("@supabase/lite"),
    createConnection(options.dbUrl),
  ]);
  keepGrants(connection);
  const app = new App({
    connection,
    api: { external_url: options.siteUrl },
    auth: {
      enabled: true,
      jwt_secret: options.jwtSecret,
      site_url: options.siteUrl,
      minimum_password_length: 8, // as in supabase/config.toml
      additional_redirect_urls: ["http://localhost:*/**", "http://127.0.0.1:*/**"],
      email: { enable_signup: true, enable_confirmations: false },
    },
    storage: { enabled: false },
    db: { migrations: { enabled: false } },
    options: {
      server: { disableStudio: true, disableFallback: true, apiKeys: false },
      drivers: { email: options.mailbox },
    },
  });
  await app.init();
  return {
    handler: withHostedForms((request) => app.fetch(request), {
      hasPassword: (email) => hasPassword(connection.kysely, email),
      isBanned: (authorization) => isBanned(connection.kysely, authorization, options.jwtSecret),
    }),
    // Closing waits for open queries; a stop does not wait for one that hangs.
    stop: async () => await Promise.race([connection.close(), sleep(1000, undefined, { ref: false })]),
  };
}

/** By the same look-up that Auth makes, so that it costs the same. */
async function hasPassword(database: Kysely<unknown>, email: string): Promise<boolean> {
  const { sql } = await import("kysely");
  const { rows } = await sql`select from auth.users
    where email = ${email.toLowerCase()} and not is_sso_user and encrypted_password <> ''`.execute(database);
  return rows.length > 0;
}

/** A forged token is left to Auth, so that nobody learns who is banned. */
async function isBanned(
  database: Kysely<unknown>,
  authorization: string | null,
  jwtSecret: string,
): Promise<boolean> {
  const judged = judgeToken(bearerOf(authorization ?? undefined) ?? "", jwtSecret);
  if (!judged?.genuine || judged.claims.sub === undefined) return false;
  const { sql } = await import("kysely");
  const { rows } = await sql`select from auth.users
    where id::text = ${judged.claims.sub} and banned_until > now()`.execute(database);
  return rows.length > 0;
}

/**
 * Before its first query as an API role, lite grants the API roles everything in every schema that has row level
 * security. Here migrations decide who may do what: lite is told that this has been done.
 */
function keepGrants(connection: object): void {
  if (!("rlsState" in connection)) throw new Error("this version of @supabase/lite grants by other means");
  connection.rlsState = "active";
}
