// Reads nodeIds and cursors.

import { GraphQLObjectType, type GraphQLSchema } from "graphql";
import type { Table } from "./catalogue.ts";
import { tableOfType } from "./schema.ts";

/** What a nodeId says: base64 of `["schema", "table", …primary key]`. */
export interface NodeId {
  schema: string;
  table: string;
  key: unknown[];
}

/** Reads a nodeId; undefined for a text that is none. */
export function readNodeId(text: unknown): NodeId | undefined {
  if (typeof text !== "string") return undefined;
  const value = readJson(text);
  if (!Array.isArray(value) || value.length < 3) return undefined;
  const [schema, table, ...key] = value as unknown[];
  if (typeof schema !== "string" || typeof table !== "string") return undefined;
  return key.every(isScalar) ? { schema, table, key } : undefined;
}

/** The type and table that a nodeId names, where the role sees them. */
export function typeOfNodeId(
  schema: GraphQLSchema,
  nodeId: unknown,
): { type: GraphQLObjectType; table: Table; id: NodeId } | undefined {
  const id = readNodeId(nodeId);
  if (!id) return undefined;
  for (const type of Object.values(schema.getTypeMap())) {
    if (!(type instanceof GraphQLObjectType)) continue;
    const table = tableOfType(type);
    if (table?.schema === id.schema && table.name === id.table && table.primaryKey.length === id.key.length) {
      return { type, table, id };
    }
  }
  return undefined;
}

/** How many values a cursor holds; undefined for a text that is no cursor. */
export function cursorLength(text: string): number | undefined {
  const value = readJson(text);
  return Array.isArray(value) && value.every(isScalar) ? value.length : undefined;
}

/** A cursor's JSON, as it was written: a number in it may be more than JavaScript can hold. */
export const cursorText = (text: string): string => Buffer.from(text, "base64").toString("utf8");

const isScalar = (value: unknown): boolean => value === null || typeof value !== "object";

function readJson(text: string): unknown {
  try {
    return JSON.parse(cursorText(text));
  } catch {
    return undefined;
  }
}
