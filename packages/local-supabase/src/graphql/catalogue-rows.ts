// The query that reads what a role can see of the database, and the rows it gives.

export interface Rows {
  comment: string | null;
  settings: string[] | null;
  pre_request: string | null;
  search_path: string | null;
  tables: RawTable[] | null;
  keys: RawKey[] | null;
  enums?: RawEnum[] | null;
  functions?: RawFunction[] | null;
}
export interface RawType {
  /** As `format_type` writes it, without a length. */
  type: string;
  element: string | null;
  /** What a value is cast to: with its schema where a search path might miss it, and without a length that would cut it. */
  cast: string;
  /** The enum that it is, or whose values it lists. */
  enum: number | null;
  /** The table whose row it is. */
  row_of: number | null;
  kind: string;
}
export interface RawTable {
  oid: number;
  name: string;
  comment: string | null;
  rls: boolean;
  insertable: boolean;
  updatable: boolean;
  deletable: boolean;
  primary_key: string[] | null;
  unique_keys: string[][] | null;
  columns: RawColumn[];
}
export interface RawColumn extends RawType {
  name: string;
  comment: string | null;
  max_length: number | null;
  not_null: boolean;
  generated: boolean;
  select: boolean;
  insert: boolean;
  update: boolean;
}
export interface RawKey {
  comment: string | null;
  local: number;
  foreign: number;
  local_columns: string[];
  foreign_columns: string[];
}
export interface RawEnum {
  oid: number;
  name: string;
  comment: string | null;
  labels: string[];
}
export interface RawFunction {
  name: string;
  comment: string | null;
  volatile: boolean;
  set: boolean;
  rows: number;
  returns: RawType;
  args: (RawType & { name: string })[] | null;
  defaults: number;
}

/** The pairs of a type's facts, for the rows `t` of pg_type, `e` of its element's and `n` of its schema. */
const TYPE = `'type', case when t.typname = 'citext' then t.typname else format_type(t.oid, null) end,
  'element', case when t.typcategory = 'A' then case when e.typname = 'citext' then e.typname else format_type(t.typelem, null) end end,
  'cast', case when n.nspname = 'pg_catalog' then format_type(t.oid, -1) else format('%I.%I', n.nspname, t.typname) end,
  'enum', case when t.typtype = 'e' then t.oid::int8 when t.typcategory = 'A' and e.typtype = 'e' then e.oid::int8 end,
  'row_of', nullif(t.typrelid, 0)::int8, 'kind', t.typtype`;
const FROM_TYPE = `pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_type e on e.oid = t.typelem`;

