// Sends log lines to an OpenTelemetry collector: OTLP over HTTP, as JSON.

import type { LogRow } from "../contract.ts";
import { createPost, type Post } from "../http-post.ts";
import { VERSION } from "../version.ts";
import { RefusedRows } from "./shipper.ts";

/** Where lines go, beside the table or instead of it. */
export interface OtlpTarget {
  /** The whole address, such as https://collector:4318/v1/logs. */
  url: string;
  /** Sent along, such as a key. */
  headers: Record<string, string>;
}

const TIMEOUT_MS = 10_000;

/** Severity numbers of OpenTelemetry's log data model. */
const SEVERITY: Record<LogRow["level"], number> = { DEBUG: 5, INFO: 9, WARN: 13, ERROR: 17 };

/**
 * Statuses after which a batch is sent again: those that the protocol names, and those that an operator mends
 * (a wrong key or address), for which no line is thrown away.
 */
const LATER = new Set([401, 403, 404, 408, 429, 502, 503, 504]);

/**
 * Makes the function that sends a batch of lines, as JSON texts.
 * @param onRejected how many lines of a batch the collector kept out, and why
 * @returns rejects with RefusedRows when the collector will never take the batch, with another error when it may later
 */
export function createOtlpSender(
  target: OtlpTarget,
  onRejected: (lines: number, message: string) => void,
  post: Post = createPost(),
): (rows: readonly string[]) => Promise<void> {
  const headers = { ...target.headers, "content-type": "application/json" };
  return async (rows) => {
    const body = JSON.stringify(logsRequest(readRows(rows)));
    const { status, text } = await post(target.url, headers, body, TIMEOUT_MS);
    if (status >= 200 && status < 300) {
      const { lines, message } = partialSuccess(text);
      if (lines > 0) onRejected(lines, message);
      return;
    }
    const problem = `The collector at ${new URL(target.url).origin} answered ${status}: ${text.slice(0, 300)}`;
    throw LATER.has(status) ? new Error(problem) : new RefusedRows(problem);
  };
}

function readRows(rows: readonly string[]): LogRow[] {
  try {
    return rows.map((row) => JSON.parse(row) as LogRow);
  } catch {
    throw new RefusedRows("a line is not JSON");
  }
}

type AnyValue =
  | { stringValue: string }
  | { boolValue: boolean }
  | { intValue: string }
  | { doubleValue: number }
  | { arrayValue: { values: AnyValue[] } }
  | { kvlistValue: { values: KeyValue[] } }
  | Record<string, never>;

interface KeyValue {
  key: string;
  value: AnyValue;
}

/** An ExportLogsServiceRequest: one resource for each replica, its lines in order. */
export function logsRequest(rows: readonly LogRow[]) {
  const replicas = Map.groupBy(rows, (row) => `${row.agentId}/${row.replica}`);
  return {
    resourceLogs: [...replicas.values()].map((lines) => ({
      resource: {
        attributes: attributes({
          "service.name": lines[0]!.agentId,
          "service.namespace": "agent-launchpad",
          "service.instance.id": lines[0]!.replica,
        }),
      },
      scopeLogs: [
        { scope: { name: "agent-launchpad.controller", version: VERSION }, logRecords: lines.map(logRecord) },
      ],
    })),
  };
}

function logRecord(row: LogRow) {
  const time = nanoseconds(row.timestamp);
  return {
    timeUnixNano: time,
    observedTimeUnixNano: time,
    severityNumber: SEVERITY[row.level],
    severityText: row.level,
    body: { stringValue: row.message },
    // A line that is sent twice has the same sequence.
    attributes: attributes({
      ...row.metadata,
      "launchpad.source": row.source,
      "launchpad.sequence": row.sequence,
    }),
  };
}

const attributes = (fields: Record<string, unknown>): KeyValue[] =>
  Object.entries(fields).map(([key, value]) => ({ key, value: anyValue(value) }));

function anyValue(value: unknown): AnyValue {
  switch (typeof value) {
    case "string":
      return { stringValue: value };
    case "boolean":
      return { boolValue: value };
    case "number":
      return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
    default:
      if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
      return value == null ? {} : { kvlistValue: { values: attributes(value as Record<string, unknown>) } };
  }
}

/** Nanoseconds since 1970, as decimal digits: JSON numbers do not hold them. */
export function nanoseconds(timestamp: string): string {
  const seconds = Math.floor(Date.parse(timestamp) / 1000);
  const fraction = /\.(\d{1,9})/.exec(timestamp)?.[1] ?? "";
  return Number.isNaN(seconds) ? "0" : `${seconds}${fraction.padEnd(9, "0")}`;
}

/** What an answer says of lines that were kept out; an answer that says nothing kept out none. */
function partialSuccess(text: string): { lines: number; message: string } {
  try {
    const { partialSuccess: part } = JSON.parse(text) as {
      partialSuccess?: { rejectedLogRecords?: string | number; errorMessage?: string };
    };
    return { lines: Number(part?.rejectedLogRecords ?? 0) || 0, message: part?.errorMessage ?? "" };
  } catch {
    return { lines: 0, message: "" };
  }
}
