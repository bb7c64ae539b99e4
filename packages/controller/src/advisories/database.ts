import { z } from "zod";
import type { LookedUp, Target } from "./npm.ts";
import type { RuntimePackage } from "./packages.ts";

/** What the refresh of advisories asks of the database. */
export interface AdvisoryDatabase {
  /** Tells what the runtime ships; returns the packages that are due. */
  targets(runtime: readonly RuntimePackage[] | null, maxCount: number): Promise<Target[]>;
  record(results: readonly LookedUp[]): Promise<void>;
}

const due = z.array(z.object({ package: z.string(), version: z.string() }));

/** The same over PostgREST. Its functions throw when the database does not answer as agreed. */
export function createAdvisoryDatabase(
  url: string,
  key: string,
  send: typeof fetch = fetch,
): AdvisoryDatabase {
  async function call(name: string, args: object): Promise<unknown> {
    const response = await send(`${url}/rest/v1/rpc/${name}`, {
      method: "POST",
      headers: { apikey: key, authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify(args),
      redirect: "error",
      signal: AbortSignal.timeout(15_000),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
    return JSON.parse(text);
  }
  return {
    targets: async (runtime, max_count) => due.parse(await call("advisory_targets", { runtime, max_count })),
    record: async (results) => void (await call("record_advisories", { results })),
  };
}
