// Carries committed changes from replication to subscribers.

import { setTimeout as delay } from "node:timers/promises";
import { reasonOf } from "../errors.ts";
import { deliverChanges } from "./changes.ts";
import { waitUntilVisible } from "./commit-visibility.ts";
import { type Database, isAway } from "./database.ts";
import type { Judge } from "./judging.ts";
import type { Past } from "./past.ts";
import type { Registry } from "./registry.ts";
import { type Change, type Replication, startReplication } from "./replication.ts";
import { dropSlot } from "./slot.ts";
import { CHANGES_PUBLICATION } from "./subscriptions.ts";

export const SLOT = "launchpad_realtime";
/** What realtime.send() writes; hosted's name for it. */
export const MESSAGES_PUBLICATION = "supabase_realtime_messages_publication";

export interface FeedOptions {
  /** A connection URL of supabase_realtime_admin. */
  url: string;
  database: Database;
  registry: Registry;
  recordBytes: number;
  judge: Judge;
  past: Past;
  /** A row of realtime.messages has been committed. */
  onMessage(change: Change): void;
  /** Changes are missing: the server gave the slot up, or they could not be delivered. */
  onGap(): void;
  onLog(line: string): void;
  /** Another stream than the database's, for tests. */
  replicate?: typeof startReplication;
}

/** At most this many changes are dealt with together … */
const BATCH = 500;
/** … and this many wait here; then the server waits. */
const MOST_WAITING = 5000;
const IDLE_MS = 60_000;
const RETRY_MS = 100;

type Item = { change: Change } | { commit: bigint };

/**
 * The stream of changes while somebody listens. It begins with the first channel and ends a minute after the last one:
 * the slot is dropped then, so that an idle stack neither decodes nor keeps any log.
 */
export class Feed {
  readonly #options: FeedOptions;
  #replication: Replication | undefined;
  #listeners = 0;
  #idle: NodeJS.Timeout | undefined;
  #waiting: Item[] = [];
  #working = false;
  #paused = false;
  #stopped = false;
  #dropping: Promise<void> = Promise.resolve();

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** A channel listens from now on; resolves with true when changes flow. */
  async listen(timeoutMs: number): Promise<boolean> {
    this.#listeners += 1;
    clearTimeout(this.#idle);
    await this.#dropping;
    if (this.#stopped) return false;
    this.#replication ??= (this.#options.replicate ?? startReplication)({
      url: this.#options.url,
      slot: SLOT,
      publications: [CHANGES_PUBLICATION, MESSAGES_PUBLICATION],
      onChange: (change) => this.#take({ change }),
      onCommit: (commit) => this.#take({ commit }),
      onGap: () => this.#options.onGap(),
      onLog: (line) => this.#options.onLog(line),
    });
    return await this.#replication.streaming(timeoutMs);
  }

  /** Whether changes flow, within `timeoutMs`; undefined where nobody listens any more. */
  async flowing(timeoutMs: number): Promise<boolean | undefined> {
    return await this.#replication?.streaming(timeoutMs);
  }

  /** A channel that listened is gone. */
  leave(): void {
    this.#listeners -= 1;
    if (this.#listeners > 0 || this.#stopped) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (this.#listeners === 0) this.#dropping = this.#end();
    }, IDLE_MS);
    this.#idle.unref();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#idle);
    await this.#dropping;
    await this.#end();
  }

  async #end(): Promise<void> {
    const replication = this.#replication;
    if (!replication) return;
    this.#replication = undefined;
    this.#waiting = [];
    this.#paused = false;
    await replication.stop();
    await dropSlot(this.#options.url, SLOT).catch((error: unknown) =>
      this.#options.onLog(`slot not dropped: ${reasonOf(error)}`),
    );
  }

  #take(item: Item): void {
    this.#waiting.push(item);
    if (!this.#paused && this.#waiting.length > MOST_WAITING) {
      this.#paused = true;
      this.#replication?.pause();
    }
    if (!this.#working) void this.#work();
  }

  async #work(): Promise<void> {
    this.#working = true;
    await Promise.resolve(); // what arrived in the same packet goes together
    while (this.#waiting.length > 0 && !this.#stopped) {
      const batch = this.#waiting.slice(0, BATCH);
      try {
        await this.#deal(batch);
      } catch (error) {
        if (isAway(error)) {
          await delay(RETRY_MS); // nothing was delivered: the same batch again
          continue;
        }
        this.#options.onLog(`changes not delivered: ${reasonOf(error)}`);
        this.#options.onGap();
      }
      if (this.#waiting[0] !== batch[0]) continue; // the stream ended meanwhile, and another one may have begun
      this.#waiting.splice(0, batch.length);
      for (const item of batch) if ("commit" in item) this.#replication?.confirm(item.commit);
      if (this.#paused && this.#waiting.length < BATCH) {
        this.#paused = false;
        this.#replication?.resume();
      }
    }
    this.#working = false;
  }

  async #deal(batch: Item[]): Promise<void> {
    const changes = batch.flatMap((item) => ("change" in item ? [item.change] : []));
    const isMessage = ({ relation }: Change) =>
      relation.schema === "realtime" && relation.table.startsWith("messages");
    const { database, registry, recordBytes, judge, past, onMessage } = this.#options;
    if (changes.length === 0) return;
    await waitUntilVisible(database.feed, new Set(changes.map(({ xid }) => xid)));
    if (registry.size > 0) {
      await deliverChanges(
        database,
        registry,
        changes.filter((change) => !isMessage(change)),
        { recordBytes, judge, past, onLog: this.#options.onLog },
      );
    }
    if (registry.needsPast && changes.some(({ action }) => action !== "DELETE")) past.written();
    for (const change of changes) if (isMessage(change)) onMessage(change);
  }
}
