// docs/triggers.md: the triggers of `agents` in the order in which they fire, read from the catalogue of a migrated database.
import type pg from "pg";
import { type SchemaFile, schemaFiles } from "./migration/schemas.ts";

interface Trigger {
  name: string;
  before: boolean;
  row: boolean;
  events: string;
  definition: string;
  function: string;
}

// By name as bytes: so PostgreSQL orders them.
const TRIGGERS = `
  select t.tgname as name, (t.tgtype & 2) <> 0 as before, (t.tgtype & 1) <> 0 as row,
    concat_ws(', ', case when (t.tgtype & 4) <> 0 then 'insert' end,
      case when (t.tgtype & 16) <> 0 then 'update' || coalesce(' of ' || (select string_agg(a.attname, ', ' order by k.n)
        from unnest(t.tgattr::int2[]) with ordinality k (number, n)
        join pg_attribute a on a.attrelid = t.tgrelid and a.attnum = k.number), '') end,
      case when (t.tgtype & 8) <> 0 then 'delete' end) as events,
    pg_get_triggerdef(t.oid) as definition, n.nspname || '.' || p.proname as function
  from pg_trigger t join pg_proc p on p.oid = t.tgfoid join pg_namespace n on n.oid = p.pronamespace
  where t.tgrelid = 'public.agents'::regclass and not t.tgisinternal order by t.tgname collate "C"`;

const PHASES: [title: string, before: boolean, row: boolean][] = [
  ["Before the statement", true, false],
  ["Before each row", true, true],
  ["After each row", false, true],
  ["After the statement", false, false],
];

/**
 * The page as Markdown.
 * @param client a connection that may read the catalogue
 * @param folder the checkout: what a function does is the first sentence above it in supabase/schemas
 */
export async function triggerReference(client: pg.ClientBase | pg.Pool, folder: string): Promise<string> {
  const { rows } = await client.query<Trigger>(TRIGGERS);
  const files = schemaFiles(folder);
  return [
    "# Triggers of agents",
    "",
    "What happens when a row of `public.agents` is written, in this order. PostgreSQL runs the triggers of one kind by their names,",
    "so a name begins with a number. Foreign keys check and cascade before the triggers after each row: theirs are named `RI_…`.",
    "Read from the catalogue of a migrated database; an integration test holds it current",
    "(`UPDATE_DOCS=1 npm test -- tests/integration/schema-reference.test.ts` writes it).",
    ...PHASES.flatMap(([title, before, row]) =>
      section(
        title,
        rows.filter((each) => each.before === before && each.row === row),
        files,
      ),
    ),
    "",
  ].join("\n");
}

function section(title: string, triggers: readonly Trigger[], files: readonly SchemaFile[]): string[] {
  if (triggers.length === 0) return [];
  return [
    "",
    `## ${title}`,
    "",
    "| trigger | on | when | what its function does |",
    "|---|---|---|---|",
    ...triggers.map((trigger) => {
      const { file, says } = aboutFunction(trigger.function, files);
      const when = / WHEN \((.*)\) EXECUTE /s.exec(trigger.definition)?.[1];
      const cells = [
        `\`${trigger.name}\``,
        trigger.events,
        when === undefined ? "" : `\`${when.replace(/\s+/g, " ").replaceAll("|", "\\|")}\``,
        `${says} \`${trigger.function}\` in [${file}](../supabase/schemas/${file})`.trim(),
      ];
      return `| ${cells.join(" | ")} |`;
    }),
  ];
}

/** Where a function is made, and the first sentence of the comment above it. Pure. */
export function aboutFunction(name: string, files: readonly SchemaFile[]): { file: string; says: string } {
  for (const { name: file, text } of files) {
    const at = text.search(
      new RegExp(`^create (?:or replace )?function ${name.replace(".", "\\.")}\\(`, "m"),
    );
    if (at === -1) continue;
    const above = text.slice(0, at).trimEnd().split("\n");
    const first = above.findLastIndex((line) => !line.startsWith("--")) + 1;
    const comment = above.slice(first).map((line) => line.replace(/^-- ?/, ""));
    return { file, says: /^.*?[.;:](?= |$)/.exec(comment.join(" "))?.[0].replace(/[;:]$/, ".") ?? "" };
  }
  throw new Error(`No file of supabase/schemas makes ${name}.`);
}
