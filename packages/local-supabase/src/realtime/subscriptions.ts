// Checks and stores the table subscriptions of clients.

import { randomUUID } from "node:crypto";
import pg from "pg";
import { codeOf, reasonOf } from "../errors.ts";
import { type ColumnFacts, describeTables, publishedTables, type TableFacts } from "./catalog.ts";
import type { Identity } from "./claims.ts";
import { isAway } from "./database.ts";
import type { ChangeParams, Filter } from "./filters.ts";
import type { Limits } from "./limits.ts";
import type { CompiledFilter } from "./matching.ts";

export const CHANGES_PUBLICATION = "supabase_realtime";

/** What of a subscription concerns one table. */
export interface TablePart {
  table: number;
  rls: boolean;
  filters: CompiledFilter[];
}

/** A filter or a column that the database refuses; the message is the client's. */
export class SubscriptionError extends Error {}

/** The published tables as one role sees them, each looked up once: the entries of a channel often name the same. */
export class TableCache {
  readonly pool: pg.Pool;
  readonly #role: string;
  readonly #known = new Map<string, Promise<TableFacts[]>>();

  constructor(pool: pg.Pool, role: string) {
    this.pool = pool;
    this.#role = role;
  }

  /** The tables that an entry means; `*` stands for all. */
  async published({ schema, table }: ChangeParams): Promise<TableFacts[]> {
    const key = JSON.stringify([schema, table]);
    let found = this.#known.get(key);
    if (!found) {
      found = this.#look(schema, table);
      this.#known.set(key, found);
    }
    return await found;
  }

