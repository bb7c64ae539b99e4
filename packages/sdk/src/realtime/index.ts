/** Subscriptions, carried by the user's supabase-js client. */
import type { AgentStatus, SecurityEvent } from "../contract.ts";
import { AgentLaunchpadError, invalid } from "../errors.ts";
import { type Http, randomId } from "../http.ts";
import type { AgentEvent, AgentLog, AgentMetricsSample, Message } from "../rows.ts";
import type { SupabaseClientLike } from "../supabase.ts";
import type {
  AgentUpdate,
  AgentWatchOptions,
  SecuritySubscribeOptions,
  SecurityUpdate,
  Unsubscribe,
  WatchFailure,
  Watching,
  WatchOptions,
} from "../watching.ts";
import { NumberedRows, RecentRows, ReplicaRows } from "./cursors.ts";
import { Feed, type FeedOptions, type Follow } from "./feed.ts";
import { StatusRows } from "./status.ts";
import { type Broadcast, listen } from "./topics.ts";

const EVERYTHING = ["status", "event", "log", "metrics"] as const;

export class RealtimeWatching implements Watching {
  readonly #supabase: SupabaseClientLike;
  readonly #http: Http;

  constructor(supabase: SupabaseClientLike, http: Http) {
    this.#supabase = supabase;
    this.#http = http;
  }

  agent(agentId: string, callback: (update: AgentUpdate) => void, options: AgentWatchOptions): Unsubscribe {
    if (typeof agentId !== "string" || agentId === "") throw invalid("agentId", "Must be the id of an agent");
    const tell = carefully(callback);
    const included = new Set(options.include ?? EVERYTHING);
    const rows = { agent_id: `eq.${agentId}` };
    const inserted = [{ event: "INSERT", filter: `agent_id=eq.${agentId}` }] as const;
    const showStatus = (status: string, timestamp: string) => {
      if (!included.has("status")) return;
      tell({ type: "status", agentId, status: status.toUpperCase() as AgentStatus, timestamp });
    };
    const showEnd = ({ timestamp }: AgentEvent) => {
      showStatus("DELETED", timestamp);
      feed.stop();
    };

    const events = new NumberedRows<AgentEvent>("agent_events", rows, options.after);
    const follows: Follow<never>[] = [
      {
        cursor: events,
        changes: inserted,
        show(event: AgentEvent) {
          if (included.has("event")) tell({ type: "event", agentId, event });
          if (isEnd(event)) showEnd(event);
        },
      } satisfies Follow<AgentEvent>,
    ];
    if (included.has("status")) {
      follows.unshift({
        cursor: new StatusRows(agentId),
        changes: [{ event: "UPDATE", filter: `id=eq.${agentId}` }],
        show: ({ status, updated_at }) => showStatus(status, updated_at),
      } satisfies Follow<{ id: string; status: string; updated_at: string }>);
    }
    if (included.has("log")) {
      follows.push({
        cursor: new ReplicaRows<AgentLog>("agent_logs", rows),
        changes: inserted,
        show: (log) => tell({ type: "log", agentId, log }),
      } satisfies Follow<AgentLog>);
    }
    if (included.has("metrics")) {
      follows.push({
        cursor: new ReplicaRows<AgentMetricsSample>("agent_metrics", rows),
        changes: inserted,
        show: (metrics) => tell({ type: "metrics", agentId, metrics }),
      } satisfies Follow<AgentMetricsSample>);
    }

    const feed = this.#feed(`agent:${agentId}`, {
      ...options,
      follows,
      onError: (failure) => tell({ agentId, ...failure }),
      onBegun: () => {
        // Every agent has a first event, and events outlive their agent.
        if (events.newest === undefined) throw notFound(agentId);
        options.onBegun?.();
        if (isEnd(events.newest) && events.atNewest) showEnd(events.newest);
      },
    });
    feed.start();
    return () => feed.stop();
  }

  security(callback: (update: SecurityUpdate) => void, options: SecuritySubscribeOptions): Unsubscribe {
    const tell = carefully(callback);
    const { severity } = options;
    const rows = severity === undefined ? {} : { severity: `eq.${severity}` };
    const follow: Follow<SecurityEvent> = {
      cursor: new RecentRows<SecurityEvent>("security_events", rows, "timestamp"),
      changes: [
        { event: "INSERT", ...(severity === undefined ? {} : { filter: `severity=eq.${severity}` }) },
      ],
      show: (event) => tell({ type: "event", event }),
    };
    const feed = this.#feed("security", { ...options, follows: [follow], onError: tell });
    feed.start();
    return () => feed.stop();
  }

  /**
   * Messages as they are stored.
   * @param rows which, as `/rest/v1` filters
   * @param filters which, as Realtime filters: one binding each
   */
  messages(
    rows: Record<string, string>,
    filters: readonly string[],
    show: (message: Message) => void,
    onError: (failure: WatchFailure) => void,
    options: WatchOptions,
  ): Unsubscribe {
    const follow: Follow<Message> = {
      cursor: new RecentRows<Message>("messages", rows, "created_at"),
      changes: filters.map((filter) => ({ event: "INSERT", filter })),
      show,
    };
    const feed = this.#feed("messages", { ...options, follows: [follow], onError });
    feed.start();
    return () => feed.stop();
  }

  broadcasts(topic: string, take: (broadcast: Broadcast) => void, onSettled = () => {}): Unsubscribe {
    return listen(this.#supabase, topic, { take, onSettled });
  }

  #feed(name: string, options: Omit<FeedOptions, "supabase" | "http" | "name">): Feed {
    return new Feed({
      ...options,
      onConnection: options.onConnection && carefully(options.onConnection),
      supabase: this.#supabase,
      http: this.#http,
      // Its own: supabase-js and the server know one channel of a name per connection.
      name: () => `launchpad:${name}:${randomId()}`,
    });
  }
}

const isEnd = ({ event_type, to_phase }: AgentEvent): boolean =>
  event_type === "DELETED" || to_phase === "DELETED";

const notFound = (agentId: string) =>
  new AgentLaunchpadError({
    code: "AGENT_NOT_FOUND",
    message: `Agent with ID '${agentId}' not found or access denied`,
    status: 404,
  });

/** A callback that throws must not stop the feed: its error is reported as an uncaught one. */
function carefully<T>(callback: (value: T) => void): (value: T) => void {
  if (typeof callback !== "function") throw invalid("callback", "Must be a function");
  return (value) => {
    try {
      callback(value);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  };
}
