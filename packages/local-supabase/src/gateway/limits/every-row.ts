/** Refuses requests that would change every row of a table, as hosted's database does. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { sendJson } from "../replies.ts";

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
 * Refuses a change without a filter.
 * @param target the canonical path and query
 * @returns whether the request has been answered
 */
export function refuseEveryRow(request: IncomingMessage, response: ServerResponse, target: string): boolean {
  if (!changesEveryRow(request.method, target)) return false;
  const verb = request.method === "PATCH" ? "UPDATE" : "DELETE";
  sendJson(response, 400, {
    code: "21000",
    details: null,
    hint: null,
    message: `${verb} requires a WHERE clause`,
  });
  return true;
}