  async #look(schema: string, table: string): Promise<TableFacts[]> {
    const oids = await publishedTables(this.pool, CHANGES_PUBLICATION, schema, table);
    return oids.length === 0 ? [] : [...(await describeTables(this.pool, oids, [this.#role])).values()];
  }
}

/**
 * Checks what a client asks for against the catalogue, as hosted does when it inserts into realtime.subscription
 * (its trigger subscription_check_filters): the table must be published, each filter's column selectable by the role, its
 * value of the column's type. Stricter than hosted in two ways: a pattern must be sure to end soon, and the role must be able
 * to read the table's primary key, because a change that cannot be shown would still say that a row changed.
 * Throws SubscriptionError with hosted's words, or what the driver throws when the database is not reachable.
 */
export async function compileSubscription(
  tables: TableCache,
  identity: Identity,
  params: ChangeParams,
  limits: Pick<Limits, "filterBytes">,
): Promise<TablePart[]> {
  const published = await tables.published(params);
  const refuse = (why: string, exception = "") =>
    new SubscriptionError(
      `Unable to subscribe to changes with given parameters. ${why}: [${describe(params)}]${exception}`,
    );
  if (published.length === 0)
    throw refuse("Please check Realtime is enabled for the given connect parameters");
  const parts: TablePart[] = [];
  const exception = "An exception happened so please check your connect parameters";
  let problem: string | undefined;
  for (const table of published) {
    const unreadable = unreadableBy(table, identity.role);
    if (unreadable !== undefined) {
      problem = unreadable;
      continue; // `*` means the tables that the role can read
    }
    try {
      parts.push({
        table: table.oid,
        rls: table.rls,
        filters: await compileFilters(tables.pool, identity.role, table, params, limits),
      });
    } catch (error) {
      if (isAway(error) && !(error instanceof Refused)) throw error;
      throw refuse(exception, `. Exception: ${words(error)}`);
    }
  }
  if (parts.length === 0) throw refuse(exception, `. Exception: ${problem ?? "the table is gone"}`);
  return parts;
}

/** Why a role cannot follow a table's changes; undefined when it can. */
export function unreadableBy(table: TableFacts, role: string): string | undefined {
  const keys = table.columns.filter(({ isKey }) => isKey);
  if (keys.length === 0) return `Error 400: Bad Request, no primary key (${table.name})`;
  if (!keys.every(({ roles }) => roles.includes(role)))
    return `Error 401: Unauthorized (${role} cannot read the primary key of ${table.name})`;
  return undefined;
}

class Refused extends Error {}

async function compileFilters(
  pool: pg.Pool,
  role: string,
  table: TableFacts,
  params: ChangeParams,
  limits: Pick<Limits, "filterBytes">,
): Promise<CompiledFilter[]> {
  const columns = new Map(
    table.columns.filter(({ roles }) => roles.includes(role)).map((column) => [column.name, column]),
  );
  const compiled: CompiledFilter[] = [];
  const bytes = params.filters.reduce((sum, { column, value }) => sum + column.length + value.length, 0);
  if (bytes > limits.filterBytes)
    throw new Refused(`the filter is too long: at most ${limits.filterBytes} bytes`);
  for (const filter of params.filters) {
    const column = columns.get(filter.column);
    if (!column) throw new Refused(`invalid column for filter ${filter.column}`);
    compiled.push({
      ...filter,
      typeOid: column.oid,
      typeName: column.sqlType,
      typeKind: column.kind,
      canonical: await canonical(pool, filter, column),
    });
  }
  for (const name of params.select ?? []) {
    if (!columns.has(name)) throw new Refused(`invalid column for select ${name}`);
  }
  return compiled;
}

/** The filter's value as the database writes it. Throws when it is not of the column's type. */
async function canonical(pool: pg.Pool, filter: Filter, column: ColumnFacts): Promise<string[]> {
  const { op, value } = filter;
  if (op === "is") {
    if (!["null", "true", "false", "unknown"].includes(value)) {
      throw new Refused("invalid value for is filter: must be null, true, false, or unknown");
    }
    if (value !== "null" && column.type !== "bool") {
      throw new Refused(`is ${value} filter requires a boolean column, got ${column.sqlType}`);
    }
    return [value];
  }
  if (op === "like" || op === "ilike" || op === "match" || op === "imatch") {
    if (!["text", "varchar", "bpchar", "name", "citext"].includes(column.type)) {
      throw new Refused(`operator ${op} requires a text-compatible column type, got ${column.sqlType}`);
    }
    await checkPattern(pool, op, value);
    if (op === "match" || op === "imatch") {
      try {
        await pool.query("select '' ~ $1::text", [value]);
      } catch (error) {
        if (isAway(error)) throw error;
        throw new Refused(`invalid regular expression for ${op} filter: ${reasonOf(error)}`);
      }
    }
    return [value];
  }
  if (op !== "in") {
    const { rows } = await pool.query<{ text: string }>(
      `select ($1::text)::${column.sqlType}::text as text`,
      [value],
    );
    return rows.map(({ text }) => text);
  }
  const { rows } = await pool.query<{ text: string | null }>(
    `select e::text as text from unnest(($1::text)::${column.sqlType}[]) as e`,
    [value],
  );
  if (rows.length > 100) throw new Refused("too many values for `in` filter. Maximum 100");
  return rows.flatMap(({ text }) => (text === null ? [] : [text]));
}

/** Patterns are judged by the rule that PostgREST's and GraphQL's filters follow. */
async function checkPattern(pool: pg.Pool, op: string, pattern: string): Promise<void> {
  const rule = op === "match" || op === "imatch" ? "is_calm_pattern" : "is_calm_like";
  try {
    const { rows } = await pool.query<{ calm: boolean }>(`select private.${rule}($1::text) as calm`, [
      pattern,
    ]);
    if (rows[0]?.calm) return;
  } catch (error) {
    // No such schema, no such function: the project has no rule for patterns.
    if (["3F000", "42883"].includes(codeOf(error) ?? "")) return;
    throw error;
  }
  throw new Refused(
    rule === "is_calm_like"
      ? `the pattern of ${op} is too costly: at most 200 characters with at most 8 wildcards %`
      : `the pattern of ${op} is too costly: at most 200 characters, without repeated groups, lookarounds, backreferences and options, with at most 3 of * and +`,
  );
}

function words(error: unknown): string {
  if (error instanceof pg.DatabaseError) return `ERROR ${error.code} ${error.message}`;
  return `ERROR P0001 (raise_exception) ${reasonOf(error)}`;
}

function describe({ action, schema, table, filters, select }: ChangeParams): string {
  const list = filters.map((f) => `{"${f.column}", "${f.op}", "${f.value}", ${f.negate}}`).join(", ");
  const columns = select ? JSON.stringify(select) : "nil";
  return `event: ${action}, schema: ${schema}, table: ${table}, filters: [${list}], select: ${columns}`;
}

/** A row of realtime.subscription. */
export interface SubscriptionRow {
  subscription_id: string;
  entity: number;
  filters: Filter[];
  claims: Record<string, unknown>;
  action_filter: string;
  selected_columns: string[] | null;
}

/** The rows of one subscription. */
export function subscriptionRows(
  identity: Identity,
  params: ChangeParams,
  parts: TablePart[],
): SubscriptionRow[] {
  const id = randomUUID();
  return parts.map(({ table }) => ({
    subscription_id: id,
    entity: table,
    filters: params.filters,
    claims: identity.claims,
    action_filter: params.action,
    selected_columns: params.select,
  }));
}

/**
 * Keeps realtime.subscription equal to what is subscribed, as hosted does: statistics count its rows.
 * What comes while a statement is under way goes with the next one.
 */
export class SubscriptionTable {
  readonly #pool: pg.Pool;
  readonly #onLog: (line: string) => void;
  #adds: SubscriptionRow[] = [];
  #removals: string[] = [];
  #work: Promise<void> | undefined;

  constructor(pool: pg.Pool, onLog: (line: string) => void) {
    this.#pool = pool;
    this.#onLog = onLog;
  }

  /** Forgets what an earlier process left. */
  async clear(): Promise<void> {
    await this.#pool.query("delete from realtime.subscription");
  }

  /** Adds rows; resolves when they are there (or could not be written, which is logged). */
  async add(rows: SubscriptionRow[]): Promise<void> {
    this.#adds.push(...rows);
    await this.#flush();
  }

  remove(ids: string[]): void {
    this.#removals.push(...ids);
    void this.#flush();
  }

  /** Resolves when nothing waits to be written. */
  async settled(): Promise<void> {
    while (this.#work) await this.#work;
  }

  async #flush(): Promise<void> {
    await this.#work; // rows that came meanwhile go together
    this.#work ??= this.#write().finally(() => {
      this.#work = undefined;
    });
    await this.#work;
  }

  async #write(): Promise<void> {
    const [adds, removals] = [this.#adds, this.#removals];
    [this.#adds, this.#removals] = [[], []];
    try {
      if (adds.length > 0) await this.#pool.query(INSERT, [JSON.stringify(adds)]);
      if (removals.length > 0) {
        await this.#pool.query("delete from realtime.subscription where subscription_id = any ($1::uuid[])", [
          removals,
        ]);
      }
    } catch (error) {
      this.#onLog(`realtime.subscription: ${reasonOf(error)}`);
      this.#removals.unshift(...removals); // tried again with the next write
    }
  }
}

const INSERT = `
  insert into realtime.subscription (subscription_id, entity, filters, claims, action_filter, selected_columns)
  select s.subscription_id, s.entity,
    array(select row(f.value ->> 'column', (f.value ->> 'op')::realtime.equality_op, f.value ->> 'value',
                     (f.value ->> 'negate')::boolean)::realtime.user_defined_filter
          from jsonb_array_elements(s.filters) f),
    s.claims, s.action_filter, s.selected_columns
  from jsonb_to_recordset($1::jsonb) as s (subscription_id uuid, entity oid, filters jsonb, claims jsonb, action_filter text,
    selected_columns text[])`;
