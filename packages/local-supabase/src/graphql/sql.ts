// Builds SQL from parameters, identifiers and literals.

import type { ValueType } from "./catalogue.ts";

/** The values of a statement. Whatever a client sends reaches SQL only through here, with the type of its column. */
export class Parameters {
  readonly values: unknown[] = [];

  /** Adds a value; returns what stands for it in the statement. */
  add(value: unknown, sqlType: string): string {
    this.values.push(value);
    return `$${this.values.length}::${sqlType}`;
  }
}

/** An identifier of the catalogue, quoted. */
export const ident = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** A text of ours (a response key, a name of the catalogue) as a literal. */
export const literal = (text: string): string =>
  text.includes("\\")
    ? `E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`
    : `'${text.replaceAll("'", "''")}'`;

/** jsonb_build_object takes 100 arguments. */
const PAIRS = 50;

/** An object of keys and expressions. */
export function jsonObject(pairs: readonly [key: string, expression: string][]): string {
  if (pairs.length === 0) return "'{}'::jsonb";
  const parts: string[] = [];
  for (let i = 0; i < pairs.length; i += PAIRS) {
    const list = pairs.slice(i, i + PAIRS).map(([key, expression]) => `${literal(key)}, ${expression}`);
    parts.push(`jsonb_build_object(${list.join(", ")})`);
  }
  return parts.length === 1 ? parts[0]! : `(${parts.join(" || ")})`;
}

/** A value as GraphQL shows it: what a JSON number would not hold, and JSON itself, as text. */
export function shown(value: string, { scalar, list }: ValueType): string {
  if (scalar === "BigInt" || scalar === "BigFloat") return `${value}::text${list ? "[]" : ""}`;
  if (scalar === "JSON") return list ? `${value}::text[]` : `(${value} #>> '{}')`;
  return value;
}

/** Base64 of a JSON array, as pg_graphql writes cursors and nodeIds. */
export const encoded = (elements: readonly string[]): string =>
  `translate(encode(convert_to(jsonb_build_array(${elements.join(", ")})::text, 'utf-8'), 'base64'), E'\\n', '')`;