// What needs usage of a schema to look up (a name, a sequence by name) is not asked for: the role that asks may have none.
/** Relations of `public` of which the role $1 may read a column, the foreign keys between them, enums and functions. */
export const CATALOGUE = `
with seen as (
  select c.oid, c.relname, c.relrowsecurity, c.relkind, i.indkey as key,
    case when c.relkind in ('r', 'p') then 28 else pg_relation_is_updatable(c.oid, true) end as changes
  from pg_class c left join pg_index i on i.indrelid = c.oid and i.indisprimary
  where c.relnamespace = (select oid from pg_namespace where nspname = 'public')
    and c.relkind in ('r', 'p', 'v', 'm', 'f') and has_any_column_privilege($1, c.oid, 'SELECT')
)
select (select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'public') as comment,
  (select r.rolconfig from pg_roles r where r.rolname = $1) as settings,
  nullif(current_setting('pgrst.db_pre_request', true), '') as pre_request,
  nullif(current_setting('pgrst.db_extra_search_path', true), '') as search_path,
  (select json_agg(json_build_object('oid', s.oid::int8, 'name', s.relname, 'comment', obj_description(s.oid, 'pg_class'),
    'rls', s.relrowsecurity, 'insertable', s.changes & 8 <> 0, 'updatable', s.changes & 4 <> 0,
    'deletable', s.changes & 16 <> 0 and has_table_privilege($1, s.oid, 'DELETE'),
    'primary_key', (select json_agg(a.attname order by k.n) from unnest(s.key::int2[]) with ordinality k (num, n)
      join pg_attribute a on a.attrelid = s.oid and a.attnum = k.num),
    'unique_keys', (select json_agg((select json_agg(a.attname) from unnest(i.indkey::int2[]) k join pg_attribute a on a.attrelid = s.oid and a.attnum = k))
      from pg_index i where i.indrelid = s.oid and i.indisunique and i.indpred is null and 0 <> all (i.indkey::int2[])),
    'columns', (select json_agg(json_build_object('name', a.attname, 'comment', col_description(s.oid, a.attnum), ${TYPE},
        'max_length', case when t.oid in ('bpchar'::regtype, 'varchar'::regtype) and a.atttypmod > 4 then a.atttypmod - 4 end,
        'not_null', a.attnotnull, 'generated', a.attgenerated <> '' or exists (select from pg_depend d join pg_class q on q.oid = d.objid and q.relkind = 'S'
          where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = s.oid and d.refobjsubid = a.attnum and d.deptype in ('a', 'i')),
        'select', has_column_privilege($1, s.oid, a.attnum, 'SELECT'), 'insert', has_column_privilege($1, s.oid, a.attnum, 'INSERT'),
        'update', has_column_privilege($1, s.oid, a.attnum, 'UPDATE')) order by a.attnum)
      from pg_attribute a join (${FROM_TYPE}) on t.oid = a.atttypid
      where a.attrelid = s.oid and a.attnum > 0 and not a.attisdropped and t.typtype in ('b', 'e', 'd', 'r'))) order by s.relname)
    from seen s) as tables,
  (select json_agg(json_build_object('comment', obj_description(f.oid, 'pg_constraint'), 'local', f.conrelid::int8,
      'foreign', f.confrelid::int8,
      'local_columns', (select json_agg(a.attname order by k.n) from unnest(f.conkey) with ordinality k (num, n)
        join pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.num),
      'foreign_columns', (select json_agg(a.attname order by k.n) from unnest(f.confkey) with ordinality k (num, n)
        join pg_attribute a on a.attrelid = f.confrelid and a.attnum = k.num)) order by f.conname)
    from pg_constraint f where f.contype = 'f' and f.conrelid in (select oid from seen) and f.confrelid in (select oid from seen)) as keys,
  (select json_agg(json_build_object('oid', t.oid::int8, 'name', t.typname, 'comment', obj_description(t.oid, 'pg_type'),
      'labels', (select json_agg(l.enumlabel order by l.enumsortorder) from pg_enum l where l.enumtypid = t.oid)) order by t.typname)
    from pg_type t join pg_namespace n on n.oid = t.typnamespace
    where t.typtype = 'e' and (n.nspname = 'public' or pg_type_is_visible(t.oid)) and has_type_privilege($1, t.oid, 'USAGE')
      and exists (select from pg_enum l where l.enumtypid = t.oid)) as enums,
  (select json_agg(json_build_object('name', p.proname, 'comment', obj_description(p.oid, 'pg_proc'), 'volatile', p.provolatile = 'v',
      'set', p.proretset, 'rows', p.prorows, 'defaults', p.pronargdefaults,
      'returns', (select json_build_object(${TYPE}) from ${FROM_TYPE} where t.oid = p.prorettype),
      'args', (select json_agg(json_build_object('name', coalesce(p.proargnames[g.n], ''), ${TYPE}) order by g.n)
        from unnest(p.proargtypes::oid[]) with ordinality g (type, n) join (${FROM_TYPE}) on t.oid = g.type)) order by p.proname, p.oid)
    from pg_proc p where p.pronamespace = (select oid from pg_namespace where nspname = 'public') and p.prokind = 'f'
      and p.provariadic = 0 and p.proargmodes is null and has_function_privilege($1, p.oid, 'EXECUTE')) as functions
`;
