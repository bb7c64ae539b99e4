// Bounds how much one GraphQL request may ask.

import { GraphQLError, type GraphQLObjectType, Lexer, Source, TokenKind } from "graphql";
import { typeOfNodeId } from "./node-id.ts";
import { fieldsOf, type Operation, type Selected } from "./selection.ts";

/** How much one request may ask. Introspection is not counted: it costs the database nothing. */
export const LIMITS = {
  /** Of the document. */
  tokens: 5000,
  /** Brackets of the document within each other; 20 fields with filters take some 60. */
  nesting: 100,
  /** Fields below each other; a collection takes three (collection, edges, node). */
  depth: 20,
  /** Fields after fragments are put in their places. */
  fields: 2000,
  /** Rows, were every page full. */
  rows: 100_000,
} as const;

/**
 * Throws GraphQLError where the document is nested too deeply, before it is parsed: what reads it afterwards is recursive.
 */
export function checkNesting(query: string): void {
  if ((query.match(/[([{]/g)?.length ?? 0) <= LIMITS.nesting) return;
  const lexer = new Lexer(new Source(query));
  let depth = 0;
  for (let count = 0; count <= LIMITS.tokens; count++) {
    const { kind } = lexer.advance();
    if (kind === TokenKind.EOF) return;
    if (OPENING.has(kind)) depth += 1;
    else if (CLOSING.has(kind)) depth -= 1;
    if (depth > LIMITS.nesting) throw tooMuch(`at most ${LIMITS.nesting} brackets within each other`);
  }
}

const OPENING: ReadonlySet<TokenKind> = new Set([TokenKind.PAREN_L, TokenKind.BRACKET_L, TokenKind.BRACE_L]);
const CLOSING: ReadonlySet<TokenKind> = new Set([TokenKind.PAREN_R, TokenKind.BRACKET_R, TokenKind.BRACE_R]);

/** Throws GraphQLError where an operation asks for more than the limits. */
export function checkLimits(operation: Operation, roots: readonly Selected[]): void {
  let fields = 0;
  const rowsOf = (selected: Selected, depth: number): number => {
    fields += 1;
    if (fields > LIMITS.fields) throw tooMuch(`at most ${LIMITS.fields} fields`);
    if (depth > LIMITS.depth) throw tooMuch(`at most ${LIMITS.depth} fields below each other`);
    let below = 0;
    const type = typeOf(operation, selected);
    for (const inner of type ? fieldsOf(operation, type, selected.sets) : [])
      below += rowsOf(inner, depth + 1);
    const { meaning } = selected;
    if (meaning?.kind === "collection") return below * pageSize(selected.arguments, meaning.table.maxRows);
    if (meaning?.kind === "call" && meaning.call.returns.kind === "rows") {
      return below * pageSize(selected.arguments, meaning.call.returns.table.maxRows);
    }
    if (meaning?.kind === "relation" && !meaning.relation.one) {
      return below * pageSize(selected.arguments, meaning.relation.table.maxRows);
    }
    if (meaning?.kind === "records") return below;
    return meaning?.kind === "edgeNode" || meaning?.kind === "relation" ? below + 1 : below;
  };
  let rows = 0;
  for (const root of roots) {
    rows += rowsOf(root, 1);
    if (rows > LIMITS.rows) throw tooMuch(`at most ${LIMITS.rows} rows, were every page full`);
  }
}

/** How many rows a page has at most. */
export function pageSize(given: Record<string, unknown>, maxRows: number): number {
  const wanted = given.first ?? given.last;
  return typeof wanted === "number" ? Math.max(0, Math.min(wanted, maxRows)) : maxRows;
}

/** The object type that a field gives; of `node`, the one that its id names. */
function typeOf({ schema }: Operation, selected: Selected): GraphQLObjectType | undefined {
  if (selected.meaning?.kind === "node") return typeOfNodeId(schema, selected.arguments.nodeId)?.type;
  return selected.type;
}

const tooMuch = (limit: string) =>
  new GraphQLError(`The query asks for too much: ${limit}`, { extensions: { code: "VALIDATION_ERROR" } });
