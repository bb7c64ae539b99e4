// Rows that are gone: who could see a deleted row is asked in a snapshot of the database from before its deletion.
import type pg from "pg";
import { reasonOf } from "../errors.ts";
import { askVisible, type VisibilityQuestion } from "./visibility.ts";

/** A transaction that sees the database as it was. */
interface Snapshot {
  client: pg.PoolClient;
  /** On the server's clock: what commits later is not in it. */
  takenAt: number;
  /** On this process's own clock, for its age. */
  openedAt: number;
}

/** A row that lived for less than this may go unnoticed: no snapshot has it. */
const FRESH_MS = 50;
/** How late a change may be and still find its row. The server keeps dead rows up to twice as long. */
const LATE_MS = 1000;
const SNAPSHOTS = 3;

/**
 * Holds a few snapshots, each in a transaction of its own connection, while somebody listens to deletions under row-level
 * security: a new one as rows are written, an old one for changes that arrive late.
 */
export class Past {
  readonly #pool: pg.Pool;
  readonly #onLog: (line: string) => void;
  /** Oldest first. */
  readonly #snapshots: Snapshot[] = [];
  #work: Promise<void> = Promise.resolve();
  #soon: NodeJS.Timeout | undefined;

  /** Takes a pool of authenticator's connections that nothing else uses, with room for four. */
  constructor(pool: pg.Pool, onLog: (line: string) => void) {
    this.#pool = pool;
    this.#onLog = onLog;
  }

  /** Makes sure that what is there now can be looked up later. Throws when the database is not reachable. */
  async open(): Promise<void> {
    const askedAt = performance.now();
    await this.#inTurn(async () => {
      const newest = this.#snapshots.at(-1);
      if (newest === undefined || newest.openedAt < askedAt) await this.#take();
    });
  }

  /** Rows were written: a new snapshot will have them, at once or when the newest is `FRESH_MS` old. */
  written(): void {
    this.#soon ??= setTimeout(
      () => {
        this.#soon = undefined;
        void this.renew(0);
      },
      Math.max(0, FRESH_MS - this.#newestAge()),
    ).unref();
  }

  /** Takes a new snapshot where the newest is `ageMs` old or older. */
  async renew(ageMs: number): Promise<void> {
    if (this.#newestAge() < ageMs) return;
    try {
      await this.#inTurn(async () => {
        if (this.#newestAge() >= ageMs) await this.#take();
      });
    } catch (error) {
      this.#onLog(`no snapshot: ${reasonOf(error)}`);
    }
  }

  /** Ends all snapshots, unless one is younger than `ageMs`: a channel that asked for it may still be joining. */
  async close(ageMs = 0): Promise<void> {
    if (this.#snapshots.length === 0 || this.#newestAge() < ageMs) return;
    clearTimeout(this.#soon);
    this.#soon = undefined;
    await this.#inTurn(async () => {
      await Promise.all(this.#snapshots.splice(0).map(drop));
    });
  }

  /**
   * Which rows each identity could see before `before`, by index. A row that no snapshot has was visible to no one: a change
   * that arrives too late is left out rather than shown to all.
   */
  async visible(questions: VisibilityQuestion[], before: Date): Promise<Set<number>[]> {
    let answers = questions.map(() => new Set<number>());
    if (questions.length === 0) return answers;
    await this.#inTurn(async () => {
      const at = this.#snapshots.findLastIndex(({ takenAt }) => takenAt < before.getTime());
      const snapshot = this.#snapshots[at];
      if (!snapshot) return;
      try {
        answers = await askVisible(snapshot.client, questions);
      } catch (error) {
        this.#onLog(`deleted rows not looked up: ${reasonOf(error)}`);
        this.#snapshots.splice(at, 1);
        snapshot.client.release(error as Error);
      }
    });
    return answers;
  }

  #newestAge(): number {
    const newest = this.#snapshots.at(-1);
    return newest ? performance.now() - newest.openedAt : Number.POSITIVE_INFINITY;
  }

  async #take(): Promise<void> {
    const client = await this.#pool.connect();
    try {
      await client.query("begin isolation level repeatable read");
      const { rows } = await client.query<{ at: number }>(
        "select (extract(epoch from clock_timestamp()) * 1000)::float8 as at",
      );
      this.#snapshots.push({ client, takenAt: rows[0]?.at ?? 0, openedAt: performance.now() });
    } catch (error) {
      client.release(error as Error);
      throw error;
    }
    const second = this.#snapshots[1];
    if (this.#snapshots.length <= SNAPSHOTS || !second) return;
    // The oldest stays until the next one is old enough to take its place; the last but one is the newest's predecessor.
    const gone = performance.now() - second.openedAt >= LATE_MS ? 0 : SNAPSHOTS - 1;
    await Promise.all(this.#snapshots.splice(gone, 1).map(drop));
  }

  /** One thing at a time: questions and snapshots share connections. */
  async #inTurn(work: () => Promise<void>): Promise<void> {
    const mine = this.#work.then(work);
    this.#work = mine.catch(() => undefined);
    await mine;
  }
}

async function drop({ client }: Snapshot): Promise<void> {
  try {
    await client.query("rollback");
    client.release();
  } catch (error) {
    client.release(error as Error);
  }
}
