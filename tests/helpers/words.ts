// Looking for a word in a whole database: which columns hold it, and which columns of text there are to hold one.
import type pg from "pg";

/** What is asked; a pool as superuser sees every schema. */
type Queryable = Pick<pg.Pool, "query">;

const TABLES = `select c.oid, format('%I.%I', n.nspname, c.relname) as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and c.relpersistence <> 't'
    and (n.nspname not in ('pg_catalog', 'pg_toast', 'information_schema', 'supabase_migrations')
      or c.oid = 'pg_catalog.pg_largeobject'::regclass)`;

/** Every column, `schema.table.column`, whose type can hold a word. */
export async function columnsOfText(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(
    `select t.name || '.' || a.attname as name from (${TABLES}) t join pg_attribute a on a.attrelid = t.oid
     join pg_type y on y.oid = a.atttypid left join pg_type e on e.oid = y.typelem and y.typcategory = 'A'
     where a.attnum > 0 and not a.attisdropped
       and coalesce(e.typname, y.typname) in ('text', 'varchar', 'bpchar', 'json', 'jsonb', 'bytea', 'name', 'inet', 'xml')
     order by 1`,
  );
  return rows.map(({ name }) => name);
}

/**
 * Every column of every table, large objects included, that holds `word` in any row, as text or as bytes; upper and lower
 * case are the same.
 */
export async function columnsWith(db: Queryable, word: string): Promise<string[]> {
  const bytes = Buffer.from(word).toString("hex");
  const { rows: tables } = await db.query<{ name: string }>(TABLES);
  const found: string[] = [];
  for (const { name } of tables) {
    const { rows } = await db.query<{ row: Record<string, unknown> }>(
      `select to_jsonb(t) as row from ${name} t where t::text ilike '%' || $1 || '%' or t::text ilike '%' || $2 || '%'`,
      [word.replaceAll(/[\\%_]/g, "\\$&"), bytes],
    );
    const holds = (value: unknown) => {
      const text = JSON.stringify(value ?? null).toLowerCase();
      return text.includes(word.toLowerCase()) || text.includes(bytes);
    };
    for (const { row } of rows)
      for (const [column, value] of Object.entries(row)) if (holds(value)) found.push(`${name}.${column}`);
  }
  return [...new Set(found)].sort();
}
