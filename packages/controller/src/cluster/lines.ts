// Turns a replica's output into log lines.

import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import type { ReplicaLog } from "./cluster.ts";

/** Longer lines are cut: one line must not cost megabytes. */
const LONGEST = 64 * 1024;
const LEVELS = new Set(["DEBUG", "INFO", "WARN", "ERROR"]);

/** What a line of output says; agent and replica are known to the caller. */
export type ParsedLine = Omit<ReplicaLog, "agentId" | "replica" | "sequence">;

/** Puts lines together from chunks of bytes; blank ones are left out, long ones are cut. */
export class LineSplitter {
  readonly #take: (line: string) => void;
  readonly #decoder = new StringDecoder("utf8");
  readonly #longest: number;
  #rest = "";
  #cut = false;

  /** @param longest characters kept of a line */
  constructor(take: (line: string) => void, longest: number = LONGEST) {
    this.#take = take;
    this.#longest = longest;
  }

  push(chunk: Uint8Array): void {
    const pieces = (this.#rest + this.#decoder.write(chunk)).split("\n");
    this.#rest = pieces.pop() ?? "";
    for (const piece of pieces) {
      if (!this.#cut && piece.trim() !== "") this.#take(piece.slice(0, this.#longest));
      this.#cut = false;
    }
    if (this.#rest.length > this.#longest) {
      if (!this.#cut) this.#take(this.#rest.slice(0, this.#longest));
      this.#cut = true;
      this.#rest = "";
    }
  }

  /** Gives the last line too when it has no end. */
  end(): void {
    if (!this.#cut && this.#rest.trim() !== "") this.#take(this.#rest.slice(0, this.#longest));
    this.#rest = "";
  }
}

/** Calls `take` with every line of a stream, the last one too when it has no end. */
export function readLines(stream: Readable, take: (line: string) => void): void {
  const splitter = new LineSplitter(take);
  stream.on("data", (chunk: Buffer) => splitter.push(chunk));
  stream.on("end", () => splitter.end());
  // A pipe that breaks says no more than its end.
  stream.on("error", () => {});
}

/**
 * Reads a line of the runtime's JSON log; anything else becomes a plain message.
 * @param fallback what holds where the line does not tell; its time is now unless given
 */
export function parseLine(
  line: string,
  fallback: { source: string; level: ReplicaLog["level"]; timestamp?: string },
): ParsedLine {
  const now = fallback.timestamp ?? new Date().toISOString();
  const given = line.startsWith("{") ? parseObject(line) : undefined;
  if (given === undefined || typeof given.message !== "string") {
    return {
      timestamp: now,
      level: fallback.level,
      message: clean(line),
      source: fallback.source,
      metadata: {},
    };
  }
  const level = typeof given.level === "string" ? given.level.toUpperCase() : "";
  const time = typeof given.timestamp === "string" ? Date.parse(given.timestamp) : Number.NaN;
  return {
    timestamp: Number.isNaN(time) ? now : new Date(time).toISOString(),
    level: LEVELS.has(level) ? (level as ReplicaLog["level"]) : fallback.level,
    message: clean(given.message),
    source: typeof given.source === "string" ? clean(given.source).slice(0, 100) : fallback.source,
    metadata: isObject(given.metadata) ? (cleanAll(given.metadata) as Record<string, unknown>) : {},
  };
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Postgres stores neither NUL characters nor halves of surrogate pairs: one of them would refuse a whole batch. */
function clean(text: string): string {
  return text.replaceAll("\0", "").toWellFormed();
}

function cleanAll(value: unknown): unknown {
  if (typeof value === "string") return clean(value);
  if (Array.isArray(value)) return value.map(cleanAll);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [clean(name), cleanAll(field)]));
}
