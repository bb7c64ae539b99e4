// Says which functions of the database GraphQL shows, as fields of Query, Mutation or a table's type.

import type { Table, ValueType } from "./catalogue.ts";
import type { RawFunction, RawType } from "./catalogue-rows.ts";
import { directive, fieldName, isName, lowerFirst } from "./names.ts";

/** An argument of a function. */
export interface CallArgument extends ValueType {
  name: string;
  field: string;
  /** The type that a value is cast to. */
  sqlType: string;
  /** Whether the function has a value for it where it is left out. */
  optional: boolean;
}

/** A function as GraphQL shows it. */
export interface Callable {
  schema: string;
  name: string;
  field: string;
  description: string | undefined;
  volatile: boolean;
  /** None where the function's argument is the row that it is a field of. */
  args: CallArgument[];
  returns:
    | ({ kind: "value"; set: boolean } & ValueType)
    | { kind: "row"; table: Table }
    | { kind: "rows"; table: Table };
}

/**
 * Sorts the functions of `public` as pg_graphql does: those of one row of a table are its fields, the others are root fields.
 * Pure. Left out: overloaded root functions, arguments without a name, and types that GraphQL cannot carry.
 */
export function callablesOf(
  functions: readonly RawFunction[],
  inflect: boolean,
  tableOf: (oid: number) => Table | undefined,
  valueTypeOf: (type: RawType) => ValueType,
): { roots: Callable[]; computed: { oid: number; call: Callable }[] } {
  const roots: Callable[] = [];
  const computed: { oid: number; call: Callable }[] = [];
  for (const raw of functions) {
    const returns = returnsOf(raw, tableOf, valueTypeOf);
    if (!returns) continue;
    const { name: given, description } = directive(raw.comment);
    const call: Callable = {
      schema: "public",
      name: raw.name,
      field: typeof given === "string" ? given : lowerFirst(fieldName(raw.name.replace(/^_/, ""), inflect)),
      description: typeof description === "string" ? description : undefined,
      volatile: raw.volatile,
      args: [],
      returns,
    };
    const args = raw.args ?? [];
    const row = args.length === 1 ? args[0]?.row_of : undefined;
    if (row) {
      computed.push({ oid: row, call });
      continue;
    }
    const overloaded = functions.some((other) => other !== raw && other.name === raw.name);
    const enumOut = returns.kind === "value" && returns.enumeration !== undefined;
    const named = args.every(({ name, kind, enum: oid }) => name !== "" && isPlain(kind) && oid === null);
    if (overloaded || enumOut || !named || !isName(call.field)) continue;
    call.args = args.map((arg, i) => ({
      ...valueTypeOf(arg),
      name: arg.name,
      field: lowerFirst(fieldName(arg.name, inflect)),
      sqlType: arg.cast,
      optional: i >= args.length - raw.defaults,
    }));
    const fields = new Set(call.args.map(({ field }) => field));
    if (fields.size === args.length && [...fields].every(isName)) roots.push(call);
  }
  return { roots, computed };
}

function returnsOf(
  { returns, set, rows }: RawFunction,
  tableOf: (oid: number) => Table | undefined,
  valueTypeOf: (type: RawType) => ValueType,
): Callable["returns"] | undefined {
  if (returns.row_of !== null) {
    const table = tableOf(returns.row_of);
    // A function that says it gives one row gives one.
    return table && { kind: set && rows !== 1 ? "rows" : "row", table };
  }
  if (!isPlain(returns.kind) && returns.enum === null) return undefined;
  const value = valueTypeOf(returns);
  return set && value.list ? undefined : { kind: "value", set, ...value };
}

/** Whether it is a type of single values: not a row, a pseudo-type, an enum or a type of several ranges. */
const isPlain = (kind: string): boolean => kind === "b" || kind === "d" || kind === "r";
