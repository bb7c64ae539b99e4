// Databases of older checkouts: recognised by what they note of their migrations, refused with the differences named, and
// mended when asked.

import { StackError } from "@agent-launchpad/local-supabase/errors.ts";
import pg from "pg";
import { type Applied, judgeApplied, localMigrations, NOTED_DIGEST } from "./applied.ts";
import { type Difference, readCatalogue } from "./catalogue.ts";
import { ownDifferences } from "./history.ts";
import { type Mended, mendDatabase } from "./mend.ts";
import { type ReferenceServer, withReference } from "./reference.ts";

export interface UpgradeOptions {
  /** The database, as `postgres`. */
  url: string;
  /** The same as a superuser, where there is one. */
  superuserUrl?: string;
  projectFolder: string;
  /** Where the reference is made. */
  server: ReferenceServer;
}

/** How many differences a message names. */
const NAMED = 20;

/** Whether a database was made by other migrations than the project's; undefined: it was not, or has none yet. */
export async function outdated(url: string, projectFolder: string): Promise<Applied | undefined> {
  const applied = judgeApplied(localMigrations(projectFolder), await notedMigrations(url));
  return applied.edited.length + applied.unknown.length > 0 ? applied : undefined;
}

/**
 * Deals with a database of other migrations. With the same schema in spite of it (a comment was edited) it is taken as it
 * is, and so it is when `upgrade` says to mend it.
 * @param upgrade whether the schema may be changed
 * @returns what was mended
 * @throws {StackError} that names the differences and the cure, when the schema differs and may not be changed
 */
export async function dealWithOutdated(options: UpgradeOptions, upgrade: boolean): Promise<Mended> {
  return await withReference(options.server, options.projectFolder, async (referenceUrl) => {
    const found = await compare(options.url, referenceUrl);
    if (found.length > 0 && !upgrade) throw new StackError(refusal(found));
    const { url, superuserUrl } = options;
    return await mendDatabase({ url, referenceUrl, ...(superuserUrl === undefined ? {} : { superuserUrl }) });
  });
}

/** How a database differs from what this checkout's migrations make. */
export async function compareWithProject(options: UpgradeOptions): Promise<Difference[]> {
  return await withReference(options.server, options.projectFolder, (referenceUrl) =>
    compare(options.url, referenceUrl),
  );
}

async function compare(url: string, referenceUrl: string): Promise<Difference[]> {
  const wanted = await withClient(referenceUrl, readCatalogue);
  return await withClient(url, (client) => ownDifferences(client, wanted));
}

/** The words for a person. Pure. */
export function refusal(found: readonly Difference[]): string {
  const more = found.length > NAMED ? `\n  and ${found.length - NAMED} more` : "";
  const names = found.slice(0, NAMED).map(({ state, what }) => `  ${state}: ${what}`);
  return `This database was made by another version of Agent Launchpad; its schema has ${found.length} difference${found.length === 1 ? "" : "s"}:
${names.join("\n")}${more}
Run \`npm start -- --upgrade\` to change the schema and keep your data, or choose another --data-dir.`;
}

async function notedMigrations(url: string): Promise<Map<string, string>> {
  return await withClient(url, async (client) => {
    const { rows: there } = await client.query(
      "select to_regclass('supabase_migrations.schema_migrations') is not null as there",
    );
    if (!there[0]?.there) return new Map();
    const { rows } = await client.query<{ version: string; digest: string }>(
      `select version, ${NOTED_DIGEST} as digest from supabase_migrations.schema_migrations order by version`,
    );
    return new Map(rows.map(({ version, digest }) => [version, digest]));
  });
}

async function withClient<T>(connectionString: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
