// Finds the migrations that a project should have.

import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CliError } from "../errors.ts";
import { counted } from "../output/figures.ts";
import { type Finding, finding } from "./check.ts";

export interface Migration {
  version: string;
  name: string;
}

/** The migration that every release has. */
const OURS = "agent_launchpad";
const FILE = /^(\d{14})_(.+)\.sql$/;

/**
 * The migrations that a project should have: of a folder that is named, of the clone around the working directory or
 * of this program, else those that it was built with.
 * @throws CliError when the named folder has none
 */
export async function knownMigrations(folder: string | undefined, from: string): Promise<Migration[]> {
  if (folder !== undefined) {
    const named = await inFolder(folder);
    if (named.length > 0) return named;
    throw new CliError("usage", `${folder} has no migrations; give the folder supabase/migrations.`, {
      code: "NO_MIGRATIONS",
    });
  }
  for (let at = from; ; at = dirname(at)) {
    const found = await inFolder(join(at, "supabase/migrations"));
    if (found.some(({ name }) => name === OURS)) return found; // another project's folder is not meant
    if (dirname(at) === at) break;
  }
  const builtIn = await readFile(new URL("./migrations.json", import.meta.url), "utf8").catch(
    () => undefined,
  );
  if (builtIn !== undefined) return JSON.parse(builtIn) as Migration[];
  return await inFolder(fileURLToPath(new URL("../../../../supabase/migrations", import.meta.url)));
}

async function inFolder(folder: string): Promise<Migration[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .sort()
    .map((name) => FILE.exec(name))
    .filter((match) => match !== null)
    .map(([, version = "", name = ""]) => ({ version, name }));
}

/** Compares what a database has with what it should have. Pure. */
export function judgeMigrations(known: readonly Migration[], applied: readonly string[]): Finding {
  const check = "migrations";
  if (known.length === 0) return finding(check, "skipped", "Give --migrations <folder> to compare with.");
  if (applied.length === 0)
    return finding(check, "problem", "The database has no migrations; run `supabase db push`.");
  const missing = known.filter(({ version }) => !applied.includes(version));
  const [oldest, newest] = [known.at(0), known.at(-1)];
  const unreleased = applied.filter((version) => oldest !== undefined && version < oldest.version);
  if (missing.length > 0 && unreleased.length > 0)
    return finding(
      check,
      "problem",
      `The database was made before the first release (${unreleased[0]} …); in a checkout run \`npm run upgrade -- --db-url …\`.`,
    );
  if (missing.length > 0) {
    const names = missing.slice(0, 3).map(({ version, name }) => `${version}_${name}`);
    const more = missing.length > 3 ? ` and ${missing.length - 3} more` : "";
    return finding(
      check,
      "problem",
      `${missing.length} of ${known.length} are missing (${names.join(", ")}${more}); run \`supabase db push\`.`,
    );
  }
  const later = applied.filter((version) => !known.some((each) => each.version === version));
  if (later.length > 0)
    return finding(
      check,
      "warning",
      `The database has ${counted(later.length, "migration")} that this copy does not know (${later[0]} …); update this copy.`,
    );
  return finding(
    check,
    "ok",
    `${counted(known.length, "migration")}, up to ${newest?.version}_${newest?.name}, all applied.`,
  );
}
