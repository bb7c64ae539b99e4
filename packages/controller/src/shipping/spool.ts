// Keeps undelivered rows on disk.

import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

export interface SpoolOptions {
  directory: string;
  /** Beyond this the oldest rows are dropped. */
  maxBytes: number;
  segmentBytes?: number;
}

interface Segment {
  path: string;
  bytes: number;
  rows: number;
}

/** Some rows from the spool's front, until they are committed. */
export interface Taken {
  rows: string[];
  commit(): void;
}

/**
 * Rows that wait on disk, oldest first: append-only files of one row a line, removed when all their rows are
 * delivered. A crash can only lead to rows being delivered again, never to rows being lost. Synchronous: it is used
 * while the database is down, in batches.
 */
export class Spool {
  readonly #options: Required<SpoolOptions>;
  #segments: Segment[] = [];
  #next = 1;
  /** The rows of the first segment that are not delivered yet. */
  #front: string[] | undefined;
  #delivered = 0;
  dropped = 0;

  /** @throws {Error} when the directory cannot be used */
  constructor(options: SpoolOptions) {
    this.#options = { segmentBytes: Math.min(1024 * 1024, Math.ceil(options.maxBytes / 4)), ...options };
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(options.directory).sort()) {
      if (!/^\d{10}\.jsonl$/.test(name)) continue;
      const path = join(options.directory, name);
      const rows = readRows(path);
      const bytes = rows.reduce((sum, row) => sum + Buffer.byteLength(row) + 1, 0);
      this.#next = Number.parseInt(name, 10) + 1;
      if (rows.length === 0) rmSync(path, { force: true });
      else this.#segments.push({ path, bytes, rows: rows.length });
    }
    // What an earlier life wrote is closed: its last line may be torn.
    this.#closed = this.#segments.length;
  }

  /** How many of the first segments take no more rows. */
  #closed: number;

  get empty(): boolean {
    return this.#segments.length === 0;
  }

  get rows(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.rows, 0) - this.#delivered;
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  /** Adds rows at the end; drops the oldest beyond the bound. */
  append(rows: readonly string[]): void {
    if (rows.length === 0) return;
    const text = `${rows.join("\n")}\n`;
    let last = this.#segments.length > this.#closed ? this.#segments.at(-1) : undefined;
    if (last === undefined || last.bytes >= this.#options.segmentBytes) {
      const name = `${String(this.#next).padStart(10, "0")}.jsonl`;
      this.#next += 1;
      this.#closed = this.#segments.length;
      last = { path: join(this.#options.directory, name), bytes: 0, rows: 0 };
      this.#segments.push(last);
    }
    appendFileSync(last.path, text, { mode: 0o600 });
    last.bytes += Buffer.byteLength(text);
    last.rows += rows.length;
    while (this.bytes > this.#options.maxBytes && this.#segments.length > 1) {
      this.dropped += this.#segments[0]!.rows - this.#delivered;
      this.#dropFirst();
    }
  }

  /** Takes rows from the front; they stay until committed. Only one taking at a time. */
  take(maxRows: number, maxBytes: number): Taken | undefined {
    const first = this.#segments[0];
    if (first === undefined) return undefined;
    // The segment that is still written to is closed first, so that its rows are read once.
    if (this.#closed === 0) this.#closed = 1;
    this.#front ??= readRows(first.path).slice(this.#delivered);
    const rows: string[] = [];
    let bytes = 0;
    for (const row of this.#front) {
      if (rows.length >= maxRows || (rows.length > 0 && bytes + row.length > maxBytes)) break;
      rows.push(row);
      bytes += row.length;
    }
    const front = this.#front;
    return {
      rows,
      commit: () => {
        // Dropped meanwhile, for want of room.
        if (this.#segments[0] !== first) return;
        front.splice(0, rows.length);
        this.#delivered += rows.length;
        if (front.length === 0) this.#dropFirst();
      },
    };
  }

  #dropFirst(): void {
    const first = this.#segments.shift();
    if (first !== undefined) rmSync(first.path, { force: true });
    this.#front = undefined;
    this.#delivered = 0;
    this.#closed = Math.max(0, this.#closed - 1);
  }
}

/** The whole lines of a file; a torn last one (the machine or the process died while writing) is left out. */
function readRows(path: string): string[] {
  const lines = readFileSync(path, "utf8").split("\n");
  lines.pop();
  return lines.filter((line) => line.startsWith("{") && line.endsWith("}"));
}
