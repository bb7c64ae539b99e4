// Builds the payload of a postgres_changes message.

import type { ColumnFacts, TableFacts } from "./catalog.ts";

/** What a change is, apart from who gets it. */
export interface ChangeFacts {
  action: "INSERT" | "UPDATE" | "DELETE";
  schema: string;
  table: string;
  committedAt: Date;
}

/** The JSON texts of a row's values by column name; a column that the log does not carry is missing. */
export type Rendered = Map<string, string>;

/** Values up to this length are sent even of a row that is too large. */
const SMALL_BYTES = 64;

/**
 * The `data` of a postgres_changes message for one role and selection, as JSON text (realtime.apply_rls):
 * columns that the role may not select are left out; an INSERT has no old_record, a DELETE no record; what is left of a
 * deleted row under RLS is its primary key; of an UPDATE's TOASTed columns that did not change the old value is used.
 */
export function dataJson(
  facts: ChangeFacts,
  table: TableFacts,
  row: Rendered,
  old: Rendered,
  view: { role: string; select: string[] | null; tooLarge: boolean },
): string {
  const wanted = table.columns.filter(
    ({ name, roles, isKey }) =>
      roles.includes(view.role) && (view.select === null || isKey || view.select.includes(name)),
  );
  const object = (columns: ColumnFacts[], values: Rendered) => {
    const members = columns.flatMap(({ name }) => {
      const value = values.get(name);
      if (value === undefined || (view.tooLarge && Buffer.byteLength(value) > SMALL_BYTES)) return [];
      return [`${JSON.stringify(name)}:${value}`];
    });
    return `{${members.join(",")}}`;
  };
  const members = [
    head(facts),
    `"columns":${JSON.stringify(wanted.map(({ name, type }) => ({ name, type })))}`,
    `"errors":${view.tooLarge ? '["Error 413: Payload Too Large"]' : "null"}`,
  ];
  if (facts.action !== "DELETE") {
    // A value missing from the new row is an unchanged TOASTed one; the old row has it where the identity is full.
    const whole = new Map(row);
    for (const [name, value] of old) if (!whole.has(name)) whole.set(name, value);
    members.push(`"record":${object(wanted, whole)}`);
  }
  if (facts.action === "UPDATE") members.push(`"old_record":${object(wanted, old)}`);
  if (facts.action === "DELETE") {
    const shown = table.rls ? wanted.filter(({ isKey }) => isKey) : wanted;
    members.push(`"old_record":${object(shown, old)}`);
  }
  return `{${members.join(",")}}`;
}

function head({ schema, table, action, committedAt }: ChangeFacts): string {
  const time = JSON.stringify(committedAt.toISOString());
  return `"schema":${JSON.stringify(schema)},"table":${JSON.stringify(table)},"commit_timestamp":${time},"type":"${action}"`;
}
