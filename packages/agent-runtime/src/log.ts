// The program's only voice: one JSON object a line on stdout. What libraries print is caught and becomes such a line too,
// so that whoever reads stdout never meets anything else.
import { writeSync } from "node:fs";
import { secretSpellings } from "./spellings.ts";

export const LEVELS = ["DEBUG", "INFO", "WARN", "ERROR"] as const;
export type Level = (typeof LEVELS)[number];
export type Metadata = Record<string, unknown>;

/** Longest message kept; the rest is cut, so that one line never costs a reader megabytes. */
const MAX_MESSAGE = 8_000;

export interface Log {
  debug(message: string, metadata?: Metadata): void;
  info(message: string, metadata?: Metadata): void;
  warn(message: string, metadata?: Metadata): void;
  error(message: string, metadata?: Metadata): void;
  /** The same log under another source name. */
  named(source: string): Log;
}

export interface LogOptions {
  readonly source?: string;
  readonly level?: Level;
  /** Values that must never be written; each is replaced by `[secret]`. */
  readonly secrets?: readonly string[];
  /** Of the secrets, where they are known already: a named log has its parent's. */
  readonly spellings?: readonly string[];
  readonly write?: (line: string) => void;
}

/**
 * Makes a log.
 * @returns a log whose lines hold timestamp, level, message, source and metadata
 */
export function createLog(options: LogOptions = {}): Log {
  const { source = "runtime", level = "INFO", secrets = [], write = writeLine } = options;
  const lowest = LEVELS.indexOf(level);
  const spellings = options.spellings ?? spellingsOf(secrets);
  const at =
    (lineLevel: Level) =>
    (message: string, metadata: Metadata = {}) => {
      if (LEVELS.indexOf(lineLevel) < lowest) return;
      write(masked(formatLine(lineLevel, message, source, metadata), spellings));
    };
  return {
    debug: at("DEBUG"),
    info: at("INFO"),
    warn: at("WARN"),
    error: at("ERROR"),
    named: (name) => createLog({ ...options, source: name, spellings }),
  };
}

function formatLine(level: Level, message: string, source: string, metadata: Metadata): string {
  const text = message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message;
  const line = { timestamp: new Date().toISOString(), level, message: text, source, metadata };
  try {
    return JSON.stringify(line);
  } catch {
    return JSON.stringify({ ...line, metadata: {} }); // a cycle or a BigInt in the metadata must not lose the message
  }
}

/** Replaces each secret in a line, in every spelling. */
export function redact(line: string, secrets: readonly string[]): string {
  return masked(line, spellingsOf(secrets));
}

/** The spellings of all secrets, longest first: one that contains another is masked whole. */
function spellingsOf(secrets: readonly string[]): string[] {
  return [...new Set(secrets.flatMap(secretSpellings))].sort((a, b) => b.length - a.length);
}

function masked(line: string, spellings: readonly string[]): string {
  let clean = line;
  for (const spelling of spellings)
    if (clean.includes(spelling)) clean = clean.replaceAll(spelling, "[secret]");
  return clean;
}

/** Writes past process.stdout, so that captureOutput never sees our own lines. A closed reader never crashes the agent. */
function writeLine(line: string): void {
  let rest = Buffer.from(`${line}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") continue; // the pipe is full: its reader is behind
      return;
    }
  }
}
