// Which migrations a database was made with: what the Supabase CLI notes of each is compared with the files.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A migration of the project. */
export interface LocalMigration {
  version: string;
  file: string;
  digest: string;
}

// The CLI splits a file into statements and leaves out what is between them.
const BETWEEN = /[ \n\r\t;]/g;

/** The digest of what a database notes of a migration, as SQL: the same as digestOf of its file. */
export const NOTED_DIGEST = "md5(translate(array_to_string(statements, ''), E' \\n\\r\\t;', ''))";

/** @param text a migration */
export function digestOf(text: string): string {
  return createHash("md5").update(text.replace(BETWEEN, "")).digest("hex");
}

/** The migrations of a project's supabase/migrations, in order. */
export function localMigrations(projectFolder: string): LocalMigration[] {
  const folder = join(projectFolder, "supabase", "migrations");
  return readdirSync(folder)
    .sort()
    .flatMap((file) => {
      const version = /^(\d+)_.*\.sql$/.exec(file)?.[1];
      return version === undefined
        ? []
        : [{ version, file, digest: digestOf(readFileSync(join(folder, file), "utf8")) }];
    });
}

/** How a database's migrations differ from the project's. */
export interface Applied {
  /** Files that were edited after the database had them. */
  edited: string[];
  /** Versions that the project does not know. */
  unknown: string[];
}

/**
 * Compares what a database notes with the project's files. Pure.
 * @param noted digests by version
 */
export function judgeApplied(local: readonly LocalMigration[], noted: ReadonlyMap<string, string>): Applied {
  return {
    edited: local
      .filter(({ version, digest }) => noted.has(version) && noted.get(version) !== digest)
      .map(({ file }) => file),
    unknown: [...noted.keys()].filter((version) => !local.some((each) => each.version === version)),
  };
}
