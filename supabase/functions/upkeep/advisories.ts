/** Looks up known vulnerabilities of the packages in use. */
import type { Database } from "./database.ts";
import { type LookedUp, lookUp, type Target } from "./npm.ts";
import { runtimePackages } from "./shipped.ts";
import type { Log } from "./upkeep.ts";

const PER_CLAIM = 1000;
const NO_SOURCE = "No advisory source is configured";

/**
 * Claims once and looks up what is due. Losing a run costs freshness, never work. Never throws.
 * @param url npm's bulk endpoint; undefined: the packages are recorded as not known
 * @param send the platform's fetch, or a test's
 * @returns whether to claim again
 */
export async function lookUpDue(
  database: Database,
  url: string | undefined,
  log: Log,
  send: typeof fetch = fetch,
): Promise<boolean> {
  try {
    const due = await database.claimAdvisories(runtimePackages(), PER_CLAIM);
    if (due.length === 0) return false;
    const results = url === undefined ? unavailable(due) : await lookUp(url, due, send);
    await database.recordAdvisories(results);
    const failed = results.find((result) => "error" in result);
    if (failed === undefined) log("INFO", "Advisories were looked up", { packages: due.length });
    else if (url !== undefined) log("WARN", "Advisories are unavailable", { cause: failed.error });
    // The database waits an hour after a failure.
    return failed === undefined;
  } catch (error) {
    log("WARN", "Advisories were not looked up", { cause: String(error) });
    return false;
  }
}

const unavailable = (due: readonly Target[]): LookedUp[] =>
  due.map((target) => ({ ...target, error: NO_SOURCE }));
