// Log lines as the database stores them fastest: one array per field.

import type { LogRow } from "../contract.ts";

/** Arguments of the function `ingest_log_lines`; all arrays have one length. */
export interface LogColumns {
  agents: string[];
  replicas: string[];
  sequences: number[];
  timestamps: string[];
  levels: LogRow["level"][];
  messages: string[];
  sources: string[];
  /** Null where a line has none: the database need not parse it. */
  details: (LogRow["metadata"] | null)[];
}

/** The names of these arguments. */
export const LOG_FIELDS = [
  "agents",
  "replicas",
  "sequences",
  "timestamps",
  "levels",
  "messages",
  "sources",
  "details",
] as const satisfies readonly (keyof LogColumns)[];

/**
 * Turns lines, as JSON texts, into columns. An object per line costs the database half as much again (ADR 0250).
 * @throws {SyntaxError} when a text is not JSON
 */
export function logColumns(rows: readonly string[]): LogColumns {
  const columns: LogColumns = {
    agents: [],
    replicas: [],
    sequences: [],
    timestamps: [],
    levels: [],
    messages: [],
    sources: [],
    details: [],
  };
  for (const text of rows) {
    const row = JSON.parse(text) as LogRow;
    columns.agents.push(row.agentId);
    columns.replicas.push(row.replica);
    columns.sequences.push(row.sequence);
    columns.timestamps.push(row.timestamp);
    columns.levels.push(row.level);
    columns.messages.push(row.message);
    columns.sources.push(row.source);
    columns.details.push(Object.keys(row.metadata ?? {}).length === 0 ? null : row.metadata);
  }
  return columns;
}

/** The lines that the columns were made of. */
export function logRows(columns: LogColumns): LogRow[] {
  return columns.agents.map((agentId, index) => ({
    agentId,
    replica: columns.replicas[index]!,
    sequence: columns.sequences[index]!,
    timestamp: columns.timestamps[index]!,
    level: columns.levels[index]!,
    message: columns.messages[index]!,
    source: columns.sources[index]!,
    metadata: columns.details[index] ?? {},
  }));
}
