// Says which columns of a table can be summed up, and what comes of it.

import type { Column, Table } from "./catalogue.ts";
import type { ScalarName } from "./scalars.ts";

export const AGGREGATE_OPERATIONS = ["sum", "avg", "min", "max"] as const;
export type AggregateOperation = (typeof AGGREGATE_OPERATIONS)[number];

const NUMERIC: ReadonlySet<ScalarName> = new Set(["Int", "BigInt", "Float", "BigFloat"]);
const COMPARABLE: ReadonlySet<ScalarName> = new Set([...NUMERIC, "String", "Date", "Time", "Datetime"]);

/** The columns that an operation works on. */
export function aggregateColumns(table: Table, operation: AggregateOperation): Column[] {
  const scalars = operation === "sum" || operation === "avg" ? NUMERIC : COMPARABLE;
  return table.columns.filter(({ select, list, scalar }) => select && !list && scalars.has(scalar));
}

/** What an operation makes of a column's values. */
export function aggregateScalar({ scalar }: Column, operation: AggregateOperation): ScalarName {
  if (operation === "avg") return "BigFloat";
  if (operation === "sum") return scalar === "Int" ? "BigInt" : "BigFloat";
  return scalar === "Float" ? "BigFloat" : scalar;
}
