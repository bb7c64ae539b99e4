/** Rows as they come, none twice and none left out: a live channel, and reads for what came while it was down. */
import { AgentLaunchpadError } from "../errors.ts";
import type { Http } from "../http.ts";
import type { ChannelLike, SupabaseClientLike } from "../supabase.ts";
import type { ConnectionState, WatchFailure } from "../watching.ts";
import { type Cursor, PAGE } from "./cursors.ts";
import { LiveChannel } from "./live-channel.ts";

/** A table that is followed: its cursor, which changes to hear of, and what to do with a row. */
export interface Follow<Row> {
  cursor: Cursor<Row>;
  /** The channel's bindings for it. */
  changes: readonly { event: "INSERT" | "UPDATE"; filter?: string | undefined }[];
  show(row: Row): void;
}

export interface FeedOptions {
  supabase: SupabaseClientLike;
  http: Http;
  name(): string;
  // biome-ignore lint/suspicious/noExplicitAny: each follow knows its own rows
  follows: readonly Follow<any>[];
  onError(failure: WatchFailure): void;
  onConnection?: ((state: ConnectionState) => void) | undefined;
  /** Where the feed begins is known; a failure that it throws ends the feed. */
  onBegun?: (() => void) | undefined;
  /** Everything up to now was shown; called again whenever something was read. */
  onCaughtUp?: (() => void) | undefined;
  signal?: AbortSignal | undefined;
  /** No channel: asks, first soon and then less often. For what lasts seconds, and must not keep a process alive. */
  asking?: boolean | undefined;
}

interface Delivery {
  follow: Follow<unknown>;
  row: unknown;
  /** The server left something out of the row. */
  cut: boolean;
}

/** Between reads while the channel is down. */
const POLL = 5_000;
/** Between reads where there is no channel: from the first to the longest wait. */
const ASK = { first: 100, growth: 1.3, longest: 2_000 };
/** What waits while the past is read; beyond it everything is read again. */
const MOST_WAITING = 10_000;

