// Delivers rows in batches, in order, at least once.

import { backoff, type Clock, jittered } from "../clock.ts";
import { DatabaseError } from "../database.ts";
import { errorMessage, type Log } from "../log.ts";
import type { Spool } from "./spool.ts";

/** The receiver will never take these rows, or one of them. */
export class RefusedRows extends Error {}

export interface ShipperOptions {
  name: string;
  /** Delivers finished rows. A row may be delivered twice: the receiver knows it by agent, replica and sequence. */
  send(rows: readonly string[]): Promise<unknown>;
  spool: Spool;
  clock: Clock;
  random: () => number;
  log: Log;
  /** A batch leaves when it has so many rows or bytes, or when its first row is so old. */
  maxRows?: number;
  maxBytes?: number;
  maxDelayMs?: number;
}

/**
 * Ships rows in batches, in order, at least once: a batch is written to the spool, delivered from there, and removed
 * when the receiver has it. So the receiver may be down, and this process may die, at any time.
 */
export class Shipper {
  readonly #options: Required<ShipperOptions>;
  /** Younger than `maxDelayMs`, not written yet; all that a sudden death of the process can lose. */
  #buffer: string[] = [];
  #bufferBytes = 0;
  #cancelFlush: (() => void) | undefined;
  #cancelRetry: () => void = () => {};
  #pumping: Promise<void> | undefined;
  #failures = 0;
  #stopped = false;
  shipped = 0;
  /** Rows that the receiver will never take. */
  refused = 0;

  constructor(options: ShipperOptions) {
    this.#options = { maxRows: 500, maxBytes: 512 * 1024, maxDelayMs: 250, ...options };
    if (!options.spool.empty) this.#cancelRetry = options.clock.after(0, () => this.#start());
  }

  get waiting(): number {
    return this.#buffer.length + this.#options.spool.rows;
  }

  /** Takes a row, as a finished JSON text. */
  add(row: string): void {
    const { clock, maxBytes, maxDelayMs, maxRows } = this.#options;
    this.#buffer.push(row);
    this.#bufferBytes += row.length;
    if (this.#stopped) this.#write();
    else if (this.#buffer.length >= maxRows || this.#bufferBytes >= maxBytes) this.#flush();
    else this.#cancelFlush ??= clock.after(maxDelayMs, () => this.#flush());
  }

  /** Tries to deliver everything, for at most `limitMs`; what is left waits on disk for the next start. */
  async stop(limitMs: number): Promise<void> {
    this.#flush();
    const limit = new Promise<void>((resolve) => this.#options.clock.after(limitMs, resolve));
    await Promise.race([this.#pumping, limit]);
    this.#stopped = true;
    this.#cancelFlush?.();
    this.#cancelRetry();
    this.#write();
  }

  #flush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    this.#write();
    if (this.#failures === 0) this.#start();
  }

  #start(): void {
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = undefined;
    });
  }

  async #pump(): Promise<void> {
    const { maxBytes, maxRows, spool } = this.#options;
    try {
      while (!this.#stopped) {
        const taken = spool.take(maxRows, maxBytes);
        // Rows are in memory alone only while the disk does not take them.
        const rows = taken?.rows ?? (this.#cancelFlush === undefined ? this.#buffer.slice(0, maxRows) : []);
        if (rows.length === 0) break;
        await this.#deliver(rows);
        if (taken !== undefined) taken.commit();
        else this.#forget(rows.length);
        this.#failures = 0;
      }
    } catch (error) {
      this.#failures += 1;
      const { clock, log, name, random } = this.#options;
      const facts = { name, error: errorMessage(error), waiting: this.waiting };
      if (this.#failures === 1) log.warn("shipping failed; rows wait on disk", facts);
      else log.debug("shipping failed again", facts);
      if (this.#stopped) return;
      const wait = jittered(backoff(this.#failures, 250, 15_000), 0.2, random);
      this.#cancelRetry = clock.after(wait, () => this.#start());
    }
  }

  /** Delivers rows; those that the receiver refuses for good are found by halving, counted and let go. */
  async #deliver(rows: readonly string[]): Promise<void> {
    try {
      await this.#options.send(rows);
      this.shipped += rows.length;
    } catch (error) {
      const refused =
        error instanceof RefusedRows || (error instanceof DatabaseError && error.kind === "refused");
      if (!refused) throw error;
      if (rows.length === 1) {
        this.refused += 1;
        this.#options.log.warn("a row was refused for good", {
          name: this.#options.name,
          error: error.message,
        });
        return;
      }
      const half = Math.ceil(rows.length / 2);
      await this.#deliver(rows.slice(0, half));
      await this.#deliver(rows.slice(half));
    }
  }

  #write(): void {
    if (this.#buffer.length === 0) return;
    const { log, maxRows, name, spool } = this.#options;
    try {
      spool.append(this.#buffer);
      this.#forget(this.#buffer.length);
    } catch (error) {
      // The disk is full or gone: as many as a few batches take stay in memory, the oldest go.
      const excess = Math.max(0, this.#buffer.length - 4 * maxRows);
      spool.dropped += excess;
      this.#forget(excess);
      log.error("rows cannot be written to disk", { name, error: errorMessage(error) });
    }
  }

  #forget(rows: number): void {
    this.#buffer = this.#buffer.slice(rows);
    this.#bufferBytes = this.#buffer.reduce((sum, row) => sum + row.length, 0);
  }
}
