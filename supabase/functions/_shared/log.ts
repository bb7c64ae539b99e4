/** One JSON line per request. No header and no query is logged: they may carry keys. No word of a caller is: accounts are erased, logs are not. */
import type { ErrorCode } from "./contract/index.ts";

export interface AccessEntry {
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly code?: ErrorCode;
  readonly userId?: string | null;
  readonly durationMs: number;
  /** What our own code threw, where it did. */
  readonly defect?: string;
}

export type Log = (entry: AccessEntry) => void;

/**
 * The line for an entry.
 * @param entry what happened
 * @param now milliseconds since the epoch
 */
export function logLine(entry: AccessEntry, now: number): string {
  const level = entry.status >= 500 ? "ERROR" : entry.status >= 400 ? "WARN" : "INFO";
  return JSON.stringify({
    timestamp: new Date(now).toISOString(),
    level,
    source: "api",
    message: "request",
    ...entry,
  });
}

/** Ids that the platform makes: of requests, agents and rows. */
const OURS = /^(req-[a-z2-7]{12}|agent-[a-z2-7]{12}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;

/**
 * The id of a request as logs have it: one that a caller chose is its digest, which whoever knows the id can look for
 * (`printf %s <id> | sha256sum | head -c 16`).
 */
export async function loggedId(id: string): Promise<string> {
  if (OURS.test(id)) return id;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(id)));
  return `sha256:${[...digest.slice(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * A path as logs have it: what is neither a word of a route nor an id of the platform's is left out.
 * @param path the request's
 * @param words the fixed parts of all routes
 */
export function loggedPath(path: string, words: ReadonlySet<string>): string {
  const parts = path.split("/", 12).map((part) => (words.has(part) || OURS.test(part) ? part : "…"));
  return parts.join("/");
}

/** Logs to standard output, where both hosted Supabase and the embedded stack collect it. */
export const consoleLog: Log = (entry) => console.log(logLine(entry, Date.now()));
