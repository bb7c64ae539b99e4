// What a client may ask of postgres_changes: `column=op.value`, several joined by commas (AND), `not.` negates.
// The grammar and the errors are hosted's (extensions/postgres_cdc_rls/subscriptions.ex).

export const OPERATORS = [
  "eq",
  "neq",
  "lt",
  "lte",
  "gt",
  "gte",
  "in",
  "like",
  "ilike",
  "is",
  "match",
  "imatch",
  "isdistinct",
] as const;
export type Operator = (typeof OPERATORS)[number];

export interface Filter {
  column: string;
  op: Operator;
  /** For `in` an array literal in braces. */
  value: string;
  negate: boolean;
}

export type Action = "*" | "INSERT" | "UPDATE" | "DELETE";

export interface ChangeParams {
  action: Action;
  schema: string;
  table: string;
  filters: Filter[];
  /** The columns asked for; null for all. */
  select: string[] | null;
}

/** Reads one entry of `postgres_changes`; the error is the message that the client gets. */
export function parseChangeParams(params: Record<string, unknown>): ChangeParams | { error: string } {
  const { schema, table, filter } = params;
  const select = parseSelect(params.select);
  if (select !== null && "error" in select) return select;
  const named = { schema: typeof schema === "string", table: typeof table === "string" };
  const has = (key: string) => params[key] !== undefined;
  const base = { action: actionOf(params.event), filters: [] as Filter[], select };
  let result: ChangeParams;
  if (named.schema && named.table && typeof filter === "string") {
    const filters = parseFilters(filter);
    if ("error" in filters) return { error: `Error parsing \`filter\` params: ${filters.error}` };
    result = { ...base, schema: schema as string, table: table as string, filters };
  } else if (named.schema && named.table && !has("filter")) {
    result = { ...base, schema: schema as string, table: table as string };
  } else if (named.schema && !has("table") && !has("filter")) {
    result = { ...base, schema: schema as string, table: "*" };
  } else if (named.table && !has("schema") && !has("filter")) {
    result = { ...base, schema: "public", table: table as string };
  } else {
    const given = "user_token" in params || "auth_token" in params ? "<redacted>" : JSON.stringify(params);
    return {
      error: `No subscription params provided. Please provide at least a \`schema\` or \`table\` to subscribe to: ${given}`,
    };
  }
  if (result.select && (result.schema === "*" || result.table === "*")) {
    return {
      error:
        "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.",
    };
  }
  return result;
}

function parseSelect(select: unknown): string[] | null | { error: string } {
  if (typeof select === "string") {
    return {
      error:
        'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]',
    };
  }
  if (!Array.isArray(select)) return null;
  const names = (select as unknown[]).filter((name) => typeof name === "string");
  return names.length > 0 ? names : null;
}

function actionOf(event: unknown): Action {
  const name = typeof event === "string" ? event.toUpperCase() : "*";
  return name === "INSERT" || name === "UPDATE" || name === "DELETE" ? name : "*";
}

/** Reads a filter string; an empty one is no filter. */
export function parseFilters(text: string): Filter[] | { error: string } {
  const trimmed = text.trim();
  if (trimmed === "") return [];
  const filters: Filter[] = [];
  for (const segment of splitTopLevel(trimmed)) {
    const filter = parseSegment(segment.trim());
    if ("error" in filter) return filter;
    filters.push(filter);
  }
  return filters;
}

/** Splits at commas that stand neither in parentheses nor in a quoted value. */
function splitTopLevel(text: string): string[] {
  const parts: string[] = [];
  let [depth, quoted, from] = [0, false, 0];
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (quoted) {
      if (char === "\\") i += 1;
      else if (char === '"') quoted = false;
    } else if (char === '"' && i > from && /[.(,]/.test(text[i - 1] ?? "")) quoted = true;
    else if (char === "(") depth += 1;
    else if (char === ")") depth = Math.max(0, depth - 1);
    else if (char === "," && depth === 0) {
      parts.push(text.slice(from, i));
      from = i + 1;
    }
  }
  parts.push(text.slice(from));
  return parts;
}

function parseSegment(segment: string): Filter | { error: string } {
  if (segment === "") return { error: "filter must not contain empty segments (check for extra commas)" };
  const equals = segment.indexOf("=");
  if (equals < 0) return { error: `["${segment}"]` };
  const column = segment.slice(0, equals);
  let rest = segment.slice(equals + 1);
  const negate = rest.startsWith("not.");
  if (negate) rest = rest.slice("not.".length);
  const dot = rest.indexOf(".");
  if (dot < 0) return { error: `["${rest}"]` };
  const op = rest.slice(0, dot);
  const raw = rest.slice(dot + 1);
  if (!isOperator(op)) return { error: `["${op}", "${raw}"]` };
  if (op !== "in") return { column, op, value: unquote(raw), negate };
  if (raw.length < 2 || !raw.startsWith("(") || !raw.endsWith(")")) {
    return { error: "`in` filter value must be wrapped by parentheses" };
  }
  return { column, op, value: `{${raw.slice(1, -1)}}`, negate };
}

function isOperator(text: string): text is Operator {
  return OPERATORS.some((known) => known === text);
}

/** A value in double quotes loses them and its backslashes; anything else stays as it is. */
function unquote(value: string): string {
  const inner = /^"((?:[^"\\]|\\.)*)"$/s.exec(value)?.[1];
  return inner === undefined ? value : inner.replaceAll(/\\(.)/gs, "$1");
}
