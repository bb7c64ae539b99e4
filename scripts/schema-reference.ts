/** The schema reference (docs/schema.md), read from the catalogue of a migrated database. */
import type pg from "pg";

interface Column {
  name: string;
  type: string;
  nullable: boolean;
  default: string | null;
  reads: boolean;
  writes: string | null;
}

interface Table {
  name: string;
  comment: string;
  columns: Column[];
  policies: { name: string; command: string; using: string | null; check: string | null }[];
  published: boolean;
}

interface Rpc {
  name: string;
  arguments: string;
  returns: string;
  comment: string;
  users: boolean;
}

const TABLES = `
  select c.relname as name, coalesce(regexp_replace(obj_description(c.oid), ' *@graphql\\(.*', ''), '') as comment,
    exists (select from pg_publication_tables p where p.pubname = 'supabase_realtime' and p.schemaname = 'public'
      and p.tablename = c.relname) as published,
    (select jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
        'nullable', not a.attnotnull, 'default', pg_get_expr(d.adbin, d.adrelid),
        'reads', has_column_privilege('authenticated', c.oid, a.attnum, 'select'),
        'writes', nullif(concat_ws(', ',
          case when has_column_privilege('authenticated', c.oid, a.attnum, 'insert') then 'insert' end,
          case when has_column_privilege('authenticated', c.oid, a.attnum, 'update') then 'update' end), ''))
        order by a.attnum)
      from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
    coalesce((select jsonb_agg(jsonb_build_object('name', p.policyname, 'command', p.cmd, 'using', p.qual,
        'check', p.with_check) order by p.cmd, p.policyname)
      from pg_policies p where p.schemaname = 'public' and p.tablename = c.relname), '[]') as policies
  from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') order by c.relname`;

const RPCS = `
  select p.proname as name, pg_get_function_arguments(p.oid) as arguments, pg_get_function_result(p.oid) as returns,
    coalesce(obj_description(p.oid), '') as comment,
    has_function_privilege('authenticated', p.oid, 'execute') as users
  from pg_proc p where p.pronamespace = 'public'::regnamespace and p.prokind = 'f'
    and p.prorettype <> 'trigger'::regtype
  order by p.proname, arguments`;

/**
 * The page as Markdown.
 * @param client a connection that may read the catalogue of the migrated database
 */
export async function schemaReference(client: pg.ClientBase | pg.Pool): Promise<string> {
  const tables = (await client.query<Table>(TABLES)).rows;
  const rpcs = (await client.query<Rpc>(RPCS)).rows;
  return [
    "# Schema reference",
    "",
    "The schema `public`: what `/rest/v1` and `/graphql/v1` show under row-level security. Everything else is in the schema",
    "`private`, which no API exposes. Read from the catalogue of a migrated database; an integration test holds it current",
    "(`UPDATE_DOCS=1 npm test -- tests/integration/schema-reference.test.ts` writes it).",
    "",
    "## Tables",
    "",
    "*read*, *insert* and *update* are what a signed-in user is granted, on the rows that the policies let through.",
    "",
    ...tables.flatMap(tableSection),
    "## RPCs for users",
    "",
    ...rpcTable(rpcs.filter(({ users }) => users)),
    "",
    "## RPCs for the controller and the stack (`service_role`)",
    "",
    ...rpcTable(rpcs.filter(({ users }) => !users)),
    "",
  ].join("\n");
}

function tableSection(table: Table): string[] {
  const policies = table.policies.map(
    ({ name, command, using, check }) =>
      `- ${command.toLowerCase()}: *${name}*${using === null ? "" : ` – \`${oneLine(using)}\``}` +
      `${check === null || check === using ? "" : `; new rows \`${oneLine(check)}\``}`,
  );
  return [
    `### ${table.name}`,
    "",
    `${table.comment}${table.published ? " Changes are sent over Realtime." : ""}`,
    "",
    "| column | type | default | users |",
    "|---|---|---|---|",
    ...table.columns.map(
      ({ name, type, nullable, default: value, reads, writes }) =>
        `| \`${name}\` | ${type}${nullable ? ", null" : ""} | ${value === null ? "" : `\`${cell(oneLine(value))}\``} | ${
          [reads ? "read" : undefined, writes ?? undefined].filter(Boolean).join(", ") || "–"
        } |`,
    ),
    "",
    ...(policies.length > 0 ? [...policies, ""] : []),
  ];
}

function rpcTable(rpcs: Rpc[]): string[] {
  return [
    "| function | arguments | returns | |",
    "|---|---|---|---|",
    ...rpcs.map(
      (rpc) =>
        `| \`${rpc.name}\` | ${rpc.arguments === "" ? "" : `\`${cell(oneLine(rpc.arguments))}\``} | ${rpc.returns} | ${cell(rpc.comment)} |`,
    ),
  ];
}

const oneLine = (text: string) => text.replace(/\s+/g, " ");
const cell = (text: string) => text.replaceAll("|", "\\|");
