// Brings a started server to the current schema.

import pg from "pg";
import { bootstrap, bootstrapKey, bootstrappedWith } from "./bootstrap.ts";
import { type Migrations, pushMigrations } from "./migrate.ts";
import type { Postgres } from "./server.ts";

export interface PreparedDatabase {
  migrations: Migrations;
  /** Milliseconds spent. */
  timings: { bootstrap: number; migrations: number };
}

export interface PrepareOptions {
  /** The folder that holds supabase/. */
  projectFolder: string;
  /** Whether supabase/seed.sql is run, once. Default true. */
  seed?: boolean;
  cacheFolder?: string;
  /** Looks at the bootstrapped database before migrations are pushed. */
  beforeMigrations?: (server: Postgres, projectFolder: string) => Promise<void>;
}

/**
 * Makes a started server ready for PostgREST, Auth, Storage and the workers, in this order: bootstrap (roles, schemas,
 * extensions), the tables of Auth and Storage, what hosted adds to them, `supabase db push`, seed. A new data folder has the
 * first three from its template; an old one gets them again when this version of the stack would do something else.
 */
export async function prepareDatabase(server: Postgres, options: PrepareOptions): Promise<PreparedDatabase> {
  const started = performance.now();
  const key = bootstrapKey(server.distribution.key);
  const superuser = new pg.Client({ connectionString: server.superuserUrl });
  // A server that ends meanwhile rejects the query under way; unheard, the event would end the whole stack.
  superuser.on("error", () => undefined);
  await superuser.connect();
  try {
    if ((await bootstrappedWith(superuser)) !== key) await bootstrap(superuser, key);
  } finally {
    await superuser.end();
  }
  const bootstrapped = performance.now();
  const url = server.url("postgres");
  const { projectFolder } = options;
  await options.beforeMigrations?.(server, projectFolder);
  const migrations = await pushMigrations({
    url,
    projectFolder,
    seed: options.seed ?? true,
    ...(options.cacheFolder === undefined ? {} : { cacheFolder: options.cacheFolder }),
  });
  return {
    migrations,
    timings: { bootstrap: bootstrapped - started, migrations: performance.now() - bootstrapped },
  };
}
