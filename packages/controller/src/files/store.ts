// The calls to the database and Storage that removing files needs.

import { z } from "zod";
import { createPost, type Post } from "../http-post.ts";
import { createRpc } from "../rpc.ts";

/** The files of one deleted agent that are still there. */
export interface Removal {
  agentId: string;
  files: { bucket: string; names: string[] }[];
}

/** What the removal of files asks of the project. Every function throws when the answer is not as agreed. */
export interface FileStore {
  /** Takes deleted agents whose files are due. */
  claim(maxCount: number): Promise<Removal[]>;
  /** Deletes objects through the Storage API, which alone can delete their bytes. */
  remove(bucket: string, names: readonly string[]): Promise<void>;
  /** Tells what became of a claim; `error` where it failed. */
  report(agentId: string, error?: string): Promise<void>;
}

const removals = z.array(
  z.object({
    agentId: z.string(),
    files: z.array(z.object({ bucket: z.string(), names: z.array(z.string()) })),
  }),
);

const TIMEOUT_MS = 10_000;

/** The same over PostgREST and Storage, with the project's secret key. */
export function createFileStore(
  url: string,
  key: string,
  send: typeof fetch = fetch,
  post: Post = createPost(),
): FileStore {
  const headers = { apikey: key, authorization: `Bearer ${key}`, "content-type": "application/json" };
  const rpc = createRpc(url, key, post);

  return {
    claim: async (max_count) => removals.parse(await rpc("claim_file_removals", { max_count }, TIMEOUT_MS)),
    report: async (agent_id, error) =>
      void (await rpc("report_file_removal", { agent_id, error: error ?? null }, TIMEOUT_MS)),
    async remove(bucket, prefixes) {
      const response = await send(`${url}/storage/v1/object/${encodeURIComponent(bucket)}`, {
        method: "DELETE",
        headers,
        body: JSON.stringify({ prefixes }),
        redirect: "error",
        signal: AbortSignal.timeout(30_000),
      });
      await response.body?.cancel();
      if (!response.ok) throw new Error(`Storage answered ${response.status}`);
    },
  };
}
