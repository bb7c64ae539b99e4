// supabase/catalogue.txt: who may do what, as the catalogue of a migrated database says it. A change of SQL shows there which
// functions, triggers, policies and grants it changes.
import type pg from "pg";

const ROLES = "('anon', 'authenticated', 'service_role')";
const OURS = "n.nspname in ('public', 'private')";
const NOT_OF_AN_EXTENSION = (catalogue: string, oid: string) =>
  `not exists (select from pg_depend d where d.classid = '${catalogue}'::regclass and d.objid = ${oid} and d.deptype = 'e')`;

/** Who has which rights by an access list, such as ` to anon: SELECT; authenticated: INSERT, SELECT`. */
const granted = (acl: string) => `coalesce((select string_agg(r.who || ': ' || r.rights, '; ' order by r.who)
    from (select coalesce(g.rolname, 'everybody') as who, string_agg(x.privilege_type, ', ' order by x.privilege_type) as rights
      from aclexplode(${acl}) x left join pg_roles g on g.oid = x.grantee
      where x.grantee = 0 or g.rolname in ${ROLES} group by 1) r), 'nobody')`;

const SECTIONS: [title: string, query: string][] = [
  [
    "Functions: language, volatility, whose rights they run with, who may call them",
    `select format('%s returns %s: %s, %s%s%s; %s', p.oid::regprocedure, pg_get_function_result(p.oid), l.lanname,
       case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
       case when p.prosecdef then ', definer' else '' end, case when p.proisstrict then ', strict' else '' end,
       ${granted("coalesce(p.proacl, acldefault('f', p.proowner))")}) as line
     from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
     where ${OURS} and p.prokind in ('f', 'p') and ${NOT_OF_AN_EXTENSION("pg_proc", "p.oid")}`,
  ],
  [
    "Triggers",
    `select pg_get_triggerdef(t.oid) as line from pg_trigger t
     where not t.tgisinternal and exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
       where p.oid = t.tgfoid and ${OURS})`,
  ],
  [
    "Policies",
    `select format('%I on %s: %s%s to %s%s%s', p.polname, p.polrelid::regclass,
       case when p.polpermissive then '' else 'restrictive ' end,
       case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
       (select string_agg(coalesce(r.rolname, 'everybody'), ', ' order by r.rolname) from unnest(p.polroles) o left join pg_roles r on r.oid = o),
       ' using ' || pg_get_expr(p.polqual, p.polrelid), ' with check ' || pg_get_expr(p.polwithcheck, p.polrelid)) as line
     from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
     where ${OURS} or n.nspname || '.' || c.relname in ('storage.objects', 'realtime.messages')`,
  ],
  [
    "Tables, views and sequences: row-level security, rights",
    `select format('%s%s; %s', c.oid::regclass, case when c.relrowsecurity then ': row-level security' else '' end,
       ${granted(`coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::"char" else 'r' end, c.relowner))`)}) as line
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where ${OURS} and c.relkind in ('r', 'p', 'v', 'm', 'S') and ${NOT_OF_AN_EXTENSION("pg_class", "c.oid")}`,
  ],
  [
    "Columns with rights of their own",
    `select format('%s.%I; %s', c.oid::regclass, a.attname, ${granted("a.attacl")}) as line
     from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
     where ${OURS} and a.attacl is not null and not a.attisdropped`,
  ],
];

/**
 * The file's text.
 * @param client one connection, outside a transaction, that may read the catalogue of a migrated database
 */
export async function catalogueText(client: pg.ClientBase): Promise<string> {
  await client.query("begin read only");
  try {
    await client.query("set local search_path = ''");
    const sections: string[] = [
      "Written by UPDATE_DOCS=1 npm test -- tests/integration/schema-reference.test.ts; never edited.",
    ];
    for (const [title, query] of SECTIONS) {
      const { rows } = await client.query<{ line: string }>(query);
      const lines = rows.map(({ line }) => line.replace(/\s+/g, " ")).sort();
      sections.push(`\n## ${title}\n`, ...lines);
    }
    return `${sections.join("\n")}\n`;
  } finally {
    await client.query("rollback");
  }
}
