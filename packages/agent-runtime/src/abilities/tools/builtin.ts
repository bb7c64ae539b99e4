/** The built-in tools, by the name their implementation gives. */
import { Buffer } from "node:buffer";
import { calculate } from "./calculator.ts";
import type { ToolDefinition } from "./definition.ts";
import { describeResponse } from "./exchange.ts";
import type { Arguments } from "./http-tool.ts";
import type { ToolContext } from "./index.ts";
import { isListed, requestOutside, ToolError } from "./request.ts";

type Builtin = (tool: ToolDefinition, given: Arguments, context: ToolContext) => Promise<string> | string;

export const BUILTINS: Readonly<Record<string, Builtin>> = {
  current_time: (_, given) => currentTime(given.time_zone),
  calculator: (_, given) => String(calculate(String(given.expression))),
  http_request: httpRequest,
  conversation_search: async (_, given, context) =>
    JSON.stringify(
      await context.search(String(given.query), typeof given.limit === "number" ? given.limit : 5),
    ),
};

function currentTime(zone: unknown, now = new Date()): string {
  if (zone === undefined || zone === null || zone === "UTC") return now.toISOString();
  try {
    const format = new Intl.DateTimeFormat("en-GB", {
      timeZone: String(zone),
      dateStyle: "full",
      timeStyle: "long",
    });
    return `${format.format(now)} (${now.toISOString()})`;
  } catch {
    throw new ToolError(`"${String(zone).slice(0, 64)}" is not a time zone.`);
  }
}

async function httpRequest(tool: ToolDefinition, given: Arguments, context: ToolContext): Promise<string> {
  const list = Array.isArray(tool.configuration.allowed_hosts)
    ? tool.configuration.allowed_hosts.filter((host) => typeof host === "string")
    : [];
  const url = URL.parse(String(given.url));
  if (!url) throw new ToolError("That is not a URL.");
  if (!isListed(url, list)) {
    throw new ToolError(
      `The host ${url.host} is not on this agent's allow-list (${list.join(", ") || "empty"}).`,
      "TOOL_NOT_ALLOWED",
    );
  }
  const method = typeof given.method === "string" ? given.method : "GET";
  const body = typeof given.body === "string" && method !== "GET" ? Buffer.from(given.body) : undefined;
  const response = await requestOutside(
    url,
    { method, headers: body ? { "content-type": "application/json" } : {}, body },
    { ...context.limits, mayFollow: (next) => isListed(next, list) },
  );
  return describeResponse(response);
}