export class Feed {
  readonly #options: FeedOptions;
  readonly #channel: LiveChannel;
  readonly #abort = new AbortController();
  readonly #stop = () => this.stop();
  #waiting: Delivery[] = [];
  #begun = false;
  #flowing = false;
  /** The server has said that changes flow: nothing is missing between two rows that it delivers. */
  #sure = false;
  /** Everything up to now was shown: what is delivered may be shown at once. */
  #synced = false;
  #syncing = false;
  #again = false;
  #state: ConnectionState | undefined;
  #told: string | undefined;
  #poll: ReturnType<typeof setTimeout> | undefined;
  #wait: number;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#wait = options.asking ? ASK.first : POLL;
    this.#channel = new LiveChannel({
      supabase: options.supabase,
      name: options.name,
      private: false,
      bind: (channel) => this.#bind(channel),
      onFlowing: (sure) => {
        this.#flowing = true;
        this.#sure = sure;
        void this.#sync();
      },
      onInterrupted: (error) => {
        this.#flowing = false;
        this.#sure = false;
        this.#interrupted(error);
        if (!this.#syncing && !this.#abort.signal.aborted) this.#askAgain();
      },
    });
  }

  start(): void {
    const { signal } = this.#options;
    if (signal?.aborted) {
      this.stop();
      return;
    }
    signal?.addEventListener("abort", this.#stop, { once: true });
    this.#tell("connecting");
    if (!this.#options.asking) this.#channel.start();
    void this.#sync();
  }

  stop(): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    this.#options.signal?.removeEventListener("abort", this.#stop);
    this.#askNoMore();
    this.#waiting = [];
    this.#channel.stop();
    this.#tell("closed");
  }

  #bind(channel: ChannelLike): void {
    for (const follow of this.#options.follows) {
      for (const { event, filter } of follow.changes) {
        const table = follow.cursor.table;
        const wanted = { event, schema: "public", table, ...(filter === undefined ? {} : { filter }) };
        channel.on(
          "postgres_changes",
          wanted,
          (payload: { new: unknown; errors?: unknown[] | null | undefined }) =>
            this.#take({ follow, row: payload.new, cut: (payload.errors?.length ?? 0) > 0 }),
        );
      }
    }
  }

  #take(delivery: Delivery): void {
    if (this.#abort.signal.aborted) return;
    // A row of a replica hides the earlier ones from what is read later: before the server is sure, all is read.
    if (delivery.cut || !this.#sure) void this.#sync();
    else if (!this.#synced) this.#keep(delivery);
    else if (!this.#show(delivery)) void this.#sync();
  }

  #keep(delivery: Delivery): void {
    if (this.#waiting.length < MOST_WAITING) {
      this.#waiting.push(delivery);
      return;
    }
    this.#waiting = [];
    this.#again = true;
  }

  /** False where something before it is missing. */
  #show({ follow, row }: Delivery): boolean {
    const verdict = follow.cursor.judge(row, true);
    if (verdict === "new") follow.show(row);
    return verdict !== "gap";
  }

  /** Reads and shows what came since, then what was delivered meanwhile; again while there is cause. */
  async #sync(): Promise<void> {
    this.#synced = false;
    this.#again = true;
    if (this.#syncing) return;
    this.#syncing = true;
    this.#askNoMore();
    const { signal } = this.#abort;
    let failed = false;
    try {
      while (this.#again && !signal.aborted) {
        this.#again = false;
        if (!this.#begun) await this.#begin();
        for (const follow of this.#options.follows) await this.#read(follow);
        // Changes began to flow while this was read: rows from before that must be read before one that was delivered is shown.
        if (this.#again) continue;
        for (const delivery of this.#waiting.splice(0)) {
          if (signal.aborted) return;
          if (!this.#show(delivery)) this.#again = true;
        }
      }
      this.#synced = true;
      if (!signal.aborted) this.#options.onCaughtUp?.();
      if (this.#flowing) {
        this.#told = undefined;
        this.#tell("live");
      }
    } catch (error) {
      failed = true;
      this.#failed(error);
    } finally {
      this.#syncing = false;
      if ((failed || !this.#flowing) && !signal.aborted) this.#askAgain();
    }
  }

  #askAgain(): void {
    this.#poll ??= setTimeout(() => void this.#sync(), this.#wait);
    if (this.#options.asking) this.#wait = Math.min(ASK.longest, this.#wait * ASK.growth);
  }

  #askNoMore(): void {
    clearTimeout(this.#poll);
    this.#poll = undefined;
  }

  async #begin(): Promise<void> {
    const { follows, onBegun } = this.#options;
    const beginnings = await Promise.all(
      follows.map(({ cursor }) => this.#rows(cursor.table, cursor.beginning())),
    );
    follows.forEach(({ cursor }, index) => {
      cursor.begin(beginnings[index] ?? []);
    });
    this.#begun = true;
    onBegun?.();
  }

  async #read({ cursor, show }: Follow<unknown>): Promise<void> {
    for (let last: unknown; ; ) {
      const rows = await this.#rows(cursor.table, cursor.next(last));
      const fresh = rows.filter((row) => cursor.judge(row, false) === "new");
      if (cursor.compare !== undefined) fresh.sort((a, b) => cursor.compare?.(a, b) ?? 0);
      for (const row of fresh) {
        if (this.#abort.signal.aborted) return;
        show(row);
      }
      if (rows.length < PAGE || (fresh.length === 0 && cursor.walks !== true)) return;
      last = rows.at(-1);
    }
  }

  async #rows(table: string, query: Record<string, unknown>): Promise<unknown[]> {
    return await this.#options.http.send<unknown[]>({
      method: "GET",
      path: `/rest/v1/${table}`,
      query: query as Record<string, string | number>,
      options: { signal: this.#abort.signal },
    });
  }

  #failed(error: unknown): void {
    if (this.#abort.signal.aborted) return;
    if (!(error instanceof AgentLaunchpadError)) throw error;
    const { code, status } = error;
    const passes = code === "SUPABASE_CONNECTION_ERROR" || code === "TIMEOUT" || status >= 500;
    // Someone signs in, a window ends.
    if (passes || code === "INVALID_JWT_TOKEN" || code === "RATE_LIMIT_EXCEEDED") {
      this.#interrupted(error);
      return;
    }
    this.#options.onError({ type: "error", error, final: true });
    this.stop();
  }

  /** Tells each trouble once, until the connection is back. */
  #interrupted(error: AgentLaunchpadError): void {
    if (this.#state === "live") this.#tell("interrupted");
    const trouble = `${error.code} ${error.message}`;
    if (trouble === this.#told) return;
    this.#told = trouble;
    this.#options.onError({ type: "error", error, final: false });
  }

  #tell(state: ConnectionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#options.onConnection?.(state);
  }
}
