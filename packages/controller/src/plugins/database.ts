// What the plugin store asks of the database.
import { z } from "zod";
import { agentSpecSchema } from "../contract.ts";
import type { Resolution } from "./resolve.ts";
import { type Tree, treeId, treeSchema } from "./tree.ts";

const resolved = agentSpecSchema.shape.resolvedPlugins.unwrap().unwrap();
/** What a revision's plugins were resolved to. */
export type ResolvedPlugins = z.infer<typeof resolved>;

const answer = z.union([
  z.object({ accepted: z.literal(true), resolved: resolved }),
  z.object({
    accepted: z.literal(false),
    reason: z.enum(["PLUGIN_NOT_ALLOWED", "ADVISORIES_DUE"]),
    message: z.string(),
    packages: z.array(z.object({ package: z.string(), version: z.string() })).optional(),
  }),
]);

export interface PluginDatabase {
  /** Keeps what was resolved with the revision, where the rules allow it. */
  record(
    lease: { agentId: string; generation: number; leaseToken: string },
    resolution: Resolution,
  ): Promise<z.infer<typeof answer>>;
  /** @throws Error where the database has it no more, or altered */
  tree(id: string): Promise<Tree>;
  /** The trees that revisions name. */
  wanted(): Promise<string[]>;
}

/** The same over PostgREST. */
export function createPluginDatabase(url: string, key: string, send: typeof fetch = fetch): PluginDatabase {
  async function call(name: string, args: object): Promise<unknown> {
    const response = await send(`${url}/rest/v1/rpc/${name}`, {
      method: "POST",
      headers: { apikey: key, authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify(args),
      redirect: "error",
      signal: AbortSignal.timeout(30_000),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
    return JSON.parse(text);
  }
  return {
    async record({ agentId, generation, leaseToken }, { engine, id, known, packages, plugins, tree }) {
      const args = {
        agent_id: agentId,
        generation,
        lease_token: leaseToken,
        resolved: { tree: id, engine, plugins, known, lock: tree, packages },
      };
      return answer.parse(await call("record_plugins", args));
    },
    async tree(id) {
      const tree = treeSchema.parse(await call("plugin_tree", { id }));
      if (treeId(tree) !== id) throw new Error(`the database has another lock file under ${id}`);
      return tree;
    },
    wanted: async () => z.array(z.string()).parse(await call("wanted_plugin_trees", {})),
  };
}
