// Writes the SQL of GraphQL queries.

import type { GraphQLObjectType } from "graphql";
import type { Relation, Table } from "./catalogue.ts";
import {
  afterSql,
  filterSql,
  invalid,
  keySql,
  type OrderElement,
  orderOf,
  orderSql,
  reversed,
} from "./conditions.ts";
import type { Callable } from "./functions.ts";
import { pageSize } from "./limits.ts";
import { typeOfNodeId } from "./node-id.ts";
import { TYPE_KEY } from "./schema.ts";
import { fieldsOf, type Operation, type Selected } from "./selection.ts";
import { encoded, ident, jsonObject, literal, Parameters, shown } from "./sql.ts";

/** A statement that gives one row with one column `data`, JSON keyed as the answer is. */
export interface Statement {
  text: string;
  values: unknown[];
}

/** Writes SQL for what one operation selects. */
export class Reader {
  readonly operation: Operation;
  readonly parameters = new Parameters();
  #aliases = 0;

  constructor(operation: Operation) {
    this.operation = operation;
  }

  /** A row as an object; also says which of its columns that needs. `whole`: the row as a value of its table's type. */
  row(
    table: Table,
    alias: string,
    type: GraphQLObjectType,
    sets: Selected["sets"],
    whole = alias,
  ): { expression: string; columns: Set<string> } {
    const columns = new Set<string>();
    const pairs: [string, string][] = [];
    for (const selected of fieldsOf(this.operation, type, sets)) {
      const { key, meaning } = selected;
      if (meaning?.kind === "column") {
        columns.add(meaning.column.name);
        pairs.push([key, shown(item(alias, meaning.column.name), meaning.column)]);
      } else if (meaning?.kind === "nodeId") {
        for (const { name } of table.primaryKey) columns.add(name);
        pairs.push([key, nodeIdSql(table, alias)]);
      } else if (meaning?.kind === "relation") {
        for (const [own] of meaning.relation.columns) columns.add(own);
        pairs.push([key, this.#related(meaning.relation, alias, selected)]);
      } else if (meaning?.kind === "call") {
        columns.add(WHOLE);
        pairs.push([key, this.call(meaning.call, selected, whole)]);
      }
    }
    return { expression: jsonObject(pairs), columns };
  }

  #related(relation: Relation, alias: string, selected: Selected): string {
    const { table, columns } = relation;
    const join = (other: string) =>
      columns.map(([own, theirs]) => `${other}.${ident(theirs)} = ${alias}.${ident(own)}`).join(" and ");
    return relation.one ? this.one(table, selected, join) : this.collection(table, selected, join);
  }

  /** What a function gives: of its arguments, or of a row. */
  call(call: Callable, selected: Selected, row?: string): string {
    const given = selected.arguments;
    const args = call.args
      .filter(({ field }) => given[field] !== undefined)
      .map((arg) => `${ident(arg.name)} => ${this.parameters.add(given[arg.field], arg.sqlType)}`);
    const called = `${ident(call.schema)}.${ident(call.name)}(${row ?? args.join(", ")})`;
    const { returns } = call;
    if (returns.kind === "rows") {
      const source = this.alias();
      // Called once, whatever is asked of its rows.
      const rows = `with ${source} as materialized (select f as ${ident(WHOLE)}, f.* from ${called} f)`;
      return this.collection(returns.table, selected, undefined, { rows, name: source });
    }
    const alias = this.alias();
    if (returns.kind === "row") {
      const { expression } = this.row(returns.table, alias, selected.type!, selected.sets);
      return `(select ${expression} from ${called} ${alias} where not (${alias} is null) limit 1)`;
    }
    if (returns.kind === "value" && !returns.set) return `to_jsonb(${shown(called, returns)})`;
    const value = shown(`${alias}.v`, returns);
    return `(select coalesce(jsonb_agg(${value} order by ${alias}.n), '[]') from ${called} with ordinality ${alias} (v, n))`;
  }

  /** The one row that `condition` is true of, or null. */
  one(table: Table, selected: Selected, condition: (alias: string) => string): string {
    const alias = this.alias();
    const { expression } = this.row(table, alias, selected.type!, selected.sets);
    return `(select ${expression} from ${nameOf(table)} ${alias} where ${condition(alias)} limit 1)`;
  }

  /** One page of a table's rows, as a connection. */
  collection(
    table: Table,
    selected: Selected,
    join: (alias: string) => string = () => "true",
    source?: { rows: string; name: string },
  ): string {
    const from = source?.name ?? nameOf(table);
    const given = selected.arguments;
    checkPaging(given);
    const backward = isGiven(given.last) || isGiven(given.before);
    const order = orderOf(table, given.orderBy);
    const walked = backward ? reversed(order) : order;
    const cursor = (backward ? given.before : given.after) as string | null | undefined;
    const size = pageSize(given, table.maxRows);
    const alias = this.alias();
    const rows = (other: string) =>
      `${join(other)} and ${filterSql(table, other, given.filter, this.parameters)}`;
    const beyond = (other: string) =>
      isGiven(cursor) ? afterSql(walked, other, cursor, this.parameters) : "true";
    const offset = isGiven(given.offset) ? (given.offset as number) : 0;

    // The page and one row more, which tells whether there is another page.
    const page = this.alias();
    const { pairs, columns } = this.#connection(table, selected, page, order, backward, size, {
      before: () => this.#before(from, walked, cursor, rows, offset),
      of: (expression) => {
        const other = this.alias();
        return `(select ${expression(other)} from ${from} ${other} where ${rows(other)})`;
      },
    });
    for (const { column } of order) columns.add(column.name);
    const list = [...columns]
      .map((name) => (name === WHOLE && !source ? `${alias} as ${ident(WHOLE)}` : item(alias, name)))
      .join(", ");
    const bounds = `limit ${size + 1}${offset > 0 ? ` offset ${offset}` : ""}`;
    const walk = `select ${list} from ${from} ${alias} where ${rows(alias)} and ${beyond(alias)}`;
    const numbered = `select *, row_number() over () as "#n" from (${walk} order by ${orderSql(walked, alias)} ${bounds}) ${alias}`;
    // One row, also where nothing that is asked for (`totalCount`) adds up the page's rows.
    return `(${source ? `${source.rows} ` : ""}select ${jsonObject(pairs)} from (${numbered}) ${page} having true)`;
  }

  #connection(
    table: Table,
    selected: Selected,
    page: string,
    order: readonly OrderElement[],
    backward: boolean,
    size: number,
    ask: { before: () => string; of: (expression: (alias: string) => string) => string },
  ): { pairs: [string, string][]; columns: Set<string> } {
    const columns = new Set<string>();
    const number = `${page}."#n"`;
    const sequence = `${number} ${backward ? "desc" : "asc"}`;
    const cursor = cursorSql(page, order);
    const on = (aggregate: string) => `${aggregate} filter (where ${number} <= ${size})`;
    const pairs: [string, string][] = [];
    for (const inner of fieldsOf(this.operation, selected.type!, selected.sets)) {
      if (inner.meaning?.kind === "edges") {
        const edge = this.#edge(table, page, cursor, inner);
        for (const name of edge.columns) columns.add(name);
        pairs.push([
          inner.key,
          `coalesce(${on(`jsonb_agg(${edge.expression} order by ${sequence})`)}, '[]')`,
        ]);
      } else if (inner.meaning?.kind === "totalCount") {
        pairs.push([inner.key, ask.of(() => "count(*)")]);
      } else if (inner.meaning?.kind === "aggregate") {
        const aggregated = fieldsOf(this.operation, inner.type!, inner.sets);
        pairs.push([inner.key, ask.of((alias) => this.#aggregates(alias, aggregated))]);
      } else if (inner.meaning?.kind === "pageInfo") {
        const more = `coalesce(max(${number}) > ${size}, false)`;
        const facts: Record<string, () => string> = {
          hasNextPage: () => (backward ? ask.before() : more),
          hasPreviousPage: () => (backward ? more : ask.before()),
          startCursor: () => `(${on(`array_agg(${cursor} order by ${sequence})`)})[1]`,
          endCursor: () =>
            `(${on(`array_agg(${cursor} order by ${number} ${backward ? "asc" : "desc"})`)})[1]`,
        };
        const info = fieldsOf(this.operation, inner.type!, inner.sets);
        pairs.push([inner.key, jsonObject(info.map(({ key, name }) => [key, facts[name]!()]))]);
      }
    }
    return { pairs, columns };
  }

  #aggregates(alias: string, selected: readonly Selected[]): string {
    const pairs = selected.map((one): [string, string] => {
      const { meaning } = one;
      if (meaning?.kind !== "aggregated") return [one.key, "count(*)"];
      const values = fieldsOf(this.operation, one.type!, one.sets).flatMap((inner): [string, string][] =>
        inner.meaning?.kind === "column"
          ? [[inner.key, `${meaning.operation}(${item(alias, inner.meaning.column.name)})`]]
          : [],
      );
      return [one.key, jsonObject(values)];
    });
    return jsonObject(pairs);
  }

  #edge(
    table: Table,
    page: string,
    cursor: string,
    edges: Selected,
  ): { expression: string; columns: Set<string> } {
    const columns = new Set<string>();
    const pairs = fieldsOf(this.operation, edges.type!, edges.sets).map((inner): [string, string] => {
      if (inner.meaning?.kind === "cursor") return [inner.key, cursor];
      const node = this.row(table, page, inner.type!, inner.sets, item(page, WHOLE));
      for (const name of node.columns) columns.add(name);
      return [inner.key, node.expression];
    });
    return { expression: jsonObject(pairs), columns };
  }

  /** Whether rows lie before the page, in the direction in which it is walked. */
  #before(
    from: string,
    walked: readonly OrderElement[],
    cursor: string | null | undefined,
    rows: (alias: string) => string,
    offset: number,
  ): string {
    if (!isGiven(cursor) && offset === 0) return "false";
    const other = this.alias();
    const passed =
      isGiven(cursor) && offset === 0
        ? `${afterSql(walked, other, cursor, this.parameters)} is not true`
        : "true";
    return `exists (select from ${from} ${other} where ${rows(other)} and ${passed})`;
  }

  alias(): string {
    this.#aliases += 1;
    return `t${this.#aliases}`;
  }
}

