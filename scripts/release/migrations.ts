// The released migrations: their checksums stand beside them, and none of them changes or goes.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Beside the folder of migrations: the Supabase CLI warns of every file in it that is none. */
export const RELEASED_FILE = "supabase/released.json";

/** Checksums by file name. */
export type Checksums = Record<string, string>;

export interface Released {
  /** The last release; null before the first. */
  version: string | null;
  migrations: Checksums;
}

/** The list of what was released. */
export function released(folder: string): Released {
  const file = join(folder, RELEASED_FILE);
  if (!existsSync(file)) return { version: null, migrations: {} };
  return JSON.parse(readFileSync(file, "utf8")) as Released;
}

/** The file's text. Pure. */
export function releasedText(list: Released): string {
  return `${JSON.stringify(list, null, 2)}\n`;
}

/** The checkout's migrations, in the order in which they run. Line ends do not count: Git may change them. */
export function migrationsOf(folder: string): Checksums {
  const path = join(folder, "supabase/migrations");
  const files = readdirSync(path).filter((name) => name.endsWith(".sql"));
  return Object.fromEntries(
    files.sort().map((name) => [name, checksum(readFileSync(join(path, name), "utf8"))]),
  );
}

/** @param text a migration */
export function checksum(text: string): string {
  return createHash("sha256").update(text.replaceAll("\r\n", "\n")).digest("hex");
}

/**
 * What is wrong with the migrations of a checkout, given what was released. Pure.
 * @returns one sentence for each, with its cure
 */
export function violations({ version, migrations }: Released, present: Checksums): string[] {
  const last = Object.keys(migrations).sort().at(-1);
  const wrong = Object.entries(migrations).flatMap(([file, sum]) => {
    if (!(file in present))
      return [`${file} was released with ${version} or before and is missing; restore it.`];
    if (present[file] !== sum)
      return [
        `${file} was released with ${version} or before and has changed; restore it and write a new migration.`,
      ];
    return [];
  });
  const early = Object.keys(present).filter(
    (file) => last !== undefined && !(file in migrations) && file < last,
  );
  return [
    ...wrong,
    ...early.map((file) => `${file} would run before released ones; give it a version after ${last}.`),
  ];
}
