// The reference: a database beside the project's own on the same server, with nothing but the migrations of this checkout.
import { randomBytes } from "node:crypto";
import { bootstrap } from "@agent-launchpad/local-supabase/postgres/bootstrap.ts";
import { pushMigrations } from "@agent-launchpad/local-supabase/postgres/migrate.ts";
import pg from "pg";

/** A server that databases can be made on. */
export interface ReferenceServer {
  /** As a superuser, on any database. */
  superuserUrl: string;
  /** As `postgres`, on a database. */
  url(database: string): string;
}

/**
 * Makes the reference, gives it to `use` and drops it. Takes 2 to 4 s.
 * @param projectFolder the folder that holds supabase/
 */
export async function withReference<T>(
  server: ReferenceServer,
  projectFolder: string,
  use: (url: string) => Promise<T>,
): Promise<T> {
  const name = `launchpad_reference_${randomBytes(6).toString("hex")}`;
  await query(server.superuserUrl, `create database ${name} template template0 owner postgres`);
  try {
    const superuser = await connected(onDatabase(server.superuserUrl, name));
    try {
      await bootstrap(superuser, "reference");
    } finally {
      await superuser.end();
    }
    await pushMigrations({ url: server.url(name), projectFolder, seed: true });
    return await use(server.url(name));
  } finally {
    await query(server.superuserUrl, `drop database if exists ${name} with (force)`);
  }
}

/** The same URL on another database. */
export function onDatabase(url: string, database: string): string {
  const other = new URL(url);
  other.pathname = `/${database}`;
  return other.toString();
}

async function query(url: string, sql: string): Promise<void> {
  const client = await connected(url);
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

async function connected(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  // A server that ends meanwhile rejects the query under way; unheard, the event would end the whole stack.
  client.on("error", () => undefined);
  await client.connect();
  return client;
}