/** The statement of one root field of a query. */
export function queryStatement(operation: Operation, root: Selected): Statement {
  const reader = new Reader(operation);
  const { meaning } = root;
  let data = "null::jsonb";
  if (meaning?.kind === "call") data = reader.call(meaning.call, root);
  else if (meaning?.kind === "collection") data = reader.collection(meaning.table, root);
  else if (meaning?.kind === "byPk") {
    const key = meaning.table.primaryKey.map(({ field }) => root.arguments[field]);
    data = reader.one(meaning.table, root, (alias) => keySql(meaning.table, alias, key, reader.parameters));
  } else if (meaning?.kind === "node") {
    const found = typeOfNodeId(operation.schema, root.arguments.nodeId);
    if (!found) throw invalid("Invalid value passed to nodeId argument");
    const { type, table, id } = found;
    const row = reader.one(table, { ...root, type }, (alias) =>
      keySql(table, alias, id.key, reader.parameters),
    );
    data = `(${row} || jsonb_build_object(${literal(TYPE_KEY)}, ${literal(type.name)}))`;
  }
  return { text: `select ${data} as data`, values: reader.parameters.values };
}

/** Among the columns of a page, what holds the whole row. */
export const WHOLE = "#row";

export const item = (alias: string, column: string): string => `${alias}.${ident(column)}`;

