// Brings a started server to the current schema.

import pg from "pg";
import { dealWithOutdated, outdated } from "../../../stack/src/upgrade/outdated.ts";
import { onDatabase } from "../../../stack/src/upgrade/reference.ts";
import { bootstrap, bootstrapKey, bootstrappedWith } from "./bootstrap.ts";
import { type Migrations, pushMigrations } from "./migrate.ts";
import { PROJECT_FOLDER } from "./paths.ts";
import type { Postgres } from "./server.ts";

export interface PreparedDatabase {
  migrations: Migrations;
  /** Milliseconds spent. */
  timings: { bootstrap: number; migrations: number };
}

export interface PrepareOptions {
  /** The folder that holds supabase/. Default: this repository. */
  projectFolder?: string;
  /** Whether supabase/seed.sql is run, once. Default true. */
  seed?: boolean;
  cacheFolder?: string;
  /** Whether a database of an older checkout is mended; default: it is refused, with its differences named. */
  upgrade?: boolean;
  /** What a person should see. */
  log?: (message: string) => void;
}

/**
 * Makes a started server ready for PostgREST, Auth, Storage and the workers, in this order: bootstrap (roles, schemas,
 * extensions), the tables of Auth and Storage, what hosted adds to them, `supabase db push`, seed. A new data folder has the
 * first three from its template; an old one gets them again when this version of the stack would do something else.
 */
export async function prepareDatabase(
  server: Postgres,
  options: PrepareOptions = {},
): Promise<PreparedDatabase> {
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
  const projectFolder = options.projectFolder ?? PROJECT_FOLDER;
  if ((await outdated(url, projectFolder)) !== undefined) {
    const { differences, kept } = await dealWithOutdated(
      {
        url,
        superuserUrl: server.superuserUrl,
        projectFolder,
        server: {
          superuserUrl: onDatabase(server.superuserUrl, "template1"),
          url: (database) => server.url("postgres", database),
        },
      },
      options.upgrade ?? false,
    );
    options.log?.(mendedText(differences.length, kept));
  }
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

/** What an upgrade did, for a person. Pure. */
export function mendedText(differences: number, kept: readonly string[]): string {
  const stays = kept.length === 0 ? "" : ` It keeps what no release has: ${kept.join(", ")}.`;
  return `The database was upgraded: ${differences} difference${differences === 1 ? "" : "s"} mended, your data is kept.${stays}`;
}
