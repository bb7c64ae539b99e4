// What a database's schema is: every table, column, constraint, index, function, trigger, policy, view, grant, comment,
// publication and job of ours, each as one digest; and how two such lists differ. Needs no package, so the CLI has it too.

/** Digests by kind and name, such as `function private.version()`. */
export type Catalogue = Record<string, string>;

/** The part of a database connection that is used here. */
export interface Queries {
  query(text: string): Promise<{ rows: unknown[] }>;
}

export interface Difference {
  /** missing: the release has it. changed: both have it. unknown: the release has it not. */
  state: "missing" | "changed" | "unknown";
  what: string;
}

// Names and kinds alone are compared, never the place of a column in its table: added columns come last.
const FACTS = `
with ours as (select n.oid, n.nspname from pg_namespace n where n.nspname in ('public', 'private')),
own as (
  select c.* from pg_class c join ours n on n.oid = c.relnamespace
  where not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
),
routines as (
  select p.* from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where (n.nspname in ('public', 'private') or n.nspname = 'extensions' and p.proowner = 'postgres'::regrole)
    and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
),
shown as (
  select 'table ' || c.oid::regclass as what,
    concat_ws(' ', c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.reloptions::text) as how
  from own c where c.relkind in ('r', 'p')
  union all
  select case c.relkind when 'S' then 'sequence ' else 'view ' end || c.oid::regclass,
    case c.relkind when 'S' then (select concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
        from pg_sequence s where s.seqrelid = c.oid)
      else concat(c.reloptions::text, pg_get_viewdef(c.oid)) end
  from own c where c.relkind in ('v', 'm') or c.relkind = 'S'
    and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i')
  union all
  select 'column ' || c.oid::regclass || '.' || quote_ident(a.attname),
    concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attcompression,
      a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid))
  from own c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where c.relkind in ('r', 'p')
  union all
  select 'constraint ' || k.conrelid::regclass || '.' || quote_ident(k.conname), concat(k.convalidated, pg_get_constraintdef(k.oid))
  from pg_constraint k join own c on c.oid = k.conrelid where k.contype not in ('t', 'n')
  union all
  select 'index ' || i.indexrelid::regclass, pg_get_indexdef(i.indexrelid)
  from pg_index i join own c on c.oid = i.indrelid
  where not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.conrelid = i.indrelid)
  union all
  select 'function ' || p.oid::regprocedure, pg_get_functiondef(p.oid) from routines p where p.prokind in ('f', 'p')
  union all
  select 'trigger ' || quote_ident(t.tgname) || ' on ' || t.tgrelid::regclass, concat(t.tgenabled, pg_get_triggerdef(t.oid))
  from pg_trigger t where not t.tgisinternal
    and (t.tgrelid in (select oid from own) or t.tgfoid in (select oid from routines))
  union all
  select 'policy ' || quote_ident(p.polname) || ' on ' || p.polrelid::regclass, concat_ws(' ', p.polcmd, p.polpermissive,
    (select array_agg(n order by n) from unnest(p.polroles) r, lateral (select case when r = 0 then 'public' else r::regrole::text end as n) x),
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
  from pg_policy p where p.polrelid in (select oid from own) or p.polrelid::regclass::text in ('storage.objects', 'realtime.messages')
  union all
  select 'type ' || t.oid::regtype, concat_ws(' ', t.typtype, t.typnotnull, t.typdefault, format_type(t.typbasetype, t.typtypmod),
    (select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid),
    (select string_agg(pg_get_constraintdef(k.oid), ',' order by k.conname) from pg_constraint k where k.contypid = t.oid),
    (select string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ',' order by a.attnum)
     from pg_attribute a where a.attrelid = t.typrelid and t.typtype = 'c'))
  from pg_type t join ours n on n.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
  where t.typtype in ('d', 'e', 'r') or t.typtype = 'c' and c.relkind = 'c'
  union all
  select 'operator ' || o.oid::regoperator, concat_ws(' ', o.oprcode::regprocedure, o.oprresult::regtype, o.oprcom, o.oprcanhash)
  from pg_operator o join pg_namespace n on n.oid = o.oprnamespace
  where n.nspname in ('public', 'private', 'extensions') and o.oprowner = 'postgres'::regrole
  union all
  select 'statistics ' || format('%I.%I', n.nspname, s.stxname), pg_get_statisticsobjdef(s.oid)
  from pg_statistic_ext s join ours n on n.oid = s.stxnamespace
  union all
  select 'publication ' || p.pubname || ' of ' || r.prrelid::regclass, concat(pg_get_expr(r.prqual, r.prrelid),
    (select string_agg(a.attname, ',' order by a.attname) from pg_attribute a where a.attrelid = r.prrelid and a.attnum = any(r.prattrs)))
  from pg_publication_rel r join pg_publication p on p.oid = r.prpubid join own c on c.oid = r.prrelid
  union all
  select 'setting ' || split_part(c, '=', 1) || ' of authenticator', c
  from pg_db_role_setting s cross join unnest(s.setconfig) c
  where s.setrole = 'authenticator'::regrole and s.setdatabase = 0 and c like any (array['pgrst.db_pre_request=%', 'pgrst.db_extra_search_path=%'])
  union all
  select 'comment on ' || i.type || ' ' || i.identity, d.description
  from pg_description d cross join lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) i
  where i.schema in ('public', 'private') and d.classoid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass)
    or i.type = 'schema' and i.identity = 'private'
  union all
  select 'grants on ' || g.what, string_agg(concat_ws(' ', g.grantee, g.privilege_type, g.is_grantable), ',' order by g.grantee, g.privilege_type)
  from (
    select o.what, x.privilege_type, x.is_grantable, case when x.grantee = 0 then 'public' else x.grantee::regrole::text end as grantee
    from (
      select 'schema ' || n.nspname as what, n.nspacl as acl from pg_namespace n where n.nspname = 'private'
      union all
      select case c.relkind when 'S' then 'sequence ' else 'table ' end || c.oid::regclass,
        coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::"char" else 'r' end, c.relowner))
      from own c where c.relkind in ('r', 'p', 'v', 'm', 'S')
      union all
      select 'function ' || p.oid::regprocedure, coalesce(p.proacl, acldefault('f', p.proowner)) from routines p
      union all
      select 'column ' || c.oid::regclass || '.' || quote_ident(a.attname), a.attacl
      from own c join pg_attribute a on a.attrelid = c.oid where a.attacl is not null and not a.attisdropped
    ) o cross join lateral aclexplode(o.acl) x
    where x.grantee = 0 or x.grantee::regrole::text in ('anon', 'authenticated', 'service_role')
  ) g group by g.what
)
select what, left(md5(coalesce(how, '')), 12) as digest from shown order by what`;

