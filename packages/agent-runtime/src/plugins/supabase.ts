// @elizaos/plugin-supabase: reads, adds and changes rows of a Supabase project's tables. Row level security decides what the agent's
// key may do; a key that is above it is refused, since anybody may talk to an agent.
import { Buffer } from "node:buffer";
import { describeResponse, type ExchangeResponse } from "../abilities/tools/exchange.ts";
import type { ToolContext } from "../abilities/tools/index.ts";
import { ToolError } from "../abilities/tools/request.ts";
import { asAddress } from "./address.ts";
import type { OwnPlugin, OwnSettings, OwnTool } from "./own.ts";
import { below, describeTool, sendTo } from "./own-tool.ts";

/** Rows that one call may read or change. */
const MAX_ROWS = 100;

const NAME = { type: "string", pattern: "^[A-Za-z_][A-Za-z0-9_]{0,62}$" } as const;
const COMPARED = ["eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike"];
const FILTER = {
  type: "object",
  properties: {
    column: NAME,
    operator: { type: "string", enum: [...COMPARED, "in", "is_null", "not_null"] },
    values: {
      type: "array",
      items: { type: "string", maxLength: 1_000 },
      maxItems: 100,
      description:
        "One text; several for `in`; none for is_null and not_null. In like and ilike, * stands for any text.",
    },
  },
  required: ["column", "operator"],
} as const;
const FILTERS = { type: "array", items: FILTER, maxItems: 20 } as const;
const ROW = { type: "object", additionalProperties: true, description: "Column → value" } as const;

interface Filter {
  readonly column: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

/** What the tools are given, once their schemas have judged it. */
interface Given {
  readonly table: string;
  readonly columns?: readonly string[];
  readonly filters?: readonly Filter[];
  readonly order?: string;
  readonly descending?: boolean;
  readonly limit?: number;
  readonly rows?: readonly object[];
  readonly values?: object;
}

/** Opens the plugin. */
export function openSupabase({ environment, supabaseProject }: OwnSettings): OwnPlugin {
  const none = (problem: string): OwnPlugin => ({ tools: [], problem });
  const key = environment.SUPABASE_ANON_KEY ?? environment.SUPABASE_PUBLISHABLE_KEY;
  const ref = /^[a-z0-9-]{1,63}$/.test(supabaseProject ?? "") ? supabaseProject : undefined;
  const address = environment.SUPABASE_URL ?? (ref && `https://${ref}.supabase.co`);
  if (address === undefined) {
    return none("Set supabase_config.project_ref, or SUPABASE_URL in the agent's environment");
  }
  if (key === undefined) return none("Set SUPABASE_ANON_KEY in the agent's environment");
  const url = asAddress(address);
  if (url === undefined) return none("SUPABASE_URL is not an http(s) address");
  const token = environment.SUPABASE_ACCESS_TOKEN;
  const above = [key, token].find((one) => one !== undefined && isAboveRules(one));
  if (above !== undefined) {
    const name = above === key ? "SUPABASE_ANON_KEY" : "SUPABASE_ACCESS_TOKEN";
    return none(`${name} is above row level security. Set a publishable (anon) key or a user's token`);
  }
  const bearer = token ?? (key.startsWith("ey") ? key : undefined);
  const headers = { apikey: key, ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }) };

  const send = (
    context: ToolContext,
    { table }: Given,
    method: string,
    query: URLSearchParams,
    more: { prefer?: string; body?: unknown } = {},
  ): Promise<ExchangeResponse> => {
    const { prefer, body } = more;
    const all = { ...headers, accept: "application/json", "content-type": "application/json" };
    const request = {
      method,
      headers: prefer === undefined ? all : { ...all, prefer },
      ...(body !== undefined && { body: Buffer.from(JSON.stringify(body)) }),
    };
    return sendTo(below(url, `/rest/v1/${table}?${query}`), request, context);
  };

  const select: OwnTool = {
    ...describe("supabase_select", "GET", "Reads rows of a table of the project's database.", ["table"], {
      columns: { type: "array", items: NAME, maxItems: 100, description: "Left out: all columns." },
      filters: FILTERS,
      order: NAME,
      descending: { type: "boolean" },
      limit: { type: "integer", minimum: 1, maximum: MAX_ROWS, description: "Left out: 20." },
    }),
    async run(arguments_, context) {
      const given = arguments_ as unknown as Given;
      const { columns = [], order, descending = false, limit = 20 } = given;
      const query = filtered(given.filters);
      query.set("select", columns.join(",") || "*");
      query.set("limit", String(limit));
      if (order !== undefined) query.set("order", `${order}.${descending ? "desc" : "asc"}`);
      return asResult(await send(context, given, "GET", query), (rows) => rows);
    },
  };
  const insert: OwnTool = {
    ...describe(
      "supabase_insert",
      "POST",
      "Adds rows to a table of the project's database.",
      ["table", "rows"],
      {
        rows: { type: "array", items: ROW, minItems: 1, maxItems: MAX_ROWS },
      },
    ),
    async run(arguments_, context) {
      const given = arguments_ as unknown as Given;
      const { rows = [] } = given;
      const more = { prefer: "return=minimal", body: rows };
      const response = await send(context, given, "POST", new URLSearchParams(), more);
      return asResult(response, () => `Added ${rows.length}.`);
    },
  };
  const update: OwnTool = {
    ...describe(
      "supabase_update",
      "PATCH",
      `Changes rows of a table of the project's database: those that meet every filter, at most ${MAX_ROWS}.`,
      ["table", "filters", "values"],
      { filters: { ...FILTERS, minItems: 1 }, values: ROW },
    ),
    async run(arguments_, context) {
      const given = arguments_ as unknown as Given;
      const change = (prefer: string) =>
        send(context, given, "PATCH", filtered(given.filters), { prefer, body: given.values });
      const plain = "return=minimal, count=exact";
      let response = await change(`${plain}, handling=strict, max-affected=${MAX_ROWS}`);
      if (response.status === 400 && response.body.includes('"PGRST122"')) {
        // PostgREST before 12.2 does not know max-affected: it is counted first.
        const query = filtered(given.filters);
        query.set("limit", "1");
        const counted = await send(context, given, "HEAD", query, { prefer: "count=exact" });
        const met = countIn(counted);
        if (met === undefined) {
          throw new ToolError(`The rows that these filters meet cannot be counted (HTTP ${counted.status}).`);
        }
        if (met > MAX_ROWS) {
          throw new ToolError(`These filters meet ${met} rows; at most ${MAX_ROWS} may be changed at once.`);
        }
        response = await change(plain);
      }
      const count = countIn(response);
      return asResult(response, () => `Changed ${count ?? "an unknown number"}.`);
    },
  };
  return { tools: [select, insert, update] };
}