export const nameOf = (table: Table): string => `${ident(table.schema)}.${ident(table.name)}`;

function nodeIdSql(table: Table, alias: string): string {
  const key = table.primaryKey.map(({ name }) => `to_jsonb(${alias}.${ident(name)})`);
  return encoded([`${literal(table.schema)}::text`, `${literal(table.name)}::text`, ...key]);
}

const cursorSql = (alias: string, order: readonly OrderElement[]): string =>
  encoded(order.map(({ column }) => `to_jsonb(${alias}.${ident(column.name)})`));

const isGiven = <T>(value: T): value is NonNullable<T> => value !== null && value !== undefined;

function checkPaging(given: Record<string, unknown>): void {
  for (const name of ["first", "last", "offset"]) {
    if (isGiven(given[name]) && (given[name] as number) < 0)
      throw invalid(`\`${name}\` must be an unsigned integer`);
  }
  if (isGiven(given.first) && isGiven(given.last))
    throw invalid('only one of "first" and "last" may be provided');
  if (isGiven(given.before) && isGiven(given.after))
    throw invalid('only one of "before" and "after" may be provided');
  if (isGiven(given.first) && isGiven(given.before)) throw invalid('"first" may only be used with "after"');
  if (isGiven(given.last) && isGiven(given.after)) throw invalid('"last" may only be used with "before"');
  if (isGiven(given.offset) && (isGiven(given.last) || isGiven(given.before))) {
    throw invalid('"offset" may only be used with "first" and "after"');
  }
}