const JOBS = `
select 'job ' || jobname as what, left(md5(concat_ws(' ', schedule, command, active)), 12) as digest
from cron.job where jobname like 'launchpad-%' order by jobname`;

/**
 * Reads what a database has. Needs a role that may read the catalogue, as `postgres` may.
 * @param client one connection, outside a transaction: names are rendered under its search path
 */
export async function readCatalogue(client: Queries): Promise<Catalogue> {
  await client.query("begin read only");
  try {
    return await catalogueWithin(client);
  } finally {
    await client.query("rollback");
  }
}

/**
 * The same within a transaction, whose search path is empty afterwards.
 * @param client a connection in a transaction
 */
export async function catalogueWithin(client: Queries): Promise<Catalogue> {
  await client.query("set local search_path = ''");
  const facts = (await client.query(FACTS)).rows as { what: string; digest: string }[];
  const jobs = (await client.query(JOBS)).rows as { what: string; digest: string }[];
  return Object.fromEntries([...facts, ...jobs].map(({ what, digest }) => [what, digest]));
}

/**
 * What a database has otherwise than it should. Pure.
 * @param wanted of the release
 * @param present of the database
 */
export function differences(wanted: Catalogue, present: Catalogue): Difference[] {
  const found = Object.entries(wanted).flatMap(([what, digest]): Difference[] => {
    if (!(what in present)) return [{ state: "missing", what }];
    return present[what] === digest ? [] : [{ state: "changed", what }];
  });
  const unknown = Object.keys(present).filter((what) => !(what in wanted));
  return [...found, ...unknown.map((what): Difference => ({ state: "unknown", what }))];
}
