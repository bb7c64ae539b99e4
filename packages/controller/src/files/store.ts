import { z } from "zod";
import { createPost, type Post } from "../http-post.ts";

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

/** The same over PostgREST and Storage, with the project's secret key. */
export function createFileStore(
  url: string,
  key: string,
  send: typeof fetch = fetch,
  post: Post = createPost(),
): FileStore {
  const headers = { apikey: key, authorization: `Bearer ${key}`, "content-type": "application/json" };

  async function call(name: string, args: object): Promise<unknown> {
    const { status, text } = await post(`${url}/rest/v1/rpc/${name}`, headers, JSON.stringify(args), 10_000);
    if (status >= 300) throw new Error(`${name}: ${status}`);
    return JSON.parse(text);
  }

  return {
    claim: async (max_count) => removals.parse(await call("claim_file_removals", { max_count })),
    report: async (agent_id, error) =>
      void (await call("report_file_removal", { agent_id, error: error ?? null })),
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
