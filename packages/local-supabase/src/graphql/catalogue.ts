// Reads from the database what a role can see, for the GraphQL schema.

import type { ClientBase } from "pg";
import { directive, fieldName, isName, lowerFirst, toOneName, typeName } from "./names.ts";
import { type ScalarName, scalarOf } from "./scalars.ts";

/** A column as one role may use it. */
export interface Column {
  name: string;
  field: string;
  description: string | undefined;
  scalar: ScalarName;
  list: boolean;
  notNull: boolean;
  /** The type that a value is cast to. */
  sqlType: string;
  select: boolean;
  insert: boolean;
  update: boolean;
}

/** A way from one table to another by a foreign key. */
export interface Relation {
  field: string;
  /** One row, or a collection. */
  one: boolean;
  table: Table;
  /** Pairs of columns: of the table that has the field, and of the other one. */
  columns: [own: string, other: string][];
  notNull: boolean;
}

export interface Table {
  schema: string;
  name: string;
  type: string;
  description: string | undefined;
  columns: Column[];
  primaryKey: Column[];
  relations: Relation[];
  insertable: boolean;
  updatable: boolean;
  deletable: boolean;
  totalCount: boolean;
  maxRows: number;
}

/** What a role sees of the database. */
export interface Catalogue {
  tables: Table[];
  introspection: boolean;
  /** Settings that PostgREST, too, applies to each request of the role. */
  settings: [name: string, value: string][];
  /** The function that PostgREST calls before each request, as it is named in its setting. */
  preRequest: string | undefined;
  /** Where PostgREST looks for operators: a project may put its own before those of pg_catalog. */
  searchPath: string | undefined;
}

interface Rows {
  comment: string | null;
  settings: string[] | null;
  pre_request: string | null;
  search_path: string | null;
  tables: RawTable[] | null;
  keys: RawKey[] | null;
}
interface RawTable {
  oid: number;
  name: string;
  comment: string | null;
  rls: boolean;
  deletable: boolean;
  primary_key: string[];
  unique_keys: string[][];
  columns: RawColumn[];
}
interface RawColumn {
  name: string;
  comment: string | null;
  type: string;
  element: string | null;
  not_null: boolean;
  generated: boolean;
  select: boolean;
  insert: boolean;
  update: boolean;
}
interface RawKey {
  comment: string | null;
  local: number;
  foreign: number;
  local_columns: string[];
  foreign_columns: string[];
}

// Tables of `public` with a primary key, of which the role may read a column; and the foreign keys between them.
const CATALOGUE = `
with seen as (
  select c.oid, c.relname, c.relrowsecurity, i.indkey as key
  from pg_class c join pg_index i on i.indrelid = c.oid and i.indisprimary
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and has_any_column_privilege($1, c.oid, 'SELECT')
)
select obj_description('public'::regnamespace, 'pg_namespace') as comment,
  (select r.rolconfig from pg_roles r where r.rolname = $1) as settings,
  nullif(current_setting('pgrst.db_pre_request', true), '') as pre_request,
  nullif(current_setting('pgrst.db_extra_search_path', true), '') as search_path,
  (select json_agg(json_build_object('oid', s.oid::int8, 'name', s.relname, 'comment', obj_description(s.oid, 'pg_class'),
    'rls', s.relrowsecurity, 'deletable', has_table_privilege($1, s.oid, 'DELETE'),
    'primary_key', (select json_agg(a.attname order by k.n) from unnest(s.key::int2[]) with ordinality k (num, n)
      join pg_attribute a on a.attrelid = s.oid and a.attnum = k.num),
    'unique_keys', (select json_agg((select json_agg(a.attname) from unnest(i.indkey::int2[]) k join pg_attribute a on a.attrelid = s.oid and a.attnum = k))
      from pg_index i where i.indrelid = s.oid and i.indisunique and i.indpred is null and 0 <> all (i.indkey::int2[])),
    'columns', (select json_agg(json_build_object('name', a.attname, 'comment', col_description(s.oid, a.attnum),
        'type', format_type(a.atttypid, null), 'element', case when t.typcategory = 'A' then format_type(t.typelem, null) end,
        'not_null', a.attnotnull, 'generated', a.attgenerated <> '' or pg_get_serial_sequence(s.oid::regclass::text, a.attname) is not null,
        'select', has_column_privilege($1, s.oid, a.attnum, 'SELECT'), 'insert', has_column_privilege($1, s.oid, a.attnum, 'INSERT'),
        'update', has_column_privilege($1, s.oid, a.attnum, 'UPDATE')) order by a.attnum)
      from pg_attribute a join pg_type t on t.oid = a.atttypid
      where a.attrelid = s.oid and a.attnum > 0 and not a.attisdropped and t.typtype in ('b', 'e', 'd'))) order by s.relname)
    from seen s) as tables,
  (select json_agg(json_build_object('comment', obj_description(f.oid, 'pg_constraint'), 'local', f.conrelid::int8,
      'foreign', f.confrelid::int8,
      'local_columns', (select json_agg(a.attname order by k.n) from unnest(f.conkey) with ordinality k (num, n)
        join pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.num),
      'foreign_columns', (select json_agg(a.attname order by k.n) from unnest(f.confkey) with ordinality k (num, n)
        join pg_attribute a on a.attrelid = f.confrelid and a.attnum = k.num)) order by f.conname)
    from pg_constraint f where f.contype = 'f' and f.conrelid in (select oid from seen) and f.confrelid in (select oid from seen)) as keys
`;

