// A migration after a release: the difference of two databases, one of the migrations and one of supabase/schemas.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { startPostgres } from "../../packages/local-supabase/src/postgres/server.ts";
import { planSchema } from "../../packages/stack/src/upgrade/plan.ts";
import { onDatabase, withReference } from "../../packages/stack/src/upgrade/reference.ts";
import { broughtRows, CODE_TABLES, type TableRows } from "../../packages/stack/src/upgrade/rows.ts";
import { FIRST_MIGRATION, firstMigration, type SchemaFile } from "./schemas.ts";

/**
 * The text of the next migration, made on a database server of its own.
 * @param folder the checkout
 * @param files its schema files
 * @throws {Error} when there is no difference
 */
export async function nextMigration(folder: string, files: readonly SchemaFile[]): Promise<string> {
  const dataDir = mkdtempSync(join(tmpdir(), "launchpad-migration-"));
  const wanted = projectOf(folder, { [FIRST_MIGRATION]: firstMigration(files) });
  try {
    const postgres = await startPostgres({ dataDir, port: 0, durable: false });
    try {
      const server = {
        superuserUrl: onDatabase(postgres.superuserUrl, "template1"),
        url: (database: string) => postgres.url("postgres", database),
      };
      return await withReference(server, folder, (currentUrl) =>
        withReference(server, wanted, (wantedUrl) => migrationBetween(currentUrl, wantedUrl)),
      );
    } finally {
      await postgres.stop();
    }
  } finally {
    for (const each of [dataDir, wanted]) rmSync(each, { recursive: true, force: true });
  }
}

/** A project in a temporary folder with these migrations and the checkout's seed; the caller removes it. */
export function projectOf(folder: string, migrations: Readonly<Record<string, string>>): string {
  const project = mkdtempSync(join(tmpdir(), "launchpad-schemas-"));
  const path = join(project, "supabase/migrations");
  mkdirSync(path, { recursive: true });
  for (const [name, text] of Object.entries(migrations)) writeFileSync(join(path, name), text);
  cpSync(join(folder, "supabase/seed.sql"), join(project, "supabase/seed.sql"));
  writeFileSync(
    join(project, "supabase/config.toml"),
    'project_id = "schemas"\n[db]\nmajor_version = 17\n[db.seed]\nenabled = true\nsql_paths = ["./seed.sql"]\n',
  );
  return project;
}

/**
 * The statements that turn one database into another, as a migration.
 * @param currentUrl a database of the migrations, as `postgres`
 * @param wantedUrl a database of the schema files
 * @throws {Error} when there is no difference
 */
export async function migrationBetween(currentUrl: string, wantedUrl: string): Promise<string> {
  const [current, wanted] = [poolOf(currentUrl), poolOf(wantedUrl)];
  try {
    const { settings, statements } = await planSchema(current, wanted, async () => true);
    const rows = rowStatements(await rowsOf(current), await rowsOf(wanted));
    if (statements.length + rows.length === 0)
      throw new Error("The migrations make what supabase/schemas say; there is nothing to write.");
    return migrationText(settings, [...statements, ...rows]);
  } finally {
    await Promise.all([current.end(), wanted.end()]);
  }
}

function poolOf(connectionString: string): pg.Pool {
  return new pg.Pool({ connectionString, max: 3 });
}

async function rowsOf(pool: pg.Pool): Promise<TableRows[]> {
  const client = await pool.connect();
  try {
    return await broughtRows(client);
  } finally {
    client.release();
  }
}

/**
 * Statements for rows that the schema files bring and the migrations do not. Rows of tables that belong to the code change
 * too; those of others belong to operators as soon as they are there. Pure.
 */
export function rowStatements(present: readonly TableRows[], wanted: readonly TableRows[]): string[] {
  return wanted.flatMap(({ table, columns, key, rows }) => {
    const keyOf = (row: Row) => JSON.stringify(key.map((column) => row[bare(column)]));
    const there = present.find((each) => each.table === table)?.rows ?? [];
    const [keys, words] = [new Set(there.map(keyOf)), new Set(there.map(wordsOf))];
    const ofCode = CODE_TABLES.includes(table);
    const chosen = rows.filter((row) => !words.has(wordsOf(row)) && (ofCode || !keys.has(keyOf(row))));
    if (chosen.length === 0) return [];
    const list = columns.join(", ");
    const others = columns.filter((column) => !key.includes(column));
    const set = others.map((column) => `${column} = excluded.${column}`).join(", ");
    const conflict = ofCode && set !== "" ? `(${key.join(", ")}) do update set ${set}` : "do nothing";
    const source = pg.escapeLiteral(`[\n${chosen.map((row) => `  ${JSON.stringify(row)}`).join(",\n")}\n]`);
    return [
      `insert into ${table} (${list}) overriding system value`,
      `select ${list} from jsonb_populate_recordset(null::${table}, ${source})`,
      `on conflict ${conflict}`,
    ].join("\n");
  });
}

type Row = Record<string, unknown>;

const MADE = /^(?:\d{4}-\d\d-\d\dT|[0-9a-f]{8}-[0-9a-f]{4}-)/;

/** What a row says beside the times and identifiers that each database makes on its own. */
function wordsOf(row: Row): string {
  return JSON.stringify(Object.entries(row).filter(([, value]) => !MADE.test(String(value))));
}

const bare = (column: string) => (column.startsWith('"') ? column.slice(1, -1) : column);

/**
 * A migration waits neither long for a lock, behind which every request would wait too, nor for ever: it fails, and is run again.
 * What needs longer (an index over all log lines) says so in its own file.
 */
const WAITS = [
  { name: "lock_timeout", value: "10s" },
  { name: "statement_timeout", value: "5min" },
];

/** A migration's text, with a word where a person has to decide. Pure. */
export function migrationText(
  settings: readonly { name: string; value: string }[],
  statements: readonly string[],
): string {
  const set = [...WAITS, ...settings]
    .map(({ name, value }) => `set local ${name} = ${pg.escapeLiteral(value)};\n`)
    .join("");
  const parts = statements.map((sql) => `${advice(sql)}${sql.trim()};\n`);
  return `-- Written by \`npm run migration\`: what supabase/schemas say beyond the migrations before.\n\n${set}\n${parts.join("\n")}`;
}

function advice(sql: string): string {
  if (/^drop table |^alter table .* drop column /is.test(sql)) return "-- Data goes with this.\n";
  if (/^alter table .* add column .* not null$/is.test(sql) && !/ default /i.test(sql))
    return "-- Rows that are there need a value: add the column, fill it, then set it not null.\n";
  return "";
}
