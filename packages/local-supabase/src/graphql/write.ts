// Writes the SQL of GraphQL mutations.

import type { Column, Table } from "./catalogue.ts";
import { checkLength, filterSql, invalid, listOf } from "./conditions.ts";
import { item, nameOf, Reader, type Statement, WHOLE } from "./read.ts";
import { fieldsOf, type Operation, type Selected } from "./selection.ts";
import { ident, jsonObject, type Parameters } from "./sql.ts";

/** A statement that changes rows: `data` as in a query, and `affected`, how many rows it changed. */
export interface Change extends Statement {
  atMost: number;
  /** What the caller is told where more rows would change. */
  tooMany: string;
}

/** The statement of one root field of a mutation. */
export function mutationStatement(operation: Operation, root: Selected): Change {
  const { meaning, arguments: given } = root;
  const reader = new Reader(operation);
  if (meaning?.kind === "call") {
    const data = reader.call(meaning.call, root);
    const text = `select ${data} as data, 0 as affected`;
    return { text, values: reader.parameters.values, atMost: Number.POSITIVE_INFINITY, tooMany: "" };
  }
  if (meaning?.kind === "insert") {
    const alias = reader.alias();
    const insert = insertSql(meaning.table, alias, listOf(given.objects) as Row[], reader.parameters);
    return {
      ...answer(reader, root, meaning.table, insert, alias),
      atMost: Number.POSITIVE_INFINITY,
      tooMany: "",
    };
  }
  if (meaning?.kind !== "update" && meaning?.kind !== "delete")
    throw new Error(`${root.name} is no mutation`);
  const { table, kind } = meaning;
  const alias = reader.alias();
  const change =
    kind === "update"
      ? `update ${nameOf(table)} ${alias} set ${assignments(table, given.set as Row, reader.parameters)}`
      : `delete from ${nameOf(table)} ${alias}`;
  const where = `where ${filterSql(table, alias, given.filter, reader.parameters)}`;
  return {
    ...answer(reader, root, table, `${change} ${where}`, alias),
    atMost: given.atMost as number,
    tooMany: `${kind} impacts too many records`,
  };
}

type Row = Record<string, unknown>;

function answer(reader: Reader, root: Selected, table: Table, change: string, alias: string): Statement {
  const affected = reader.alias();
  const columns = new Set<string>(table.primaryKey.map(({ name }) => name));
  const pairs: [string, string][] = [];
  for (const inner of fieldsOf(reader.operation, root.type!, root.sets)) {
    if (inner.meaning?.kind === "affectedCount") pairs.push([inner.key, "count(*)"]);
    if (inner.meaning?.kind !== "records") continue;
    const row = reader.row(table, affected, inner.type!, inner.sets, item(affected, WHOLE));
    for (const name of row.columns) columns.add(name);
    pairs.push([inner.key, `coalesce(jsonb_agg(${row.expression}), '[]')`]);
  }
  const returning = [...columns]
    .map((name) => (name === WHOLE ? `${alias} as ${ident(WHOLE)}` : item(alias, name)))
    .join(", ");
  return {
    text: `with affected as (${change} returning ${returning})
      select ${jsonObject(pairs)} as data, count(*) as affected from affected ${affected}`,
    values: reader.parameters.values,
  };
}

function insertSql(table: Table, alias: string, objects: readonly Row[], parameters: Parameters): string {
  if (objects.length === 0) throw invalid("At least one record must be provided to objects");
  const columns = table.columns.filter(({ field, insert }) => insert && objects.some((row) => field in row));
  if (columns.length === 0) {
    if (objects.length === 1) return `insert into ${nameOf(table)} as ${alias} default values`;
    throw invalid("Each of several records must set a field");
  }
  const rows = objects.map((row) => {
    const list = columns.map((column) => (column.field in row ? value(column, row, parameters) : "default"));
    return `(${list.join(", ")})`;
  });
  return `insert into ${nameOf(table)} as ${alias} (${columns.map(({ name }) => ident(name)).join(", ")}) values ${rows.join(", ")}`;
}

function assignments(table: Table, set: Row, parameters: Parameters): string {
  const columns = table.columns.filter(({ field, update }) => update && field in set);
  if (columns.length === 0) throw invalid("At least one mapping must be provided to set argument");
  return columns.map((column) => `${ident(column.name)} = ${value(column, set, parameters)}`).join(", ");
}

function value(column: Column, row: Row, parameters: Parameters): string {
  checkLength(column, row[column.field]);
  return parameters.add(row[column.field], column.sqlType);
}
