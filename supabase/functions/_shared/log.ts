/** One JSON line per request. No header and no query is logged: they may carry keys. */
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

/** Logs to standard output, where both hosted Supabase and the embedded stack collect it. */
export const consoleLog: Log = (entry) => console.log(logLine(entry, Date.now()));
