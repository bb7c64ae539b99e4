/** A user's HTTP tool: from its definition, configuration, secret and arguments to a request. */
import { Buffer } from "node:buffer";
import type { ToolDefinition } from "./definition.ts";
import type { ExchangeRequest } from "./exchange.ts";
import { ToolError } from "./request.ts";

export type Arguments = Readonly<Record<string, unknown>>;

/** `{{name}}`, with any property name. private.tool_placeholders reads the same from a stored tool. */
const PLACEHOLDER = /\{\{\s*([^{}\s](?:[^{}]*[^{}\s])?)\s*\}\}/g;
const FORM = "application/x-www-form-urlencoded";

/** Arguments with the configuration's default_<argument> where the model gave none. */
export function withDefaults(tool: ToolDefinition, given: Arguments): Arguments {
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
 * only stand behind the host. An argument that is absent or null is left out: with the query parameter or header that names
 * it. Arguments without a placeholder go into the query (GET, DELETE) or the body, in the form that the content type
 * says; a list in a query or form becomes one entry per item. A secret that no placeholder names goes as a bearer token.
 * @throws ToolError when the path names an argument without a value, or the secret is not set
 */
export function composeRequest(
  tool: ToolDefinition,
  given: Arguments,
): { url: URL; request: ExchangeRequest } {
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
      if (isAbsent(value)) throw new ToolError(`The argument ${name} is missing.`);
      return encode(asText(value));
    });

  const url = fillUrl(implementation.url ?? "", given, (part) => fill(part, encodeURIComponent));
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(implementation.headers ?? {})) {
    if (namesAbsent(value, given)) continue;
    headers[name.toLowerCase()] = fill(value, (text) => text.replaceAll(/[^\x20-\x7e]/g, ""));
  }
  if (configuration.api_key_ref !== undefined && !secretPlaced) {
    if (typeof secret !== "string") throw missingSecret(configuration.api_key_ref);
    headers.authorization ??= `Bearer ${secret.replaceAll(/[^\x21-\x7e]/g, "")}`;
  }
  const rest = Object.entries(given).filter(([name]) => !used.has(name));
  if (method === "GET" || method === "DELETE") {
    for (const [name, value] of pairs(rest)) url.searchParams.append(name, value);
    return { url, request: { method, headers } };
  }
  headers["content-type"] ??= "application/json";
  const text = headers["content-type"].toLowerCase().startsWith(FORM)
    ? String(new URLSearchParams(pairs(rest)))
    : JSON.stringify(Object.fromEntries(rest));
  return { url, request: { method, headers, body: Buffer.from(text) } };
}

/**
 * Fills the URL's parts one by one, so that a query parameter whose argument is absent can be left out.
 * @throws ToolError when an argument would leave the path that the tool's owner wrote
 */
function fillUrl(template: string, given: Arguments, fill: (part: string) => string): URL {
  const [, base = "", query, fragment = ""] = /^([^?#]*)(?:\?([^#]*))?(#.*)?$/s.exec(template) ?? [];
  const kept = query?.split("&").filter((parameter) => !namesAbsent(parameter, given));
  const url = URL.parse(fill(base) + (kept?.length ? `?${kept.map(fill).join("&")}` : "") + fill(fragment));
  const plain = URL.parse(base.replaceAll(PLACEHOLDER, "x"));
  // `..` in an argument must not climb out of the path.
  if (!url || !plain || url.host !== plain.host || depth(url) !== depth(plain)) {
    throw new ToolError("The arguments do not fit the tool's URL.");
  }
  return url;
}

/** Whether a template names an argument that has no value. */
const namesAbsent = (template: string, given: Arguments): boolean =>
  [...template.matchAll(PLACEHOLDER)].some(([, name = ""]) => name !== "api_key" && isAbsent(given[name]));

const isAbsent = (value: unknown) => value === undefined || value === null;
const asText = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

/** Arguments as the entries of a query or form: `ids: [1, 2]` → `ids=1&ids=2`, null left out, an object as JSON. */
const pairs = (entries: [string, unknown][]): [string, string][] =>
  entries.flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value])
      .filter((item) => !isAbsent(item))
      .map((item): [string, string] => [name, asText(item)]),
  );

const depth = (url: URL) => url.pathname.split("/").length;

const missingSecret = (name: unknown) =>
  new ToolError(
    `The secret ${typeof name === "string" ? name : "of this tool"} is not set.`,
    "TOOL_SECRET_MISSING",
  );
