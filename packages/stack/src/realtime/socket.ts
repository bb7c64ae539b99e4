import type { WebSocket } from "ws";
import { reasonOf } from "../errors.ts";
import { Channel, type ChannelSocket, JoinRefused } from "./channel.ts";
import { type Identity, verifyToken } from "./claims.ts";
import type { RealtimeContext } from "./context.ts";
import { encodeEnd, encodeReply, type Frame, parseFrame, type Version } from "./frames.ts";
import { type JoinConfig, parseJoin } from "./join.ts";
import { RateWindow } from "./limits.ts";

/** Messages that may wait for their turn; beyond it the connection is not read. */
const MOST_PENDING = 256;

/** One client's connection and its channels. Messages of one topic are dealt with in order, topics beside each other. */
export class RealtimeSocket implements ChannelSocket {
  readonly version: Version;
  readonly headersJson: string;
  readonly #ws: WebSocket;
  readonly #context: RealtimeContext;
  readonly #keyIdentity: Identity;
  readonly #channels = new Map<string, Channel>();
  readonly #turns = new Map<string, Promise<void>>();
  readonly #messages: RateWindow;
  #pending = 0;
  #heardAt: number;
  #closed = false;

  constructor(
    ws: WebSocket,
    context: RealtimeContext,
    options: { version: Version; headersJson: string; identity: Identity },
  ) {
    this.#ws = ws;
    this.#context = context;
    this.version = options.version;
    this.headersJson = options.headersJson;
    this.#keyIdentity = options.identity;
    this.#messages = new RateWindow(context.limits.messagesPerSecond, 1000);
    this.#heardAt = context.now();
    ws.on("message", (data: Buffer, isBinary: boolean) => this.#receive(data, isBinary));
    ws.on("close", () => this.#end());
    ws.on("error", () => undefined); // an oversized or broken frame: ws itself says so (1009, 1002) and closes
  }

  get channels(): Iterable<Channel> {
    return this.#channels.values();
  }

  /** Sends to the client. One that reads too slowly is cut off: what waits for it is bounded, and it holds up nobody. */
  send(data: string | Buffer): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    if (this.#ws.bufferedAmount > this.#context.limits.bufferBytes) {
      this.#context.log(`a client is cut off: ${this.#ws.bufferedAmount} bytes wait for it`);
      this.#ws.terminate();
      return;
    }
    this.#ws.send(data);
  }

  reply(frame: Frame, status: "ok" | "error", response: unknown): void {
    this.send(encodeReply(this.version, frame, status, response));
  }

  ended(channel: Channel): void {
    if (this.#channels.get(channel.topic) !== channel) return;
    this.#channels.delete(channel.topic);
    this.send(encodeEnd(this.version, channel.topic, "phx_close", channel.joinRef));
  }

  /** Ends the connection when nothing has come for too long. */
  sweep(now: number): void {
    if (now - this.#heardAt > this.#context.limits.silenceMs) this.#ws.terminate();
  }

  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
  }

  terminate(): void {
    this.#ws.terminate();
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
    this.#context.users.disconnect(this);
  }

  #receive(data: Buffer, isBinary: boolean): void {
    this.#heardAt = this.#context.now();
    const frame = parseFrame(this.version, data, isBinary);
    // Hosted's serializer fails on what it cannot read, which ends the connection.
    if (!frame) {
      this.#ws.close(1011, "");
      return;
    }
    if (frame.topic === "phoenix") {
      if (frame.event === "heartbeat") this.reply(frame, "ok", {});
      else this.reply(frame, "error", { reason: "unmatched topic" });
      return;
    }
    this.#pending += 1;
    if (this.#pending > MOST_PENDING) this.#ws.pause();
    const turn = (this.#turns.get(frame.topic) ?? Promise.resolve())
      .then(() => this.#handle(frame))
      .catch((error: unknown) => this.#fail(frame, error))
      .finally(() => {
        if (this.#turns.get(frame.topic) === turn) this.#turns.delete(frame.topic);
        this.#pending -= 1;
        if (this.#ws.isPaused && this.#pending < MOST_PENDING / 2) this.#ws.resume();
      });
    this.#turns.set(frame.topic, turn);
  }

  /** A defect of ours: the channel ends with phx_error, and the client joins again. */
  #fail(frame: Frame, error: unknown): void {
    this.#context.log(`UnknownErrorOnChannel: ${error instanceof Error ? error.stack : reasonOf(error)}`);
    const channel = this.#channels.get(frame.topic);
    if (!channel) {
      this.reply(frame, "error", { reason: "Unknown Error on Channel" });
      return;
    }
    channel.close();
    this.#channels.delete(frame.topic);
    this.send(encodeEnd(this.version, frame.topic, "phx_error", channel.joinRef));
  }

  async #handle(frame: Frame): Promise<void> {
    if (this.#closed) return;
    if (frame.event === "phx_join") return await this.#join(frame);
    const channel = this.#channels.get(frame.topic);
    if (frame.event === "phx_leave") {
      this.reply(frame, "ok", {});
      channel?.close();
      if (channel) this.ended(channel);
      return;
    }
    if (!channel) return this.reply(frame, "error", { reason: "unmatched topic" });
    // A message of an earlier life of the channel (Phoenix compares the join's reference).
    if (frame.joinRef !== null && frame.joinRef !== channel.joinRef) return;
    if (!this.#messages.take(this.#context.now())) {
      channel.system("system", "error", "Too many messages per second");
      channel.close();
      return this.ended(channel);
    }
    await channel.handle(frame);
  }

  async #join(frame: Frame): Promise<void> {
    const refuse = (reason: string) => this.reply(frame, "error", { reason });
    if (!frame.topic.startsWith("realtime:")) return refuse("unmatched topic");
    if (frame.topic === "realtime:") return refuse("TopicNameRequired: You must provide a topic name");
    const before = this.#channels.get(frame.topic);
    if (before) {
      // A second join replaces the first (Phoenix.Socket).
      before.close();
      this.ended(before);
    }
    const config = parseJoin(frame.payload, frame.topic.slice("realtime:".length));
    const identity = this.#identify(config);
    if ("problem" in identity) return refuse(`${identity.problem.code}: ${identity.problem.message}`);
    const { users, limits } = this.#context;
    if (!users.connect(identity, this)) {
      return refuse("ConnectionRateLimitReached: Too many connected users");
    }
    if (!users.join(identity, this.#context.now())) {
      refuse("ClientJoinRateLimitReached: Too many joins per second");
      return this.#ws.close(1000, "");
    }
    if (this.#channels.size >= limits.channelsPerConnection) {
      return refuse("ChannelRateLimitReached: Too many channels");
    }
    const channel = new Channel(this, this.#context, frame, config, identity);
    try {
      // It may end at once (a token that has just run out), so it is known before it joins.
      this.#channels.set(frame.topic, channel);
      await channel.join(frame);
    } catch (error) {
      this.#channels.delete(frame.topic);
      if (!(error instanceof JoinRefused)) throw error;
      refuse(error.message);
    }
  }

  #identify(config: JoinConfig): ReturnType<typeof verifyToken> {
    const { accessToken } = config;
    if (accessToken === undefined || accessToken.startsWith("sb_")) return this.#keyIdentity;
    return verifyToken(accessToken, this.#context.jwtSecret, this.#context.now());
  }
}
