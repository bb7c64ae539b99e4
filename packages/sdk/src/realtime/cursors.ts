/** Where a feed stands in a table: what is new, what was seen, and how to ask for what came since. No effects. */
import type { Query } from "../http.ts";

/** `gap`: rows before this one are missing; they, and it, must be read. */
export type Verdict = "new" | "known" | "gap";

export interface Cursor<Row> {
  readonly table: string;
  /** What to read to know where the feed begins; the rows are given to `begin`. */
  beginning(): Query;
  begin(rows: readonly Row[]): void;
  /** What to read next, at most `PAGE` rows; `last`: the last row of a full page that was just read. */
  next(last?: Row): Query;
  /** Whether `next` goes on after `last`, also where all rows of a page were known. */
  readonly walks?: boolean | undefined;
  /** Judges a row that was read (`live` false) or delivered, and remembers it. */
  judge(row: Row, live: boolean): Verdict;
  /** The order in which rows of one page are shown. */
  compare?(a: Row, b: Row): number;
}

/** PostgREST gives no more than 1000 rows at once on hosted Supabase. */
export const PAGE = 1000;

/** A value within `or=(…)` or `in.(…)`. */
const quoted = (value: string): string => `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;

/** Rows numbered without a gap, in the order of commits: `agent_events`. */
export class NumberedRows<Row extends { seq: number }> implements Cursor<Row> {
  readonly table: string;
  readonly #filter: Query;
  #last: number | undefined;
  /** The newest row there was at the beginning. */
  newest: Row | undefined;

  constructor(table: string, filter: Query, after: number | undefined) {
    this.table = table;
    this.#filter = filter;
    this.#last = after;
  }

  beginning(): Query {
    return { ...this.#filter, order: "seq.desc", limit: 1 };
  }

  begin(rows: readonly Row[]): void {
    this.newest = rows[0];
    this.#last ??= this.newest?.seq ?? 0;
  }

  /** Whether all that was there at the beginning is known. */
  get atNewest(): boolean {
    return (this.#last ?? 0) >= (this.newest?.seq ?? 0);
  }

  next(): Query {
    return { ...this.#filter, seq: `gt.${this.#last ?? 0}`, order: "seq", limit: PAGE };
  }

  judge(row: Row, live: boolean): Verdict {
    const last = this.#last ?? 0;
    if (row.seq <= last) return "known";
    if (live && row.seq > last + 1) return "gap";
    this.#last = row.seq;
    return "new";
  }
}

const HOUR = 3_600_000;
const MANY_REPLICAS = 50;

interface Position {
  sequence: number;
  /** Milliseconds since the epoch, of its newest row. */
  at: number;
}

/**
 * Rows numbered by replica: `agent_logs` and `agent_metrics`. Their ids say nothing: two batches may be stored in another order
 * than their ids were drawn, and a replica's rows may come late. Within a replica they come in order, so the number of each
 * replica's last row is where the feed stands. A replica that was not heard of counts from the newest row of the beginning on.
 * A row that is shipped more than an hour late by a replica that fell silent is not asked for.
 */
export class ReplicaRows<Row extends { replica: string; sequence: number; timestamp: string }>
  implements Cursor<Row>
{
  readonly table: string;
  readonly #filter: Query;
  readonly #replicas = new Map<string, Position>();
  #origin: string | undefined;
  #newest = Number.NEGATIVE_INFINITY;

  constructor(table: string, filter: Query) {
    this.table = table;
    this.#filter = filter;
  }

  beginning(): Query {
    return { ...this.#filter, select: "replica,sequence,timestamp", order: "timestamp.desc", limit: 200 };
  }

  begin(rows: readonly Row[]): void {
    this.#origin = rows[0]?.timestamp;
    for (const row of rows) this.judge(row);
  }

  next(): Query {
    const conditions: string[] = [];
    if (Number.isFinite(this.#newest)) {
      conditions.push(`timestamp.gte.${quoted(new Date(this.#newest - HOUR).toISOString())}`);
    }
    const strangers: string[] = [];
    if (this.#replicas.size > 0) {
      strangers.push(`replica.not.in.(${[...this.#replicas.keys()].map(quoted).join(",")})`);
    }
    if (this.#origin !== undefined) strangers.push(`timestamp.gt.${quoted(this.#origin)}`);
    if (strangers.length > 0) {
      const acquainted = [...this.#replicas].map(
        ([replica, { sequence }]) => `and(replica.eq.${quoted(replica)},sequence.gt.${sequence})`,
      );
      conditions.push(`or(${[...acquainted, `and(${strangers.join(",")})`].join(",")})`);
    }
    // By number, not by time: a page must not end with a replica's later row and leave out its earlier one.
    const page: Query = { ...this.#filter, order: "replica,sequence", limit: PAGE };
    return conditions.length === 0 ? page : { ...page, and: `(${conditions.join(",")})` };
  }

  judge({ replica, sequence, timestamp }: Row): Verdict {
    const known = this.#replicas.get(replica);
    if (known !== undefined && sequence <= known.sequence) return "known";
    const at = Date.parse(timestamp);
    this.#replicas.set(replica, { sequence, at: Math.max(at, known?.at ?? at) });
    this.#newest = Math.max(this.#newest, at);
    if (this.#replicas.size > MANY_REPLICAS) this.#forget();
    return "new";
  }

  /** The rows of those that are forgotten are too old to be asked for. */
  #forget(): void {
    for (const [replica, { at }] of this.#replicas) {
      if (at < this.#newest - HOUR) this.#replicas.delete(replica);
    }
  }

  compare(a: Row, b: Row): number {
    return a.replica === b.replica
      ? a.sequence - b.sequence
      : Date.parse(a.timestamp) - Date.parse(b.timestamp) || (a.replica < b.replica ? -1 : 1);
  }
}

const OVERLAP = 60_000;
const REMEMBERED = 5_000;

/** Rows with an id and a time, few enough to read the last minute again: `security_events` and `messages`. */
export class RecentRows<Row extends { id: string }> implements Cursor<Row> {
  readonly table: string;
  readonly walks = true;
  readonly #filter: Query;
  readonly #time: keyof Row & string;
  readonly #seen = new Set<string>();
  #newest: number | undefined;

  constructor(table: string, filter: Query, time: keyof Row & string) {
    this.table = table;
    this.#filter = filter;
    this.#time = time;
  }

  beginning(): Query {
    return { ...this.#filter, select: `id,${this.#time}`, order: `${this.#time}.desc`, limit: PAGE };
  }

  begin(rows: readonly Row[]): void {
    // Oldest first: what is remembered longest must be the newest.
    for (const row of [...rows].reverse()) this.judge(row);
  }

  next(last?: Row): Query {
    const time = this.#time;
    const page: Query = { ...this.#filter, order: `${time},id`, limit: PAGE };
    if (last !== undefined) {
      const moment = quoted(String(last[time]));
      return { ...page, and: `(${time}.gte.${moment},or(${time}.gt.${moment},id.gt.${quoted(last.id)}))` };
    }
    if (this.#newest === undefined) return page;
    return { ...page, [time]: `gte.${new Date(this.#newest - OVERLAP).toISOString()}` };
  }

  judge(row: Row): Verdict {
    if (this.#seen.has(row.id)) return "known";
    this.#seen.add(row.id);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.values().next().value as string);
    this.#newest = Math.max(this.#newest ?? 0, Date.parse(String(row[this.#time])));
    return "new";
  }
}
