// Rows that migrations bring: codes, defaults, models. A database that is mended gets those that it lacks.
import type { Queries } from "./catalogue.ts";

interface Connection extends Queries {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

/** A table that has rows as soon as the migrations ran. */
export interface TableRows {
  /** Schema-qualified and quoted. */
  table: string;
  /** Columns that can be written, quoted. */
  columns: string[];
  key: string[];
  rows: Record<string, unknown>[];
}

/** Tables whose rows belong to the code: an operator changes none of them, so the release's win. */
export const CODE_TABLES: readonly string[] = [
  "private.agent_fields",
  "private.verbs",
  "private.phase_transitions",
  "private.security_event_types",
  "private.plugins",
];

const TABLES = `
  select c.oid::regclass::text as table,
    (select array_agg(quote_ident(a.attname) order by a.attnum) from pg_attribute a
     where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns,
    coalesce((select array_agg(quote_ident(a.attname)) from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey)
     where i.indrelid = c.oid and i.indisprimary), '{}') as key
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and (n.nspname in ('public', 'private') or c.oid = to_regclass('storage.buckets'))
  order by c.oid`;

/** Reads the rows of a database that has had nothing but its migrations, in the order in which its tables were made. */
export async function broughtRows(reference: Connection): Promise<TableRows[]> {
  await reference.query("begin read only");
  try {
    await reference.query("set local search_path = ''");
    const tables = (await reference.query(TABLES)).rows as Omit<TableRows, "rows">[];
    const brought: TableRows[] = [];
    for (const table of tables) {
      const { rows } = await reference.query(`select to_jsonb(t) as row from ${table.table} t`);
      if (rows.length > 0)
        brought.push({ ...table, rows: rows.map((each) => (each as { row: Record<string, unknown> }).row) });
    }
    return brought;
  } finally {
    await reference.query("rollback");
  }
}

/**
 * Adds the rows that a database lacks. Rows that are there keep their values, except in columns that are new and in the
 * tables that belong to the code.
 * @param client in a transaction, with the wanted schema
 * @param added columns that the database had not before, as `schema.table.column`
 */
export async function bringRows(
  client: Connection,
  brought: readonly TableRows[],
  added: ReadonlySet<string>,
): Promise<void> {
  for (const { table, columns, key, rows } of brought) {
    const source = `jsonb_populate_recordset(null::${table}, $1)`;
    const values = [JSON.stringify(rows)];
    const others = columns.filter((column) => !key.includes(column));
    const filled = CODE_TABLES.includes(table)
      ? others
      : others.filter((column) => added.has(`${table}.${column}`));
    if (key.length > 0 && filled.length > 0) {
      const set = filled.map((column) => `${column} = r.${column}`).join(", ");
      const same = key.map((column) => `t.${column} = r.${column}`).join(" and ");
      const differs = filled.map((column) => `t.${column} is distinct from r.${column}`).join(" or ");
      await client.query(
        `update ${table} t set ${set} from ${source} r where ${same} and (${differs})`,
        values,
      );
    }
    const list = columns.join(", ");
    await client.query(
      `insert into ${table} (${list}) overriding system value select ${list} from ${source} on conflict do nothing`,
      values,
    );
  }
}
