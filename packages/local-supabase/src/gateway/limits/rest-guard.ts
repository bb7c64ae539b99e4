// Rejects requests that would change every row of a table.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { JwtKeys } from "../../jwt-keys.ts";
import { judgeToken } from "../../tokens.ts";
import { sendJson } from "../replies.ts";
import { bearerOf } from "../well-formed.ts";
import type { RestLimit, Verdict } from "./rest-limit.ts";

/** PostgREST's parameters that choose no rows. */
const NOT_A_FILTER = new Set(["select", "columns", "order", "limit", "offset", "on_conflict", "apikey"]);

/**
 * Whether a request changes or deletes every row of a table. Hosted loads the extension `safeupdate`, which refuses
 * that; it is C code, so here the gateway does. Takes the canonical path and query, which PostgREST gets, too.
 */
export function changesEveryRow(method: string | undefined, target: string): boolean {
  if (method !== "PATCH" && method !== "DELETE") return false;
  const [path = "", search] = target.split("?", 2);
  if (path === "/" || path.startsWith("/rpc/")) return false;
  for (const name of new URLSearchParams(search ?? "").keys()) if (choosesRows(name)) return false;
  return true;
}

/** Whether a parameter is a filter of the table itself: `tools.id` chooses among the embedded rows alone. */
function choosesRows(name: string): boolean {
  if (name === "" || NOT_A_FILTER.has(name)) return false;
  if (/^(not\.)?(and|or)$/.test(name)) return true;
  const [column = ""] = name.replace(/"[^"]*"/g, "quoted").split("->", 1);
  return !column.includes(".");
}

/**
 * Refuses what PostgREST itself cannot: a change without a filter, and reads beyond a user's budget.
 * @returns whether the request has been answered
 */
export function refuseRest(
  request: IncomingMessage,
  response: ServerResponse,
  target: string,
  authorization: string | undefined,
  { limit, jwtKeys }: { limit: RestLimit; jwtKeys: JwtKeys },
): boolean {
  if (changesEveryRow(request.method, target)) {
    const verb = request.method === "PATCH" ? "UPDATE" : "DELETE";
    sendJson(response, 400, {
      code: "21000",
      details: null,
      hint: null,
      message: `${verb} requires a WHERE clause`,
    });
    return true;
  }
  if (request.method !== "GET" && request.method !== "HEAD") return false;
  const judged = judgeToken(bearerOf(authorization) ?? "", jwtKeys);
  // A forged or anonymous caller spends nobody's budget: PostgREST answers.
  if (!judged?.genuine || judged.claims.role !== "authenticated" || !isUuid(judged.claims.sub)) return false;
  const verdict = limit.read(judged.claims.sub);
  if (!verdict) return false;
  const headers = headersOf(verdict);
  if (verdict.allowed) {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    return false;
  }
  const details = {
    limit_type: "supabase_queries",
    limit: verdict.limit,
    user_id: judged.claims.sub,
    reset_time: new Date(verdict.reset * 1000).toISOString(),
  };
  const retryAfter = String(Math.max(1, verdict.reset - Math.floor(Date.now() / 1000)));
  sendJson(
    response,
    429,
    {
      code: "RATE_LIMIT_EXCEEDED",
      details: JSON.stringify(details),
      hint: null,
      message: "Rate limit exceeded",
    },
    { ...headers, "retry-after": retryAfter },
  );
  return true;
}

function headersOf({ limit, used, reset }: Verdict): Record<string, string> {
  const remaining = String(Math.max(0, limit - used));
  return {
    "x-ratelimit-limit": String(limit),
    "x-ratelimit-remaining": remaining,
    "x-ratelimit-reset": String(reset),
    "supabase-ratelimit-remaining": remaining,
  };
}

function isUuid(text: string | undefined): text is string {
  return text !== undefined && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}
