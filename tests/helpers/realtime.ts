// What tests of Realtime share: waiting for what arrives, and a socket without supabase-js.
import type { RealtimeChannel } from "@supabase/supabase-js";
import { PATIENCE_MS } from "./processes.ts";
import type { StackInfo } from "./stack.ts";

/** Collects what arrives, and lets a test wait for it. */
export class Inbox<T> {
  readonly all: T[] = [];
  #waiting = new Set<() => void>();
  #ended: string | undefined;

  push = (item: T): void => {
    this.all.push(item);
    for (const look of [...this.#waiting]) look();
  };

  /** Nothing more will come: whoever waits is told why, with what has come. */
  end(why: string): void {
    this.#ended ??= why;
    for (const look of [...this.#waiting]) look();
  }

  /** The first item that fits, come or yet to come. Throws after `timeoutMs` with what has come instead. */
  async first(fits: (item: T) => boolean = () => true, timeoutMs = PATIENCE_MS): Promise<T> {
    await this.until(() => this.all.some(fits), timeoutMs);
    return this.all.find(fits) as T;
  }

  /** Resolves when `enough` items are there. */
  async count(enough: number, timeoutMs = PATIENCE_MS): Promise<T[]> {
    await this.until(() => this.all.length >= enough, timeoutMs);
    return this.all;
  }

  async until(done: () => boolean, timeoutMs = PATIENCE_MS): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fail = (why: string) =>
      reject(new Error(`${why}; came: ${JSON.stringify(this.all).slice(0, 2000)}`));
    const look = () => {
      if (done()) resolve();
      else if (this.#ended !== undefined) fail(this.#ended);
    };
    const timer = setTimeout(() => fail("not in time"), timeoutMs);
    this.#waiting.add(look);
    look();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }
}

/** Subscribes and resolves at SUBSCRIBED; throws with the reason at CHANNEL_ERROR, CLOSED or TIMED_OUT. */
export async function subscribed(
  channel: RealtimeChannel,
  onStatus?: (status: string) => void,
): Promise<RealtimeChannel> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  channel.subscribe((status, error) => {
    onStatus?.(status);
    if (status === "SUBSCRIBED") resolve();
    else reject(new Error(`${status}${error ? `: ${error.message}` : ""}`));
  });
  await promise;
  return channel;
}

/** The reason why a channel does not subscribe. Throws when it does. */
export async function refusal(channel: RealtimeChannel): Promise<string> {
  try {
    await subscribed(channel);
  } catch (error) {
    await channel.unsubscribe();
    return (error as Error).message;
  }
  throw new Error("the channel subscribed");
}

export type RawMessage = [string | null, string | null, string, string, Record<string, unknown>];

export interface RawSocket {
  messages: Inbox<RawMessage>;
  binary: Inbox<Buffer>;
  /** Settles with the close code. */
  closed: Promise<number>;
  send(data: unknown): void;
  sendRaw(data: string | Uint8Array<ArrayBuffer>): void;
  /** Joins and gives the reply's payload. */
  join(topic: string, payload?: Record<string, unknown>, ref?: string): Promise<Record<string, unknown>>;
  close(): void;
}

/** Opens a socket of protocol version 2.0.0. */
export async function openSocket(
  info: StackInfo,
  key = info.publishableKey,
  vsn = "2.0.0",
): Promise<RawSocket> {
  const ws = new WebSocket(`${info.realtimeUrl}/websocket?apikey=${key}&vsn=${vsn}`);
  ws.binaryType = "arraybuffer";
  const messages = new Inbox<RawMessage>();
  const binary = new Inbox<Buffer>();
  const { promise: closed, resolve } = Promise.withResolvers<number>();
  const { promise: opened, resolve: open, reject } = Promise.withResolvers<void>();
  ws.addEventListener("open", () => open());
  ws.addEventListener("error", () => reject(new Error("no connection")));
  ws.addEventListener("close", ({ code, reason }) => {
    resolve(code);
    for (const inbox of [messages, binary]) inbox.end(`the socket closed with ${code} ${reason}`);
  });
  ws.addEventListener("message", ({ data }) => {
    if (typeof data === "string") messages.push(JSON.parse(data) as RawMessage);
    else binary.push(Buffer.from(data as ArrayBuffer));
  });
  await opened;
  return {
    messages,
    binary,
    closed,
    send: (data) => ws.send(JSON.stringify(data)),
    sendRaw: (data) => ws.send(data),
    async join(topic, payload = { config: {} }, ref = String(messages.all.length + 1)) {
      ws.send(JSON.stringify([ref, ref, topic, "phx_join", payload]));
      const reply = await messages.first((m) => m[1] === ref && m[2] === topic && m[3] === "phx_reply");
      return reply[4];
    },
    close: () => ws.close(),
  };
}
