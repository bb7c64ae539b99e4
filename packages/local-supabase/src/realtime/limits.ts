/**
 * What one client, one user and all together may take. Where hosted publishes a figure it is hosted's (the plan Pro of
 * supabase.com/docs/guides/realtime/limits; runtime.exs); LAUNCHPAD_REALTIME_LIMITS changes any of them.
 */
export interface Limits {
  /** Sockets of one user; the Launchpad specification's "100 concurrent connections per user". */
  connectionsPerUser: number;
  /** Sockets that have joined nothing yet, in all and of one address: beyond it the oldest makes room. */
  waitingConnections: number;
  waitingPerAddress: number;
  /** Sockets that joined without a user, in all and of one address. */
  guestConnections: number;
  guestsPerAddress: number;

  channelsPerConnection: number;
  joinsPerSecond: number;
  /** Broadcasts and other messages of one connection. */
  messagesPerSecond: number;
  /** What a user (or an address without a user) may have the server send: messages times receivers, and their bytes. */
  deliveriesPerSecond: number;
  deliveredBytesPerSecond: number;

  /** Entries of `postgres_changes` in one channel, of one user, and of one user those that no index finds. */
  changesPerChannel: number;
  changesPerUser: number;
  scannedChangesPerUser: number;
  filterBytes: number;

  /** presence calls of one channel, and their window. */
  presenceCalls: number;
  presenceWindowMs: number;
  /** What one client shows of itself; all of one topic together; how many topics one connection is present in. */
  presenceBytes: number;
  presenceBytesPerTopic: number;
  presencesPerConnection: number;
  /** What one topic's changes of presence may make the server send; those that come faster are sent together. */
  presenceDeliveriesPerSecond: number;
  presenceDeliveredBytesPerSecond: number;

  /** Names of topics, events and presence keys; a message's reference; a token. */
  nameBytes: number;
  refBytes: number;
  tokenBytes: number;
  /** A broadcast's payload. */
  payloadBytes: number;
  /** Messages of one HTTP request. */
  messagesPerRequest: number;
  /** HTTP requests of one user (or one address without a user) a second. */
  requestsPerSecond: number;
  /** A WebSocket frame, and that of a connection without a user; larger ones end the connection with 1009. */
  frameBytes: number;
  guestFrameBytes: number;
  /** A row; of a larger one only values up to 64 bytes are sent, with an error. */
  recordBytes: number;

  /** What may wait for a slow reader before it is cut off; for all readers of one user; for all. */
  bufferBytes: number;
  bufferBytesPerUser: number;
  bufferBytesInAll: number;
  /** Silence after which a connection is dead; supabase-js sends a heartbeat every 25 s. */
  silenceMs: number;

  /** How often connected accounts are looked at, and how often private topics are judged again whatever happened. */
  standingMs: number;
  rejudgeMs: number;
  /** What judging one user's filters on one batch of changes may take, and how often it may take longer. */
  judgingMs: number;
  judgingStrikes: number;
}

const KiB = 1024;
const MiB = 1024 * KiB;

export const LIMITS: Limits = {
  connectionsPerUser: 100,
  waitingConnections: 500,
  waitingPerAddress: 250,
  guestConnections: 500,
  guestsPerAddress: 250,

  channelsPerConnection: 100,
  joinsPerSecond: 500,
  messagesPerSecond: 500,
  deliveriesPerSecond: 5000,
  deliveredBytesPerSecond: 16 * MiB,

  changesPerChannel: 100,
  changesPerUser: 1000,
  scannedChangesPerUser: 200,
  filterBytes: 4 * KiB,

  presenceCalls: 5,
  presenceWindowMs: 30_000,
  presenceBytes: 10 * KiB,
  presenceBytesPerTopic: 512 * KiB,
  presencesPerConnection: 25,
  presenceDeliveriesPerSecond: 1000,
  presenceDeliveredBytesPerSecond: MiB,

  nameBytes: 255,
  refBytes: 64,
  tokenBytes: 16 * KiB,
  payloadBytes: 3_000_500,
  messagesPerRequest: 100,
  requestsPerSecond: 100,
  frameBytes: 5_000_000,
  guestFrameBytes: 272 * KiB,
  recordBytes: MiB,

  bufferBytes: 16 * MiB,
  bufferBytesPerUser: 64 * MiB,
  bufferBytesInAll: 256 * MiB,
  silenceMs: 60_000,

  standingMs: 5000,
  rejudgeMs: 30_000,
  judgingMs: 50,
  judgingStrikes: 3,
};

/** Counts up to `max` in windows of `windowMs`; pure but for its own state: the time is passed in. */
export class RateWindow {
  readonly #max: number;
  readonly #windowMs: number;
  #count = 0;
  #endsAt = 0;

  constructor(max: number, windowMs: number) {
    this.#max = max;
    this.#windowMs = windowMs;
  }

  /** Takes one; false when this window has none left. */
  take(now: number): boolean {
    if (now >= this.#endsAt) {
      this.#count = 0;
      this.#endsAt = now + this.#windowMs;
    }
    this.#count += 1;
    return this.#count <= this.#max;
  }

  /** Whether nothing of it counts any more. */
  isOver(now: number): boolean {
    return now >= this.#endsAt;
  }
}
