// Which rows an identity sees, by primary key under row-level security.
import pg from "pg";
import type { TableFacts } from "./catalog.ts";
import type { Identity } from "./claims.ts";
import { arrayLiteral } from "./render.ts";

/** Rows of one table, by primary key, that one identity would see. */
export interface VisibilityQuestion {
  identity: Identity;
  table: TableFacts;
  /** The keys' values as text, in the order of the table's key columns. */
  keys: (string | null)[][];
}

/**
 * Answers for each question which of its rows (by index) its identity sees. As hosted (realtime.apply_rls): the row is
 * looked up by primary key with the role and the claims of the subscriber, so it must still be there.
 * All questions travel in one message and one transaction; where that fails, each is asked alone, and one that fails
 * alone sees nothing. Throws when the database is down.
 */
export async function visibleRows(
  pool: pg.Pool,
  questions: VisibilityQuestion[],
  onLog: (line: string) => void,
): Promise<Set<number>[]> {
  if (questions.length === 0) return [];
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    try {
      return await askAll(client, questions);
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) throw error;
    }
    const answers: Set<number>[] = [];
    for (const question of questions) {
      try {
        answers.push(...(await askAll(client, [question])));
      } catch (error) {
        if (!(error instanceof pg.DatabaseError) || error.code?.startsWith("57P")) throw error;
        onLog(`RlsPolicyError: ${question.table.name}: ${error.message}`);
        answers.push(new Set());
      }
    }
    return answers;
  } catch (error) {
    broken = error as Error;
    throw error;
  } finally {
    client.release(broken);
  }
}

/** The names of the statements prepared on a connection, by their text. */
const prepared = new WeakMap<pg.PoolClient, Map<string, string>>();

async function askAll(client: pg.PoolClient, questions: VisibilityQuestion[]): Promise<Set<number>[]> {
  try {
    const answers = await askVisible(client, questions, { begin: ["begin"], end: ["commit"] });
    return answers;
  } catch (error) {
    // A prepared statement outlives the rollback, or was never made: start over.
    if (error instanceof pg.DatabaseError) {
      await client.query("rollback");
      await client.query("deallocate all");
      prepared.delete(client);
    }
    throw error;
  }
}

/**
 * Asks all questions in one message. Without `around` the connection must be in a transaction, which an error ends; the
 * connection is of no further use then.
 */
export async function askVisible(
  client: pg.PoolClient,
  questions: VisibilityQuestion[],
  around: { begin: string[]; end: string[] } = { begin: [], end: [] },
): Promise<Set<number>[]> {
  const known = prepared.get(client) ?? new Map<string, string>();
  prepared.set(client, known);
  const statements = [...around.begin];
  /** Which results are answers. */
  const positions: number[] = [];
  const fresh = new Map<string, string>();
  let current: Identity | undefined;
  for (const { identity, table, keys } of questions) {
    if (identity.json !== current?.json) {
      statements.push(
        `select set_config('role', ${pg.escapeLiteral(identity.role)}, true), set_config('request.jwt.claims', ${pg.escapeLiteral(identity.json)}, true)`,
      );
      current = identity;
    }
    const columns = table.columns.filter(({ isKey }) => isKey);
    const text = lookup(table, columns);
    let name = known.get(text) ?? fresh.get(text);
    if (name === undefined) {
      name = `realtime_${known.size + fresh.size}`;
      fresh.set(text, name);
      statements.push(`prepare ${name}${text}`);
    }
    const lists = columns.map((_, i) =>
      pg.escapeLiteral(arrayLiteral(keys.map((key) => key[i] as string | null))),
    );
    positions.push(statements.length);
    statements.push(`execute ${name}(${lists.join(", ")})`);
  }
  statements.push(...around.end);
  // Of one statement the driver gives one result, of several a list.
  const given = (await client.query(statements.join(";\n"))) as unknown;
  const results = (Array.isArray(given) ? given : [given]) as pg.QueryResult<{ n: string }>[];
  for (const [text, name] of fresh) known.set(text, name);
  return positions.map((at) => new Set(results[at]?.rows.map(({ n }) => Number(n) - 1)));
}

/** What follows `prepare <name>`: the statement that finds which of many keys are visible. */
function lookup(table: TableFacts, columns: TableFacts["columns"]): string {
  const types = columns.map(({ sqlType }) => `${sqlType}[]`);
  const values = columns.map((_, i) => `$${i + 1}`);
  const aliases = columns.map((_, i) => `k${i}`);
  const equal = columns.map((column, i) => `t.${pg.escapeIdentifier(column.name)} = k.k${i}`);
  return (
    `(${types.join(", ")}) as select k.n from unnest(${values.join(", ")}) with ordinality as k(${aliases.join(", ")}, n) ` +
    `where exists (select from ${table.name} t where ${equal.join(" and ")})`
  );
}
