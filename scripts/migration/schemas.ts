// supabase/schemas: the files that people edit, in the order of supabase/config.toml, and the first migration made of them.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

/** One file of supabase/schemas. */
export interface SchemaFile {
  name: string;
  text: string;
}

/** The migration that everything is in until the first release. */
export const FIRST_MIGRATION = "20261130000000_agent_launchpad.sql";

/** The names that supabase/config.toml lists under schema_paths, in its order. Pure. */
export function listedSchemas(config: string): string[] {
  const list = /^schema_paths = \[([^\]]*)\]/m.exec(config)?.[1] ?? "";
  return [...list.matchAll(/"\.\/schemas\/([^"]+)"/g)].map(([, name = ""]) => name);
}

/**
 * The checkout's schema files in order.
 * @throws {Error} when a file is not listed, is listed twice or is missing
 */
export function schemaFiles(folder: string): SchemaFile[] {
  const listed = listedSchemas(readFileSync(join(folder, "supabase/config.toml"), "utf8"));
  const path = join(folder, "supabase/schemas");
  const present = readdirSync(path).filter((name) => name.endsWith(".sql"));
  for (const name of present)
    if (listed.filter((each) => each === name).length !== 1)
      throw new Error(`List supabase/schemas/${name} once in schema_paths of supabase/config.toml.`);
  for (const name of listed)
    if (!existsSync(join(path, name)))
      throw new Error(
        `supabase/config.toml lists schemas/${name}, which is missing; restore it or remove the line.`,
      );
  return listed.map((name) => ({ name, text: readFileSync(join(path, name), "utf8") }));
}

/** The text of the first migration. Pure. */
export function firstMigration(files: readonly SchemaFile[]): string {
  const parts = files.map(({ name, text }) => `-- supabase/schemas/${basename(name)}\n\n${text.trim()}\n`);
  return `-- Written by \`npm run migration\` from supabase/schemas. Edit those files, never this one.\n\n${parts.join("\n")}`;
}

/**
 * What is wrong with the migrations of a checkout that has no release yet. Pure.
 * @param migrations name → text
 * @returns one sentence for each, with its cure
 */
export function unreleasedFaults(
  files: readonly SchemaFile[],
  migrations: Readonly<Record<string, string>>,
): string[] {
  const others = Object.keys(migrations).filter((name) => name !== FIRST_MIGRATION);
  return [
    ...(migrations[FIRST_MIGRATION] === firstMigration(files)
      ? []
      : [
          `supabase/migrations/${FIRST_MIGRATION} does not follow from supabase/schemas; run \`npm run migration\`.`,
        ]),
    ...others.map(
      (name) =>
        `There is no release yet: move supabase/migrations/${name} to supabase/schemas and list it in supabase/config.toml.`,
    ),
  ];
}
