// What the plugin store asks of the database.
import { z } from "zod";
import { agentSpecSchema } from "../contract.ts";
import { createRpc } from "../rpc.ts";
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
    /** Why the look-up that the database asked for has failed. */
    error: z.string().optional(),
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

/** A lock file has up to 4 MiB. */
const TIMEOUT_MS = 30_000;

/** The same over PostgREST. */
export function createPluginDatabase(url: string, key: string, rpc = createRpc(url, key)): PluginDatabase {
  return {
    async record({ agentId, generation, leaseToken }, { engine, id, known, packages, plugins, tree }) {
      const args = {
        agent_id: agentId,
        generation,
        lease_token: leaseToken,
        resolved: { tree: id, engine, plugins, known, lock: tree, packages },
      };
      return answer.parse(await rpc("record_plugins", args, TIMEOUT_MS));
    },
    async tree(id) {
      const tree = treeSchema.parse(await rpc("plugin_tree", { id }, TIMEOUT_MS));
      if (treeId(tree) !== id) throw new Error(`the database has another lock file under ${id}`);
      return tree;
    },
    wanted: async () => z.array(z.string()).parse(await rpc("wanted_plugin_trees", {}, TIMEOUT_MS)),
  };
}
