// Whether a value passes a filter. Where text decides as surely as the database would, it is decided here;
// "ask" leaves it to the database (patterns, floating point, collations, custom types).
import type { Operator } from "./filters.ts";

/** A filter that the database has checked. */
export interface CompiledFilter {
  column: string;
  op: Operator;
  negate: boolean;
  typeOid: number;
  /** The type's name, schema-qualified where needed. */
  typeName: string;
  /** Of the column, from pg_type.typtype. */
  typeKind: string;
  /** As the client wrote it (for `in` the array literal). */
  value: string;
  /** As the database writes it: what equals it has the same text. One value, or the elements of `in`. */
  canonical: string[];
}

const INTEGERS = new Set([20, 21, 23, 26]);
// bool, int8, name, int2, int4, text, oid, varchar, date, timestamp, timestamptz, uuid: equal values have equal texts.
// Not among them: numeric (1.0 = 1.00), floats (0 = -0), bpchar (trailing spaces), jsonb (1 = 1.0), citext, inet, interval.
const EXACT = new Set([16, 20, 19, 21, 23, 25, 26, 1043, 1082, 1114, 1184, 2950]);

/** Whether equality is equality of texts for this filter's column. */
export function isExact(filter: CompiledFilter): boolean {
  return EXACT.has(filter.typeOid) || filter.typeKind === "e";
}

/**
 * Judges one filter as hosted does (realtime.check_equality_op): a null matches only `is` and `isdistinct`, negated or not.
 */
export function judge(filter: CompiledFilter, value: string | null): boolean | "ask" {
  const { op, negate } = filter;
  if (op === "is") return judgeIs(filter, value) !== negate;
  if (op === "isdistinct") {
    if (value === null) return !negate;
    return isExact(filter) ? (value !== filter.canonical[0]) !== negate : "ask";
  }
  if (value === null) return false;
  const plain = compare(filter, value);
  return plain === "ask" ? plain : plain !== negate;
}

function judgeIs(filter: CompiledFilter, value: string | null): boolean {
  switch (filter.value) {
    case "null":
    case "unknown":
      return value === null;
    case "true":
      return value === "t";
    default:
      return value === "f";
  }
}

function compare(filter: CompiledFilter, value: string): boolean | "ask" {
  const [wanted] = filter.canonical;
  switch (filter.op) {
    case "eq":
      return isExact(filter) ? value === wanted : "ask";
    case "neq":
      return isExact(filter) ? value !== wanted : "ask";
    case "in":
      return isExact(filter) ? filter.canonical.includes(value) : "ask";
    case "lt":
    case "lte":
    case "gt":
    case "gte":
      if (wanted === undefined || !INTEGERS.has(filter.typeOid)) return "ask";
      return order(filter.op, BigInt(value), BigInt(wanted));
    default:
      return "ask";
  }
}

function order(op: "lt" | "lte" | "gt" | "gte", a: bigint, b: bigint): boolean {
  if (op === "lt") return a < b;
  if (op === "lte") return a <= b;
  return op === "gt" ? a > b : a >= b;
}

const SQL_OPERATORS: Record<Operator, string> = {
  eq: "=",
  neq: "<>",
  lt: "<",
  lte: "<=",
  gt: ">",
  gte: ">=",
  in: "= any",
  like: "like",
  ilike: "ilike",
  is: "is",
  match: "~",
  imatch: "~*",
  isdistinct: "is distinct from",
};

/** The SQL that judges one filter for one value; `quote` makes a literal. Null where SQL says null. */
export function judgeSql(filter: CompiledFilter, value: string, quote: (text: string) => string): string {
  const operand = filter.op === "in" ? `${filter.typeName}[]` : filter.typeName;
  const expression = `(${quote(value)}::${filter.typeName} ${SQL_OPERATORS[filter.op]} (${quote(filter.value)}::${operand}))`;
  return filter.negate ? `not ${expression}` : expression;
}
