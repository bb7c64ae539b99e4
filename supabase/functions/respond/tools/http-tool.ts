/** A user's HTTP tool: from its definition, configuration, secret and arguments to a request. */
import { Buffer } from "node:buffer";
import type { TaskTool } from "../task.ts";
import type { ExchangeRequest } from "./exchange.ts";
import { ToolError } from "./request.ts";

export type Arguments = Readonly<Record<string, unknown>>;

const PLACEHOLDER = /\{\{\s*([A-Za-z_][A-Za-z0-9_.]*)\s*\}\}/g;

/** Arguments with the configuration's default_<argument> where the model gave none. */
export function withDefaults(tool: TaskTool, given: Arguments): Arguments {
  const properties = (tool.inputSchema.properties ?? {}) as Record<string, unknown>;
  const result: Record<string, unknown> = { ...given };
  for (const [key, value] of Object.entries(tool.configuration)) {
    const name = key.startsWith("default_") ? key.slice("default_".length) : undefined;
    if (name !== undefined && name in properties && !(name in result)) result[name] = value;
  }
  return result;
}

/**
 * Makes the request. `{{api_key}}` stands for the secret, `{{name}}` for an argument; in the URL they are encoded and can
 * only stand behind the host. Arguments that the URL does not take go into the query (GET, DELETE) or a JSON body.
 * A secret that no placeholder names goes as a bearer token.
 * @throws ToolError when a placeholder has no value
 */
export function composeRequest(tool: TaskTool, given: Arguments): { url: URL; request: ExchangeRequest } {
  const { implementation, configuration, secret } = tool;
  const method = implementation.method ?? "GET";
  const used = new Set<string>();
  let secretPlaced = false;
  const fill = (template: string, encode: (text: string) => string) =>
    template.replaceAll(PLACEHOLDER, (_, name: string) => {
      if (name === "api_key") {
        secretPlaced = true;
        if (typeof secret !== "string") throw missingSecret(configuration.api_key_ref);
        return encode(secret);
      }
      used.add(name);
      const value = given[name];
      if (value === undefined || value === null) throw new ToolError(`The argument ${name} is missing.`);
      return encode(typeof value === "string" ? value : JSON.stringify(value));
    });

  const filled = fill(implementation.url ?? "", encodeURIComponent);
  const url = URL.parse(filled);
  const template = URL.parse((implementation.url ?? "").replaceAll(PLACEHOLDER, "x"));
  // `..` in an argument must not leave the path that the tool's owner wrote.
  if (!url || !template || url.host !== template.host || depth(url) !== depth(template)) {
    throw new ToolError("The arguments do not fit the tool's URL.");
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(implementation.headers ?? {})) {
    headers[name.toLowerCase()] = fill(value, (text) => text.replaceAll(/[^\x20-\x7e]/g, ""));
  }
  if (configuration.api_key_ref !== undefined && !secretPlaced) {
    if (typeof secret !== "string") throw missingSecret(configuration.api_key_ref);
    headers.authorization ??= `Bearer ${secret.replaceAll(/[^\x21-\x7e]/g, "")}`;
  }
  const rest = Object.entries(given).filter(([name]) => !used.has(name));
  if (method === "GET" || method === "DELETE") {
    for (const [name, value] of rest) {
      url.searchParams.set(name, typeof value === "string" ? value : JSON.stringify(value));
    }
    return { url, request: { method, headers } };
  }
  headers["content-type"] ??= "application/json";
  return { url, request: { method, headers, body: Buffer.from(JSON.stringify(Object.fromEntries(rest))) } };
}

const depth = (url: URL) => url.pathname.split("/").length;

const missingSecret = (name: unknown) =>
  new ToolError(`The secret ${typeof name === "string" ? name : "of this tool"} is not set.`);
