/** The limits of a connection. Where hosted has a default it is hosted's (its plans' documentation, runtime.exs). */
export interface Limits {
  /** Sockets of one user; the Launchpad specification's "100 concurrent connections per user". */
  connectionsPerUser: number;
  channelsPerConnection: number;
  joinsPerSecond: number;
  /** Broadcasts and other messages of one connection. */
  messagesPerSecond: number;
  /** presence calls of one channel, and their window. */
  presenceCalls: number;
  presenceWindowMs: number;
  /** A broadcast's or a presence's payload. */
  payloadBytes: number;
  /** A WebSocket frame; larger ones end the connection with 1009. */
  frameBytes: number;
  /** A row; of a larger one only values up to 64 bytes are sent, with an error. */
  recordBytes: number;
  /** What may wait for a slow reader before it is cut off. */
  bufferBytes: number;
  /** Silence after which a connection is dead; supabase-js sends a heartbeat every 25 s. */
  silenceMs: number;
}

export const LIMITS: Limits = {
  connectionsPerUser: 100,
  channelsPerConnection: 100,
  joinsPerSecond: 500,
  messagesPerSecond: 500,
  presenceCalls: 5,
  presenceWindowMs: 30_000,
  payloadBytes: 3_000_500,
  frameBytes: 5_000_000,
  recordBytes: 1024 * 1024,
  bufferBytes: 16 * 1024 * 1024,
  silenceMs: 60_000,
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
}
