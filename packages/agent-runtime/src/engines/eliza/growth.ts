// Keeps a long life flat: elizaOS keeps the state of every message in memory, writes states and prompts into a log table that nothing
// reads, and forgets no conversation; and its database, PGlite, has no process that cleans up.
import type { Log } from "../../log.ts";
import type { ElizaDatabase, ElizaRuntime } from "./types.ts";

/** States of the latest messages: those under way, and what plugins look up of them. */
const MAX_STATES = 64;
/** Messages between two times of cleaning up. */
const EVERY = 50;

/** What the database keeps, the newest of each. */
export interface Kept {
  /** Of all conversations. */
  readonly messages: number;
  readonly facts: number;
  /** Of one conversation; elizaOS looks back on fewer. */
  readonly messagesOfRoom: number;
  readonly factsOfRoom: number;
  /** Messages with their embedding, 6 KB each, which nothing of elizaOS searches; those of facts stay. */
  readonly embeddedMessages: number;
}

export const KEPT: Kept = {
  messages: 4_000,
  facts: 2_000,
  messagesOfRoom: 128,
  factsOfRoom: 100,
  embeddedMessages: 200,
};

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
      await connection.exec(forget(KEPT));
      // Space of deleted rows is used again, and the journal begins again.
      await connection.exec("vacuum");
      await connection.exec("checkpoint");
    } catch (error) {
      this.#log.warn("elizaOS's database could not be cleaned up", { cause: String(error) });
    } finally {
      this.#cleaning = undefined;
    }
  }
}

/**
 * The statements that forget what is beyond the bounds, and of the runtime's own conversations the rooms that are empty by that, with
 * whoever spoke in them alone; a muted one stays muted. Rooms, entities and documents of plugins stay; a room of the last hour may be waiting for its first message.
 */
export const forget = (kept: Kept): string => `
  delete from memories where id in (
    select id from (
      select id, type,
        row_number() over (partition by type order by created_at desc, id) as place,
        row_number() over (partition by type, room_id order by created_at desc, id) as place_in_room
      from memories where type in ('messages', 'facts')) as ranked
    where place > case type when 'facts' then ${kept.facts} else ${kept.messages} end
      or place_in_room > case type when 'facts' then ${kept.factsOfRoom} else ${kept.messagesOfRoom} end);
  delete from embeddings where memory_id in (
    select id from memories where type = 'messages' order by created_at desc, id offset ${kept.embeddedMessages});
  delete from rooms where source = 'launchpad' and created_at < now() - interval '1 hour'
    and not exists (select from memories where room_id = rooms.id)
    and not exists (select from participants where room_id = rooms.id and room_state is not null);
  delete from entities where metadata ? 'launchpad' and created_at < now() - interval '1 hour' and id <> agent_id
    and not exists (select from participants where entity_id = entities.id)
    and not exists (select from memories where entity_id = entities.id);
  delete from cache where key like '%-reflection-last-processed'
    and not exists (select from rooms where id::text = left(key, 36));
`;
