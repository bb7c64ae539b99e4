// Which Events are written: the same thing again counts up in the Event that says it, and no object or minute gets too many.
import type { FleetNote } from "../../cluster.ts";

/** What is noted. The same object, type, reason and text again is the same thing. */
export type Note = FleetNote;

/** One Event of the cluster. */
export interface Series {
  /** When it was first seen, in milliseconds; part of its name. */
  since: number;
  lastSeen: number;
  /** How often it was seen. */
  count: number;
  /** When it was last asked to be written. */
  writtenAt: number;
}

export interface SeriesLimits {
  /** Seen again within so long, it is the same Event. */
  quietMs: number;
  /** So long from one write of an Event to the next: what comes between is counted. */
  writeMs: number;
  /** New Events about one object: so many at once, then one in each `refillMs`. */
  burst: number;
  refillMs: number;
  /** New Events of all objects together: so many at once, then one in each `refillAllMs`. */
  burstOfAll: number;
  refillAllMs: number;
  /** How many are remembered. */
  most: number;
}

export const LIMITS: SeriesLimits = {
  quietMs: 600_000,
  writeMs: 60_000,
  burst: 10,
  refillMs: 60_000,
  burstOfAll: 100,
  refillAllMs: 1000,
  most: 1000,
};

/** What to do with a note. */
export type Verdict =
  | { do: "write"; series: Series }
  /** It is counted, and written at that time with all that comes until then. */
  | { do: "wait"; series: Series; until: number }
  /** It was counted, and its write is planned already. */
  | { do: "count" }
  /** Too many: it is dropped. */
  | { do: "drop" };

interface Bucket {
  tokens: number;
  at: number;
}

/** Remembers what was noted lately. Pure but for that memory: the time is passed in. */
export class SeriesBook {
  readonly #limits: SeriesLimits;
  /** By object and text, in the order of their last sight. */
  readonly #series = new Map<string, Series & { planned: boolean }>();
  readonly #buckets = new Map<string, Bucket>();
  #all: Bucket;

  constructor(limits: Partial<SeriesLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits };
    this.#all = { tokens: this.#limits.burstOfAll, at: 0 };
  }

  get size(): number {
    return this.#series.size;
  }

  /** @param about what the note is about, as one text */
  see(about: string, { action, reason, text, type }: Note, now: number): Verdict {
    const { quietMs, writeMs } = this.#limits;
    const key = [about, type, reason, action, text].join("\0");
    const known = this.#series.get(key);
    if (known !== undefined && now - known.lastSeen < quietMs) {
      known.count += 1;
      known.lastSeen = now;
      this.#series.delete(key);
      this.#series.set(key, known);
      if (known.planned) return { do: "count" };
      // Not in the future, where the machine's clock was set back.
      const until = Math.min(known.writtenAt, now) + writeMs;
      if (now >= until) {
        known.writtenAt = now;
        return { do: "write", series: known };
      }
      known.planned = true;
      return { do: "wait", series: known, until };
    }
    if (!this.#mayWrite(about, now)) return { do: "drop" };
    const series = { since: now, lastSeen: now, count: 1, writtenAt: now, planned: false };
    this.#series.delete(key);
    this.#series.set(key, series);
    this.#forget(now);
    return { do: "write", series };
  }

  /** The time of a planned write has come. */
  due(series: Series, now: number): void {
    const known = series as Series & { planned: boolean };
    known.planned = false;
    known.writtenAt = now;
  }

  #mayWrite(about: string, now: number): boolean {
    const { burst, burstOfAll, refillAllMs, refillMs } = this.#limits;
    const own = refilled(this.#buckets.get(about) ?? { tokens: burst, at: now }, burst, refillMs, now);
    this.#all = refilled(this.#all, burstOfAll, refillAllMs, now);
    const may = own.tokens >= 1 && this.#all.tokens >= 1;
    if (may) {
      own.tokens -= 1;
      this.#all.tokens -= 1;
    }
    this.#buckets.delete(about);
    this.#buckets.set(about, own);
    return may;
  }

  #forget(now: number): void {
    const { most, quietMs } = this.#limits;
    for (const [key, { lastSeen }] of this.#series) {
      if (this.#series.size <= most && now - lastSeen < quietMs) break;
      this.#series.delete(key);
    }
    for (const about of this.#buckets.keys()) {
      if (this.#buckets.size <= most) break;
      this.#buckets.delete(about);
    }
  }
}

function refilled({ at, tokens }: Bucket, most: number, everyMs: number, now: number): Bucket {
  return { tokens: Math.min(most, tokens + Math.max(0, now - at) / everyMs), at: now };
}
