// How an MCP server is named among an agent's plugins: `mcp:https://host/path#SECRET`. SQL's private.plugin_name_problems judges it.

/** An entry of `plugins` that is an MCP server. */
export interface McpAddress {
  /** As the definition has it; nothing in it is secret. */
  readonly plugin: string;
  /** Without the fragment. */
  readonly url: URL;
  /** The name of the secret that it is called with. */
  readonly secretName?: string;
  /** The header that the secret travels in, where it is not a bearer token. */
  readonly header?: string;
}

/**
 * Reads an entry; undefined where its address cannot be used.
 * @example
 * readMcpAddress("mcp:https://mcp.example.com/mcp#X-Api-Key=TOKEN"); // header "x-api-key"
 */
export function readMcpAddress(plugin: string): McpAddress | undefined {
  const [address = "", ...rest] = plugin.slice("mcp:".length).split("#");
  const url = URL.parse(address);
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
  const { header, name } = /^(?:(?<header>[^=]+)=)?(?<name>.+)$/.exec(rest.join("#"))?.groups ?? {};
  return {
    plugin,
    url,
    ...(name !== undefined && { secretName: name }),
    ...(header !== undefined && { header: header.toLowerCase() }),
  };
}

/** So that what follows it still counts in a name, of which providers take 60 characters. */
const MAX_LABEL = 24;

/** A short word for a server, before names of tools that others have too: mcp:https://mcp.linear.app/mcp → linear. */
export function labelOf(plugin: string): string {
  const host = /^mcp:https?:\/\/(\[[^\]]+\]|[^:/?#]+)/.exec(plugin)?.[1] ?? "";
  if (/^[\d.]+$|^\[/.test(host)) return "mcp";
  const parts = host.split(".");
  const own = parts.length > 2 ? parts.slice(0, -1) : parts;
  const word = own.find((part) => !/^(mcp|api|www)$/.test(part)) ?? "mcp";
  return word.replaceAll(/[^a-z0-9]+/g, "_").slice(0, MAX_LABEL);
}
