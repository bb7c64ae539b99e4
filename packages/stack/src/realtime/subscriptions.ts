import { randomUUID } from "node:crypto";
import pg from "pg";
import { reasonOf } from "../errors.ts";
import { type ColumnFacts, describeTables, publishedTables, type TableFacts } from "./catalog.ts";
import type { Identity } from "./claims.ts";
import { isAway } from "./database.ts";
import type { ChangeParams, Filter } from "./filters.ts";
import type { CompiledFilter } from "./matching.ts";

export const CHANGES_PUBLICATION = "supabase_realtime";

/** What of a subscription concerns one table. */
export interface TablePart {
  table: number;
  filters: CompiledFilter[];
}

/** A filter or a column that the database refuses; the message is the client's. */
export class SubscriptionError extends Error {}

/**
 * Checks what a client asks for against the catalogue, as hosted does when it inserts into realtime.subscription
 * (its trigger subscription_check_filters): the table must be published, each filter's column selectable by the role, its
 * value of the column's type. Throws SubscriptionError with hosted's words, or what the driver throws when it is away.
 */
export async function compileSubscription(
  pool: pg.Pool,
  identity: Identity,
  params: ChangeParams,
): Promise<TablePart[]> {
  const oids = await publishedTables(pool, CHANGES_PUBLICATION, params.schema, params.table);
  if (oids.length === 0) {
    throw new SubscriptionError(
      `Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect parameters: [${describe(params)}]`,
    );
  }
  if (params.filters.length === 0 && !params.select) return oids.map((table) => ({ table, filters: [] }));
  const tables = await describeTables(pool, oids, [identity.role]);
  const parts: TablePart[] = [];
  for (const table of tables.values()) {
    try {
      parts.push({ table: table.oid, filters: await compileFilters(pool, identity.role, table, params) });
    } catch (error) {
      if (isAway(error) && !(error instanceof Refused)) throw error;
      throw new SubscriptionError(
        `Unable to subscribe to changes with given parameters. An exception happened so please check your connect parameters: [${describe(params)}]. Exception: ${words(error)}`,
      );
    }
  }
  return parts;
}

class Refused extends Error {}

async function compileFilters(
  pool: pg.Pool,
  role: string,
  table: TableFacts,
  params: ChangeParams,
): Promise<CompiledFilter[]> {
  const columns = new Map(
    table.columns.filter(({ roles }) => roles.includes(role)).map((column) => [column.name, column]),
  );
  const compiled: CompiledFilter[] = [];
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
