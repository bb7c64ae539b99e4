/** Plugins: how they are named in a definition, and the list of what may be named. */
import { z } from "zod";
import { aText, cursor, nextCursor, text, whole } from "./primitives.ts";

/**
 * An npm package name, scoped or not, with an optional `@` and an exact version, a range or a tag; or an MCP server's address with
 * the secret that it is called with. SQL says the same.
 */
const NAME =
  /^((@[a-z0-9][a-z0-9._~-]*\/)?[a-z0-9][a-z0-9._~-]*(@([~^]?\d+(\.(\d+|[x*])){0,2}([+-][0-9A-Za-z.+-]{1,48})?|[a-z][a-z0-9-]{0,30}))?|mcp:https?:\/\/([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[1-9]\d{0,4})?([/?][!-"$-~]*)?(#([A-Za-z0-9-]{1,64}=)?[A-Za-z_][A-Za-z0-9_]{0,127})?)$/;
/** Headers of an MCP server's calls that are the protocol's. */
const OWN_HEADER =
  /^mcp:[^#]*#(host|connection|cookie|te|upgrade|expect|keep-alive|transfer-encoding|last-event-id|accept[a-z-]*|content-[a-z-]*|mcp-[a-z0-9-]*|proxy-[a-z-]*)=/i;
/** URLs have many spellings of an IPv4 address (`0x7f.1`); rules would have to know them all. */
const IPV4 = /^mcp:https?:\/\/([a-z0-9.-]*\.)?(0x[0-9a-f]*|\d+)([:/?#]|$)/;
const PLAIN_IPV4 =
  /^mcp:https?:\/\/((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)([:/?#]|$)/;
const IPV6 = /^mcp:https?:\/\/\[([^\]]*)\]/;
/** An IPv4 address inside an IPv6 one is another spelling of it. */
const EMBEDS_IPV4 = /^::(ffff:)?[0-9a-f]+:[0-9a-f]+$/;
/** A path, a URL or a git address: what npm would install from elsewhere than the registry. */
const ELSEWHERE = /^(\.|\/|~|[a-z0-9+.-]+:|[^@/]+\/|.*\.git$)/;
const OF_NODE = new RegExp(
  `^(?:${[
    "assert|async_hooks|buffer|child_process|cluster|console|constants|crypto|dgram|diagnostics_channel|dns|domain|events|fs",
    "http|http2|https|inspector|module|net|node|os|path|perf_hooks|process|punycode|querystring|readline|repl|stream",
    "string_decoder|sys|timers|tls|trace_events|tty|url|util|v8|vm|wasi|worker_threads|zlib",
  ].join("|")})(?:@|$)`,
);

/** Whether an IPv6 address, where a server has one, is spelled as URLs are read. */
function hasPlainIpv6(name: string): boolean {
  const address = IPV6.exec(name)?.[1];
  if (address === undefined) return true;
  const url = `http://[${address}]/`;
  return URL.canParse(url) && new URL(url).href === url && !EMBEDS_IPV4.test(address);
}

const aPackage = "Must be an npm package name, with or without @version";
const aServer =
  "Must be mcp: with the http or https address of an MCP server, then #NAME or #Header=NAME for the secret it needs";

/** One entry of `plugins`. */
export const plugin = z
  .string(aText)
  .max(214, aPackage)
  .regex(NAME, {
    error: ({ input }) => {
      if (String(input).startsWith("mcp:")) return aServer;
      return ELSEWHERE.test(String(input))
        ? "Must be the name of a package in the registry, not a path, a URL or a git address (an MCP server: mcp: before its address)"
        : aPackage;
    },
  })
  .refine((name) => !IPV4.test(name) || PLAIN_IPV4.test(name), {
    error: "Must have an IPv4 address in its plain form, such as 203.0.113.7",
  })
  .refine(hasPlainIpv6, {
    error:
      "Must have an IPv6 address in its shortest form, such as [2001:db8::1], and an IPv4 address without brackets",
  })
  .refine((name) => !OWN_HEADER.test(name), { error: "Names a header that cannot be set" })
  .refine((name) => !OF_NODE.test(name), { error: "Must be a package, not a module of Node itself" });

/** GET /api/plugins */
export const pluginsQuery = z.strictObject({
  query: text(200).optional().meta({ description: "Words that the name or the description holds." }),
  limit: whole(1, 100).default(20).meta({ description: "Number of plugins." }),
  offset: whole(0, 1_000_000).default(0).meta({ description: "How many to skip." }),
  after: cursor.optional(),
});

const listedPlugin = z
  .object({
    name: z.string().meta({ example: "@elizaos/plugin-discord" }),
    version: z
      .string()
      .meta({ description: "The newest that was installed; `built-in`: the runtime brings it." }),
    description: z.string(),
    engine: z
      .enum(["elizaos", "model", "any"])
      .meta({ description: "`elizaos` makes an agent one of elizaOS; `any` works with every agent." }),
    settings: z
      .array(
        z.object({
          name: z.string().meta({ example: "DISCORD_API_TOKEN" }),
          required: z.boolean(),
          description: z.string(),
        }),
      )
      .meta({ description: "What it reads from the agent's `environment`." }),
  })
  .meta({ id: "Plugin" });

/** GET /api/plugins */
export const pluginList = z
  .object({ plugins: z.array(listedPlugin), total: z.int().min(0), nextCursor })
  .meta({ id: "PluginList" });