/** Reads what `role` may do from the catalogue. Returns the text that tells whether anything changed, beside it. */
export async function readCatalogue(
  client: ClientBase,
  role: string,
): Promise<{ text: string; catalogue: () => Catalogue }> {
  const { rows } = await client.query<Rows>(CATALOGUE, [role]);
  const row = rows[0]!;
  return { text: JSON.stringify(row), catalogue: () => catalogueOf(row) };
}

/** The catalogue in GraphQL's terms. Pure. What GraphQL cannot name is left out; of two fields of one name, the first is kept. */
export function catalogueOf({ comment, settings, pre_request, search_path, tables, keys }: Rows): Catalogue {
  const schema = directive(comment);
  const inflect = schema.inflect_names === true;
  const byOid = new Map<number, { raw: RawTable; table: Table }>();
  for (const raw of tables ?? []) {
    const table = tableOf(raw, inflect, numberOr(schema.max_rows, 30));
    const readable = table.primaryKey.length > 0 && table.primaryKey.every(({ select }) => select);
    const known = [...byOid.values()].some((other) => other.table.type === table.type);
    if (isName(table.type) && readable && !known) byOid.set(raw.oid, { raw, table });
  }
  for (const key of keys ?? []) relate(byOid, key, inflect);
  return {
    tables: [...byOid.values()].map(({ table }) => table),
    introspection: schema.introspection === true,
    settings: (settings ?? []).map((setting) => {
      const at = setting.indexOf("=");
      return [setting.slice(0, at), setting.slice(at + 1)];
    }),
    preRequest: pre_request ?? undefined,
    searchPath: search_path ?? undefined,
  };
}

function tableOf(raw: RawTable, inflect: boolean, maxRows: number): Table {
  const set = directive(raw.comment);
  const columns: Column[] = [];
  for (const column of raw.columns) {
    const { name: given, description } = directive(column.comment);
    const field = typeof given === "string" ? given : fieldName(column.name, inflect);
    if (!isName(field) || field === "nodeId" || columns.some((other) => other.field === field)) continue;
    columns.push({
      name: column.name,
      field,
      description: textOr(description),
      scalar: scalarOf(column.element ?? column.type),
      list: column.element !== null,
      notNull: column.not_null,
      sqlType: column.type,
      select: column.select,
      insert: column.insert && !column.generated,
      update: column.update && !column.generated,
    });
  }
  const primaryKey = raw.primary_key.flatMap((name) => columns.find((column) => column.name === name) ?? []);
  const { totalCount } = set;
  return {
    schema: "public",
    name: raw.name,
    type: typeof set.name === "string" ? set.name : typeName(raw.name, inflect),
    description: textOr(set.description),
    columns,
    primaryKey: primaryKey.length === raw.primary_key.length ? primaryKey : [],
    relations: [],
    insertable: columns.some(({ insert }) => insert),
    updatable: columns.some(({ update }) => update),
    deletable: raw.deletable,
    totalCount:
      typeof totalCount === "object" &&
      totalCount !== null &&
      "enabled" in totalCount &&
      totalCount.enabled === true,
    maxRows: numberOr(set.max_rows, maxRows),
  };
}

function relate(byOid: Map<number, { raw: RawTable; table: Table }>, key: RawKey, inflect: boolean): void {
  const local = byOid.get(key.local);
  const foreign = byOid.get(key.foreign);
  if (!local || !foreign) return;
  const named = directive(key.comment);
  const pairs = key.local_columns.map((name, i): [string, string] => [name, key.foreign_columns[i]!]);
  const readable = (table: Table, names: string[]) =>
    names.every((name) => table.columns.some((column) => column.name === name && column.select));
  if (!readable(local.table, key.local_columns) || !readable(foreign.table, key.foreign_columns)) return;
  const unique = (local.raw.unique_keys ?? []).some((names) =>
    names.every((name) => key.local_columns.includes(name)),
  );
  add(local.table, {
    field: nameOr(named.foreign_name, toOneName(key.local_columns, foreign.table.type, inflect)),
    one: true,
    table: foreign.table,
    columns: pairs,
    // A row that its own policies hide is null.
    notNull:
      !foreign.raw.rls &&
      key.local_columns.some((name) => local.table.columns.some((c) => c.name === name && c.notNull)),
  });
  add(foreign.table, {
    field: nameOr(
      named.local_name,
      unique
        ? toOneName(key.foreign_columns, local.table.type, inflect)
        : `${lowerFirst(local.table.type)}Collection`,
    ),
    one: unique,
    table: local.table,
    columns: pairs.map(([own, other]): [string, string] => [other, own]),
    notNull: false,
  });
}

function add(table: Table, relation: Relation): void {
  const taken = [...table.columns.filter(({ select }) => select), ...table.relations];
  if (isName(relation.field) && !taken.some(({ field }) => field === relation.field))
    table.relations.push(relation);
}

const textOr = (text: unknown): string | undefined => (typeof text === "string" ? text : undefined);
const nameOr = (name: unknown, otherwise: string): string => (typeof name === "string" ? name : otherwise);
const numberOr = (value: unknown, otherwise: number): number =>
  typeof value === "number" && Number.isInteger(value) && value > 0 ? value : otherwise;
