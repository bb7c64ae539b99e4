// Keeps a long life flat: elizaOS keeps the state of every message in memory and writes states and prompts into a log table that
// nothing reads, and its database, PGlite, has no process that cleans up.
import type { Log } from "../../log.ts";
import type { ElizaDatabase, ElizaRuntime } from "./types.ts";

/** States of the latest messages: those under way, and what plugins look up of them. */
const MAX_STATES = 64;
/** Messages between two times of cleaning up. */
const EVERY = 50;

/** A map that forgets its oldest entries. */
export class LatestMap<K, V> extends Map<K, V> {
  readonly #most: number;

  constructor(most: number) {
    super();
    this.#most = most;
  }

  override set(key: K, value: V): this {
    this.delete(key); // the newest stands last
    super.set(key, value);
    for (const oldest of this.keys()) {
      if (this.size <= this.#most) break;
      this.delete(oldest);
    }
    return this;
  }
}

/** Bounds a runtime. What elizaOS would log of its calls stands in the answer's steps and in the agent's log. */
export function boundGrowth(runtime: ElizaRuntime, adapter: ElizaDatabase): void {
  runtime.stateCache = new LatestMap(MAX_STATES);
  adapter.log = async () => undefined;
}

/** Cleans the database up now and then. */
export class Housekeeping {
  readonly #adapter: ElizaDatabase;
  readonly #log: Log;
  #messages = 0;
  #cleaning: Promise<void> | undefined;

  constructor(adapter: ElizaDatabase, log: Log) {
    this.#adapter = adapter;
    this.#log = log;
  }

  /** Counts a message whose work has ended. */
  count(): void {
    this.#messages += 1;
    if (this.#messages % EVERY === 0) this.#cleaning ??= this.#clean();
  }

  /** Resolves when nothing is being cleaned. */
  async end(): Promise<void> {
    await this.#cleaning;
  }

  async #clean(): Promise<void> {
    try {
      const connection = await this.#adapter.getConnection();
      // Space of deleted rows is used again, and the journal begins anew.
      await connection.exec("vacuum");
      await connection.exec("checkpoint");
    } catch (error) {
      this.#log.warn("elizaOS's database could not be cleaned up", { cause: String(error) });
    } finally {
      this.#cleaning = undefined;
    }
  }
}
