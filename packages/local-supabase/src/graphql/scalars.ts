// The scalar types of the GraphQL schema.

import {
  GraphQLBoolean,
  GraphQLError,
  GraphQLFloat,
  GraphQLID,
  GraphQLInt,
  GraphQLScalarType,
  GraphQLString,
  Kind,
} from "graphql";

export type ScalarName =
  | "Int"
  | "Float"
  | "String"
  | "Boolean"
  | "BigInt"
  | "BigFloat"
  | "Date"
  | "Time"
  | "Datetime"
  | "UUID"
  | "JSON"
  | "Opaque";

const BY_TYPE: Readonly<Record<string, ScalarName>> = {
  bigint: "BigInt",
  boolean: "Boolean",
  date: "Date",
  "timestamp with time zone": "Datetime",
  "timestamp without time zone": "Datetime",
  "double precision": "Float",
  real: "Float",
  integer: "Int",
  smallint: "Int",
  json: "JSON",
  jsonb: "JSON",
  "time without time zone": "Time",
  uuid: "UUID",
  numeric: "BigFloat",
  text: "String",
  character: "String",
  "character varying": "String",
  citext: "String",
};

/** The scalar that shows a type of PostgreSQL, as pg_graphql has it. */
export const scalarOf = (sqlType: string): ScalarName => BY_TYPE[sqlType] ?? "Opaque";

/** A scalar whose values are texts; `accepts` says what may come in. */
function textual(
  name: string,
  description: string,
  accepts: (value: string) => boolean,
  what: string,
  { numbers = true, refusal = `${name} must be ${what}` } = {},
) {
  const parse = (value: unknown): string => {
    const text = numbers && (typeof value === "bigint" || typeof value === "number") ? String(value) : value;
    if (typeof text !== "string" || !accepts(text)) throw new GraphQLError(refusal);
    return text;
  };
  return new GraphQLScalarType({
    name,
    description,
    serialize: (value) => value,
    parseValue: parse,
    parseLiteral(node) {
      if (node.kind === Kind.STRING || (numbers && (node.kind === Kind.INT || node.kind === Kind.FLOAT)))
        return parse(node.value);
      throw new GraphQLError(refusal, { nodes: node });
    },
  });
}

const any = () => true;

export const Cursor = textual("Cursor", "An opaque cursor for paging through a collection", any, "a cursor");

const own = {
  BigInt: textual(
    "BigInt",
    "An arbitrary size integer represented as a string",
    (v) => /^-?\d{1,40}$/.test(v),
    "an integer, as text or number",
  ),
  BigFloat: textual(
    "BigFloat",
    "A high precision floating point value represented as a string",
    (v) => /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(v),
    "a number, as text",
    { numbers: false, refusal: "Invalid input for BigFloat type. String required" },
  ),
  Date: textual("Date", "A date without time information", any, "a date such as 2026-01-15"),
  Time: textual("Time", "A time without date information", any, "a time such as 10:30:00"),
  Datetime: textual("Datetime", "A date and time", any, "a time such as 2026-01-15T10:30:00Z"),
  UUID: textual(
    "UUID",
    "A universally unique identifier",
    (v) => /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(v),
    "a UUID",
  ),
  JSON: textual(
    "JSON",
    "A Javascript Object Notation value serialized as a string",
    isJson,
    `a string that holds a JSON document, such as "{\\"temperature\\": 0.7}"`,
  ),
  Opaque: textual("Opaque", "Any type not handled by the type system", any, "text"),
};

export const SCALARS: Readonly<Record<ScalarName | "ID", GraphQLScalarType>> = {
  ...own,
  Int: GraphQLInt,
  Float: GraphQLFloat,
  String: GraphQLString,
  Boolean: GraphQLBoolean,
  ID: GraphQLID,
};

const ORDERED = ["eq", "neq", "lt", "lte", "gt", "gte", "in", "is"] as const;
export type Operator =
  | (typeof ORDERED)[number]
  | "startsWith"
  | "like"
  | "ilike"
  | "regex"
  | "iregex"
  | "contains"
  | "containedBy"
  | "overlaps";

/** What a column of this kind can be filtered by; nothing: not at all. */
export function operatorsOf(scalar: ScalarName | "Enum", list: boolean): readonly Operator[] {
  if (list) return ["contains", "containedBy", "overlaps", "eq", "is"];
  switch (scalar) {
    case "JSON":
      return [];
    case "UUID":
    case "Enum":
      return ["eq", "neq", "in", "is"];
    case "Boolean":
    case "Opaque":
      return ["eq", "is"];
    case "String":
      return [...ORDERED, "startsWith", "like", "ilike", "regex", "iregex"];
    default:
      return ORDERED;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
