// Whose an object is: ours when a migration that the database has had made it, else its users'. The Supabase CLI keeps the
// text of each migration, so the database itself knows what older checkouts made.

import { type Catalogue, type Difference, differences, type Queries, readCatalogue } from "./catalogue.ts";

/** An object of a database. */
export interface Named {
  kind: string;
  schema: string;
  name: string;
  /** Of what belongs to a table. */
  table?: string;
}

const escaped = (name: string) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/**
 * Says whether migrations made an object. Pure.
 * @param history the text of all migrations that the database has had
 */
export function isOurs(history: string, { kind, schema, name, table }: Named): boolean {
  const word = () => new RegExp(`(?<![\\w$])"?${escaped(name)}"?(?![\\w$])`).test(history);
  if (kind === "index")
    return new RegExp(`\\bindex\\s+(?:if not exists\\s+)?"?${escaped(name)}"?\\s`, "i").test(history);
  if (table === undefined) return makes(history, schema, name);
  return (makes(history, schema, table) || !["public", "private"].includes(schema)) && word();
}

function makes(history: string, schema: string, name: string): boolean {
  const what = "(?:table|view|function|procedure|aggregate|sequence|type|domain|operator|statistics)";
  const pattern = `\\bcreate\\s(?:[\\w ]+\\s)?${what}\\s+(?:if not exists\\s+)?"?${escaped(schema)}"?\\."?${escaped(name)}"?(?![\\w$])`;
  return new RegExp(pattern, "i").test(history);
}

const PART = String.raw`(?:"(?:[^"]|"")+"|[^\s."(]+)`;
const OF_TABLE = new RegExp(`^(column|constraint) (${PART})\\.(${PART})\\.(${PART})$`);
const ON_TABLE = new RegExp(`^(trigger|policy) (.+) on (${PART})\\.(${PART})$`);
const ALONE = new RegExp(`^(\\w+) (${PART})\\.(${PART})(?:\\(.*\\))?$`);

/**
 * The object that a difference is about, such as `grants on function private.f(text)`; undefined for jobs and settings. Pure.
 */
export function objectOf(what: string): Named | undefined {
  const text = what.replace(/^(?:grants|comment) on /, "").replace(/^publication \S+ of /, "table ");
  const bare = (part = "") => (part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part);
  const [, kind, first, second, third] = OF_TABLE.exec(text) ?? [];
  if (kind !== undefined) return { kind, schema: bare(first), table: bare(second), name: bare(third) };
  const [, attached, name, schema, table] = ON_TABLE.exec(text) ?? [];
  if (attached !== undefined)
    return { kind: attached, schema: bare(schema), table: bare(table), name: bare(name) };
  const [, alone, where, called] = ALONE.exec(text) ?? [];
  return alone === undefined ? undefined : { kind: alone, schema: bare(where), name: bare(called) };
}

/** The text of every migration that a database has had. */
export async function historyOf(database: Queries): Promise<string> {
  const { rows } = await database.query(
    "select array_to_string(statements, E';\\n') as text from supabase_migrations.schema_migrations",
  );
  return (rows as { text: string }[]).map(({ text }) => text).join("\n");
}

/**
 * How a database differs from what it should be; what its users made beside is no difference.
 * @param client one connection, outside a transaction
 */
export async function ownDifferences(client: Queries, wanted: Catalogue): Promise<Difference[]> {
  const history = await historyOf(client);
  return differences(wanted, await readCatalogue(client)).filter(({ state, what }) => {
    const object = objectOf(what);
    return state !== "unknown" || object === undefined || isOurs(history, object);
  });
}
