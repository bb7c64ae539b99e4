/** The project as the function sees it: its RPCs, called as service_role, and Storage. */
import { z } from "zod";
import { createCall, type Project, serviceHeaders } from "../_shared/project-call.ts";
import type { LookedUp, Target } from "./npm.ts";
import type { RuntimePackage } from "./shipped.ts";

/** The files of one deleted agent that are still there. */
export interface Removal {
  readonly agentId: string;
  readonly files: readonly { readonly bucket: string; readonly names: readonly string[] }[];
}

/** What upkeep asks of the project. Every function throws when the answer is not as agreed. */
export interface Database {
  /** Takes deleted agents whose files are due. */
  claimRemovals(most: number): Promise<Removal[]>;
  /** Deletes objects through the Storage API, which alone can delete their bytes. */
  removeFiles(bucket: string, names: readonly string[]): Promise<void>;
  /** Says what became of a claim; `error` where it failed. */
  reportRemoval(agentId: string, error?: string): Promise<void>;
  /** Names what the runtime ships; takes the packages whose advisories are due. */
  claimAdvisories(runtime: readonly RuntimePackage[], most: number): Promise<Target[]>;
  recordAdvisories(results: readonly LookedUp[]): Promise<void>;
}

const STORAGE_MS = 30_000;

const removals = z.array(
  z.object({
    agentId: z.string(),
    files: z.array(z.object({ bucket: z.string(), names: z.array(z.string()) })),
  }),
);
const targets = z.array(z.object({ package: z.string(), version: z.string() }));

/**
 * Makes the client.
 * @param project where the project is, and its secret key
 * @param send the platform's fetch, or a test's
 */
export function createDatabase(project: Project, send: typeof fetch = fetch): Database {
  const call = createCall(project, send);
  const headers = { ...serviceHeaders(project), "content-type": "application/json" };
  return {
    claimRemovals: async (max_count) => removals.parse(await call("claim_file_removals", { max_count })),
    reportRemoval: async (agent_id, error) =>
      void (await call("report_file_removal", { agent_id, error: error ?? null })),
    async removeFiles(bucket, prefixes) {
      const response = await send(`${project.url}/storage/v1/object/${encodeURIComponent(bucket)}`, {
        method: "DELETE",
        headers,
        body: JSON.stringify({ prefixes }),
        redirect: "manual",
        signal: AbortSignal.timeout(STORAGE_MS),
      });
      await response.body?.cancel();
      if (!response.ok) throw new Error(`Storage answered ${response.status}`);
    },
    claimAdvisories: async (runtime, max_count) =>
      targets.parse(await call("claim_advisories", { runtime, max_count })),
    recordAdvisories: async (results) => void (await call("record_advisories", { results })),
  };
}
