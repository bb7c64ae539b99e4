/** What watching means to the rest of the SDK: updates, options, and the one who carries them. */
import type { AgentStatus, KnownSeverity, SecurityEvent } from "./contract.ts";
import type { AgentLaunchpadError } from "./errors.ts";
import type { Broadcast } from "./realtime/topics.ts";
import type { AgentEvent, AgentLog, AgentMetricsSample, Message } from "./rows.ts";

/** Ends a subscription; calling it again does nothing. */
export type Unsubscribe = () => void;

/** `live`: everything arrives as it happens. `interrupted`: what happens now is delivered once the connection is back. */
export type ConnectionState = "connecting" | "live" | "interrupted" | "closed";

/** A subscription in trouble. Where `final` is true it has ended, else it goes on trying. */
export interface WatchFailure {
  type: "error";
  error: AgentLaunchpadError;
  final: boolean;
}

/** What happened to an agent. */
export type AgentUpdate =
  /** The status it shows; the first update tells the present one. */
  | { type: "status"; agentId: string; status: AgentStatus; timestamp: string }
  /** An entry of its history, in order of `event.seq` and without a gap. */
  | { type: "event"; agentId: string; event: AgentEvent }
  | { type: "log"; agentId: string; log: AgentLog }
  | { type: "metrics"; agentId: string; metrics: AgentMetricsSample }
  | ({ agentId: string } & WatchFailure);

export type AgentUpdateKind = Exclude<AgentUpdate["type"], "error">;

export interface WatchOptions {
  /** Ends the subscription. */
  signal?: AbortSignal | undefined;
  onConnection?: ((state: ConnectionState) => void) | undefined;
}

export interface SubscribeOptions extends WatchOptions {
  /** What to hear of. Default: all four. */
  include?: readonly AgentUpdateKind[] | undefined;
  /** Events after this `seq`; 0: the whole history. Default: events from now on. */
  after?: number | undefined;
}

/** What only the SDK itself asks for. */
export interface AgentWatchOptions extends SubscribeOptions {
  /** What happens from now on is delivered, whatever becomes of the connection. */
  onBegun?: (() => void) | undefined;
  /** Everything up to now was told. */
  onCaughtUp?: (() => void) | undefined;
  /** By asking now and again, without a connection. */
  asking?: boolean | undefined;
}

export type SecurityUpdate = { type: "event"; event: SecurityEvent } | WatchFailure;

export interface SecuritySubscribeOptions extends WatchOptions {
  severity?: KnownSeverity | undefined;
}

/** Carries what happens from the database to callbacks. */
export interface Watching {
  agent(agentId: string, callback: (update: AgentUpdate) => void, options: AgentWatchOptions): Unsubscribe;
  security(callback: (update: SecurityUpdate) => void, options: SecuritySubscribeOptions): Unsubscribe;
  /** Messages as they are stored: which, as `/rest/v1` filters and as Realtime filters. */
  messages(
    rows: Record<string, string>,
    filters: readonly string[],
    show: (message: Message) => void,
    onError: (failure: WatchFailure) => void,
    options: WatchOptions,
  ): Unsubscribe;
  /** What is broadcast on a private topic. `onSettled`: from now on it is heard, or cannot be. */
  broadcasts(topic: string, take: (broadcast: Broadcast) => void, onSettled?: () => void): Unsubscribe;
}
