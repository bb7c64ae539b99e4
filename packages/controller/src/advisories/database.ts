// What the refresh of advisories asks of the database.
import { z } from "zod";
import { createRpc } from "../rpc.ts";
import type { LookedUp, Target } from "./npm.ts";
import type { RuntimePackage } from "./packages.ts";

/** What the refresh of advisories asks of the database. */
export interface AdvisoryDatabase {
  /** Tells what the runtime ships; returns the packages that are due. */
  targets(runtime: readonly RuntimePackage[] | null, maxCount: number): Promise<Target[]>;
  record(results: readonly LookedUp[]): Promise<void>;
}

const due = z.array(z.object({ package: z.string(), version: z.string() }));

const TIMEOUT_MS = 15_000;

/** The same over PostgREST. Its functions throw when the database does not answer as agreed. */
export function createAdvisoryDatabase(
  url: string,
  key: string,
  rpc = createRpc(url, key),
): AdvisoryDatabase {
  return {
    targets: async (runtime, max_count) =>
      due.parse(await rpc("advisory_targets", { runtime, max_count }, TIMEOUT_MS)),
    record: async (results) => void (await rpc("record_advisories", { results }, TIMEOUT_MS)),
  };
}
