/** Which work a call of the database wakes; each kind runs once at a time. */
import { ClaimedWork } from "../_shared/claimed-work.ts";
import { lookUpDue } from "./advisories.ts";
import type { Database } from "./database.ts";
import { removeDue } from "./removal.ts";

export type Log = (
  level: "INFO" | "WARN" | "ERROR",
  message: string,
  facts?: Record<string, unknown>,
) => void;

export interface Upkeep {
  /**
   * Does the work that a call names; returns when nothing of it is due. Never throws.
   * @param body the call's: {"work": "file_removals"} or {"work": "advisories"}; a hint, since the database gives out what
   * is due
   */
  wake(body: string): Promise<void>;
}

/**
 * Puts the function's work together.
 * @param database what is due, and Storage
 * @param advisoryUrl npm's bulk endpoint; undefined: packages cannot be looked up
 * @param send the platform's fetch, or a test's
 */
export function createUpkeep(
  database: Database,
  advisoryUrl: string | undefined,
  log: Log,
  send: typeof fetch = fetch,
): Upkeep {
  const kinds = new Map([
    ["file_removals", new ClaimedWork(() => removeDue(database, log))],
    ["advisories", new ClaimedWork(() => lookUpDue(database, advisoryUrl, log, send))],
  ]);
  return {
    async wake(body) {
      await kinds.get(workOf(body))?.wake();
    },
  };
}

function workOf(body: string): string {
  try {
    return String((JSON.parse(body) as { work?: unknown }).work);
  } catch {
    return "";
  }
}
