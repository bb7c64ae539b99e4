/** Plugins: what agents may name. */
import { pluginList, pluginsQuery } from "../../_shared/contract/index.ts";
import { query, type Route } from "../../_shared/route.ts";

export const pluginRoutes: readonly Route[] = [
  {
    operationId: "listPlugins",
    method: "GET",
    path: "/plugins",
    tag: "Agents",
    summary: "List plugins that may be named",
    description:
      "Those that come with the runtime or that an agent was launched with before. Any other package that the rules allow may be named too.",
    rpc: "list_plugins",
    args: { query: query("query"), limit: query("limit"), offset: query("offset"), after: query("after") },
    query: pluginsQuery,
    success: { status: 200, schema: pluginList, description: "Plugins, by name." },
    errors: [],
  },
];
