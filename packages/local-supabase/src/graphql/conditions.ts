// Writes the SQL of filters and orders.

import { GraphQLError } from "graphql";
import type { Column, Table } from "./catalogue.ts";
import { cursorLength, cursorText, readNodeId } from "./node-id.ts";
import type { Operator } from "./scalars.ts";
import { ident, type Parameters } from "./sql.ts";

const SYMBOLS: Readonly<Record<Exclude<Operator, "in" | "is" | "startsWith">, string>> = {
  eq: "=",
  neq: "<>",
  lt: "<",
  lte: "<=",
  gt: ">",
  gte: ">=",
  like: "like",
  ilike: "ilike",
  regex: "~",
  iregex: "~*",
  contains: "@>",
  containedBy: "<@",
  overlaps: "&&",
};

type Given = Record<string, unknown>;

/** An error of the caller's, in the API's code. */
export const invalid = (message: string): GraphQLError =>
  new GraphQLError(message, { extensions: { code: "VALIDATION_ERROR" } });

/** The condition that a filter sets on the rows of `alias`; `true` where it sets none. */
export function filterSql(table: Table, alias: string, filter: unknown, parameters: Parameters): string {
  if (filter === null || filter === undefined) return "true";
  const conditions: string[] = [];
  for (const [field, given] of Object.entries(filter as Given)) {
    if (given === null || given === undefined) continue;
    const column = table.columns.find((one) => one.field === field && one.select);
    if (column) conditions.push(...columnConditions(column, alias, given as Given, parameters));
    else if (field === "nodeId")
      conditions.push(...nodeIdConditions(table, alias, given as Given, parameters));
    else if (field === "not") {
      if (Object.keys(given).length > 0) conditions.push(`not ${filterSql(table, alias, given, parameters)}`);
    } else {
      const list = listOf(given).map((one) => filterSql(table, alias, one, parameters));
      if (list.length > 0) conditions.push(`(${list.join(field === "or" ? " or " : " and ")})`);
    }
  }
  return conditions.length === 0 ? "true" : `(${conditions.join(" and ")})`;
}

function columnConditions(column: Column, alias: string, given: Given, parameters: Parameters): string[] {
  const value = `${alias}.${ident(column.name)}`;
  return Object.entries(given).flatMap(([operator, operand]) => {
    checkLength(column, operand);
    if (operator === "is") {
      if (operand === null) throw invalid("`is` must be NULL or NOT_NULL");
      return [`${value} is ${operand === "NULL" ? "null" : "not null"}`];
    }
    if (operator === "in" && !Array.isArray(operand))
      return [`${value} = ${parameters.add(operand, column.sqlType)}`];
    if (operator === "in") return [`${value} = any (${parameters.add(operand, `${column.sqlType}[]`)})`];
    if (operator === "startsWith") return [`starts_with(${value}, ${parameters.add(operand, "text")})`];
    const symbol = SYMBOLS[operator as keyof typeof SYMBOLS];
    return [`${value} ${symbol} ${parameters.add(operand, column.sqlType)}`];
  });
}

/** Throws where a text is longer than its column holds: a cast to the column's type would cut it. */
export function checkLength({ maxLength }: Column, value: unknown): void {
  if (maxLength === undefined || typeof value !== "string" || [...value].length <= maxLength) return;
  throw invalid(`Invalid input for String type. Maximum character length ${maxLength}`);
}

function nodeIdConditions(table: Table, alias: string, given: Given, parameters: Parameters): string[] {
  return Object.values(given).map((text) => {
    const id = readNodeId(text);
    if (!id) throw invalid("Invalid value passed to nodeId argument");
    if (id.schema !== table.schema || id.table !== table.name)
      throw invalid("nodeId belongs to a different collection");
    return id.key.length === table.primaryKey.length ? keySql(table, alias, id.key, parameters) : "false";
  });
}

/** The condition that a row's primary key is this. */
export function keySql(table: Table, alias: string, key: readonly unknown[], parameters: Parameters): string {
  return table.primaryKey
    .map(({ name, sqlType }, i) => `${alias}.${ident(name)} = ${parameters.add(textOf(key[i]), sqlType)}`)
    .join(" and ");
}

const textOf = (value: unknown): unknown => (typeof value === "number" ? String(value) : value);

/** One column of an order. */
export interface OrderElement {
  column: Column;
  descending: boolean;
  nullsFirst: boolean;
}

/** The order that `orderBy` asks for; the primary key makes it total. Throws where an element names several fields. */
export function orderOf(table: Table, orderBy: unknown): OrderElement[] {
  const order: OrderElement[] = [];
  for (const element of listOf(orderBy) as (Given | null)[]) {
    const set = Object.entries(element ?? {}).filter(
      ([, direction]) => direction !== null && direction !== undefined,
    );
    if (set.length > 1) throw invalid("Only one field may be named in each element of `orderBy`");
    for (const [field, direction] of set) {
      const column = table.columns.find((one) => one.field === field);
      if (!column || order.some((known) => known.column === column)) continue;
      order.push({
        column,
        descending: String(direction).startsWith("desc"),
        nullsFirst: String(direction).endsWith("first"),
      });
    }
  }
  for (const column of table.primaryKey) {
    if (!order.some((known) => known.column === column))
      order.push({ column, descending: false, nullsFirst: false });
  }
  return order;
}

/** A variable may stand for a list of one, as in pg_graphql. */
export const listOf = (value: unknown): unknown[] =>
  Array.isArray(value) ? value : value === null || value === undefined ? [] : [value];

/** The same order from its end. */
export const reversed = (order: readonly OrderElement[]): OrderElement[] =>
  order.map(({ column, descending, nullsFirst }) => ({
    column,
    descending: !descending,
    nullsFirst: !nullsFirst,
  }));

export const orderSql = (order: readonly OrderElement[], alias: string): string =>
  order
    .map(
      ({ column, descending, nullsFirst }) =>
        `${alias}.${ident(column.name)} ${descending ? "desc" : "asc"} nulls ${nullsFirst ? "first" : "last"}`,
    )
    .join(", ");

/** The condition that a row comes after a cursor in an order. Throws where the cursor is of another order. */
export function afterSql(
  order: readonly OrderElement[],
  alias: string,
  cursor: string,
  parameters: Parameters,
): string {
  if (cursorLength(cursor) !== order.length)
    throw invalid("orderBy clause incompatible with pagination cursor");
  const json = parameters.add(cursorText(cursor), "jsonb");
  return order.reduceRight((rest, { column, descending, nullsFirst }, i) => {
    const value = `${alias}.${ident(column.name)}`;
    const at = `(${json} ->> ${i})::${column.sqlType}`;
    const beyond = `${value} ${descending ? "<" : ">"} ${at}`;
    if (column.notNull) return `(${beyond} or (${value} = ${at} and ${rest}))`;
    const nulls = nullsFirst
      ? `(${value} is not null and ${at} is null)`
      : `(${value} is null and ${at} is not null)`;
    return `(${beyond} or ${nulls} or (${value} is not distinct from ${at} and ${rest}))`;
  }, "false");
}