/** A tool for one table. */
const describe = (
  name: string,
  method: "GET" | "POST" | "PATCH",
  description: string,
  required: readonly string[],
  properties: Readonly<Record<string, unknown>>,
) => describeTool(name, method, description, required, { table: NAME, ...properties });

/** A refusal as the project words it, else what the call came to. */
const asResult = ({ status, body }: ExchangeResponse, words: (body: string) => string) => ({
  text: status < 300 ? words(body) : describeResponse({ status, body, headers: {} }),
  status,
});

/** How many rows a call met, where the project says it. */
function countIn({ headers }: ExchangeResponse): number | undefined {
  const count = /\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1];
  return count === undefined ? undefined : Number(count);
}

/** Names that mean something else in PostgREST's query; a filter of that name would filter nothing. */
const NO_COLUMNS = new Set([
  "select",
  "order",
  "limit",
  "offset",
  "columns",
  "on_conflict",
  "and",
  "or",
  "not",
]);

/** Filters as PostgREST's query. Throws ToolError. */
export function filtered(filters: readonly Filter[] = []): URLSearchParams {
  const query = new URLSearchParams();
  for (const { column, operator, values = [] } of filters) {
    if (NO_COLUMNS.has(column)) throw new ToolError(`A column named ${column} cannot be filtered by.`);
    query.append(column, condition(operator, values));
  }
  return query;
}

function condition(operator: string, values: readonly string[]): string {
  if (operator === "is_null") return "is.null";
  if (operator === "not_null") return "not.is.null";
  if (operator === "in" && values.length > 0) {
    return `in.(${values.map((value) => `"${value.replaceAll(/["\\]/g, "\\$&")}"`).join(",")})`;
  }
  if (operator === "in" || values.length !== 1) {
    throw new ToolError(`values: ${operator} takes ${operator === "in" ? "at least one" : "exactly one"}.`);
  }
  return `${operator}.${values[0]}`;
}

/** Whether row level security does not hold for a key: a secret key, or a token of service_role. */
function isAboveRules(key: string): boolean {
  if (key.startsWith("sb_secret_")) return true;
  try {
    const payload = JSON.parse(Buffer.from(key.split(".")[1] ?? "", "base64url").toString());
    return payload.role === "service_role" || payload.role === "postgres";
  } catch {
    return false;
  }
}
