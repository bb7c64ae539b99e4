// Reads facts about published tables from the catalogue.

import type pg from "pg";
import type { TypeFacts } from "./render.ts";

export interface ColumnFacts extends TypeFacts {
  name: string;
  /** pg_type.typname, as a change names it. */
  type: string;
  /** For a cast, qualified where needed. */
  sqlType: string;
  isKey: boolean;
  /** Which of the roles asked for may select it. */
  roles: string[];
}

/** A table as it is now. */
export interface TableFacts {
  oid: number;
  /** Qualified and quoted. */
  name: string;
  rls: boolean;
  columns: ColumnFacts[];
}

// Read again for every batch of changes: a revoked privilege counts at once.
const TABLES = `
  select c.oid as oid, format('%I.%I', n.nspname, c.relname) as name, c.relrowsecurity as rls,
    json_agg(json_build_object(
      'name', a.attname, 'type', t.typname, 'sqlType', format_type(a.atttypid, null), 'oid', t.oid::int8, 'kind', t.typtype,
      'element', case when t.typcategory = 'A' then t.typelem::int8 else 0 end, 'elementKind', coalesce(e.typtype, ''),
      'isKey', a.attnum = any (coalesce(k.conkey, '{}')),
      'roles', (select coalesce(json_agg(r.rolname), '[]') from pg_roles r
                where r.rolname = any ($2) and has_column_privilege(r.oid, c.oid, a.attnum, 'select'))
    ) order by a.attnum) as columns
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid
  left join pg_type e on e.oid = t.typelem
  left join pg_constraint k on k.conrelid = c.oid and k.contype = 'p'
  where c.oid = any ($1::oid[])
  group by c.oid, n.nspname, c.relname, c.relrowsecurity`;

/** Describes tables by oid for these roles. */
export async function describeTables(
  pool: pg.Pool,
  oids: number[],
  roles: string[],
): Promise<Map<number, TableFacts>> {
  const { rows } = await pool.query<TableFacts>({
    name: "realtime_tables",
    text: TABLES,
    values: [oids, roles],
  });
  return new Map(rows.map((table) => [table.oid, table]));
}

/** The published tables that a subscription names; `*` stands for all. */
export async function publishedTables(
  pool: pg.Pool,
  publication: string,
  schema: string,
  table: string,
): Promise<number[]> {
  const { rows } = await pool.query<{ oid: number }>({
    name: "realtime_published",
    text: `select c.oid from pg_publication_tables p
           join pg_namespace n on n.nspname = p.schemaname join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
           where p.pubname = $1 and ($2 = '*' or p.schemaname = $2) and ($3 = '*' or p.tablename = $3)`,
    values: [publication, schema, table],
  });
  return rows.map(({ oid }) => oid);
}

/** Roles that no row-level policy holds back. */
export async function bypassingRoles(pool: pg.Pool, roles: string[]): Promise<Set<string>> {
  const { rows } = await pool.query<{ rolname: string }>({
    name: "realtime_bypass",
    text: "select rolname from pg_roles where rolname = any ($1) and (rolbypassrls or rolsuper)",
    values: [roles],
  });
  return new Set(rows.map(({ rolname }) => rolname));
}
