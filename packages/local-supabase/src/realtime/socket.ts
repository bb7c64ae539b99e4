// One client's connection: reads frames, joins and leaves channels, slows down or cuts off who asks for too much.
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { reasonOf } from "../errors.ts";
import type { Backlog } from "./backlog.ts";
import { Channel, type ChannelSocket, JoinRefused } from "./channel.ts";
import { type Identity, verifyToken } from "./claims.ts";
import { type RealtimeContext, untilPaid } from "./context.ts";
import { encodeEnd, encodeReply, type Frame, parseFrame, type Version } from "./frames.ts";
import { configProblem, type JoinConfig, nameProblem, parseJoin } from "./join.ts";
import { RateWindow } from "./limits.ts";
import { isGuest, type Owner, ownerOf } from "./owners.ts";

/** Messages that may wait for their turn, and their bytes; beyond it the connection is not read. */
const MOST_PENDING = 256;
const MOST_PENDING_BYTES = 5_000_000;
/** What one read of the network may bring of the next message. */
const ONE_READ = 64 * 1024;
const PREFIX = "realtime:";

/** Bytes that wait at a connection in one direction. */
export interface Waiting {
  readonly waitingBytes: number;
  readonly owner: Owner;
  readonly socket: RealtimeSocket;
}

export interface SocketOptions {
  version: Version;
  headersJson: string;
  identity: Identity;
  address: string;
  /** The stream below the WebSocket. */
  stream: Duplex;
  incoming: Backlog<Waiting>;
  outgoing: Backlog<Waiting>;
}

/** Messages of one topic are handled in order, topics beside each other. */
export class RealtimeSocket implements ChannelSocket {
  readonly version: Version;
  readonly headersJson: string;
  readonly address: string;
  readonly #ws: WebSocket;
  readonly #context: RealtimeContext;
  readonly #keyIdentity: Identity;
  readonly #channels = new Map<string, Channel>();
  readonly #turns = new Map<string, Promise<void>>();
  readonly #messages: RateWindow;
  readonly #frames: RateWindow;
  readonly #incoming: Backlog<Waiting>;
  readonly #outgoing: Backlog<Waiting>;
  readonly #read: Waiting;
  readonly #written: Waiting;
  /** Who answers for this connection: the first user that joined, until then its address. */
  #owner: Owner;
  #pending = 0;
  #pendingBytes = 0;
  #unfinishedBytes = 0;
  #heardAt: number;
  #resting: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(ws: WebSocket, context: RealtimeContext, options: SocketOptions) {
    this.#ws = ws;
    this.#context = context;
    this.version = options.version;
    this.headersJson = options.headersJson;
    this.address = options.address;
    this.#keyIdentity = options.identity;
    this.#owner = ownerOf(options.identity, options.address);
    this.#messages = new RateWindow(context.limits.messagesPerSecond, 1000);
    this.#frames = new RateWindow(2 * context.limits.messagesPerSecond, 1000);
    this.#incoming = options.incoming;
    this.#outgoing = options.outgoing;
    this.#heardAt = context.now();
    const self = this;
    this.#read = {
      socket: this,
      get owner() {
        return self.#owner;
      },
      get waitingBytes() {
        return self.#unfinishedBytes + self.#pendingBytes;
      },
    };
    this.#written = {
      socket: this,
      get owner() {
        return self.#owner;
      },
      get waitingBytes() {
        return ws.bufferedAmount;
      },
    };
    options.stream.prependListener("data", (chunk: Buffer) => this.#count(chunk.length));
    ws.on("message", (data: Buffer, isBinary: boolean) => this.#receive(data, isBinary));
    ws.on("ping", () => this.#pinged());
    ws.on("close", () => this.#end());
    ws.on("error", () => undefined); // an oversized or broken frame: ws answers it (1009, 1002) and closes
    context.connections.open(this);
  }

  get channels(): Iterable<Channel> {
    return this.#channels.values();
  }

  /** Sends to the client. One that reads too slowly is cut off: what waits for it is bounded, and no other client waits. */
  send(data: string | Buffer, options?: { binary: boolean }): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    if (this.#ws.bufferedAmount > this.#context.limits.bufferBytes) {
      this.cutOff("bytes wait for it");
      return;
    }
    if (options) this.#ws.send(data, options);
    else this.#ws.send(data);
    this.#outgoing.note(this.#written);
  }

  reply(frame: Frame, status: "ok" | "error", response: unknown): void {
    this.send(encodeReply(this.version, frame, status, response));
  }

  ended(channel: Channel): void {
    if (this.#channels.get(channel.topic) !== channel) return;
    this.#channels.delete(channel.topic);
    this.send(encodeEnd(this.version, channel.topic, "phx_close", channel.joinRef));
  }

  admit(identity: Identity): boolean {
    const owner = ownerOf(identity, this.address);
    if (!this.#context.connections.join(this, owner)) return false;
    if (isGuest(this.#owner)) this.#owner = owner;
    return true;
  }

  /** How many topics this connection is present in. */
  get presences(): number {
    return [...this.#channels.values()].filter(({ isPresent }) => isPresent).length;
  }

  /** Ends the connection when nothing came for too long. */
  sweep(now: number): void {
    if (now - this.#heardAt > this.#context.limits.silenceMs && !this.#resting) this.#ws.terminate();
  }

  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
  }

  terminate(): void {
    this.#ws.terminate();
  }

  /** Ends all channels with a reason, and the connection. */
  dismiss(reason: string): void {
    for (const channel of [...this.#channels.values()]) channel.end(reason);
    this.#ws.close(1008, "");
  }

  /** Ends the connection at once, and logs why. */
  cutOff(reason: string): void {
    this.#context.log(`a client is cut off (${this.#owner}): ${this.#ws.bufferedAmount} ${reason}`);
    this.#ws.terminate();
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#resting);
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
    this.#context.connections.close(this);
    this.#incoming.forget(this.#read);
    this.#outgoing.forget(this.#written);
  }

  /** Bytes arrived. A connection without a user may not have a large message under way. */
  #count(bytes: number): void {
    this.#unfinishedBytes += bytes;
    this.#incoming.note(this.#read);
    const most = this.#context.limits.guestFrameBytes + ONE_READ;
    if (this.#unfinishedBytes > most && isGuest(this.#owner)) this.#tooLarge();
  }

  /** A frame of the WebSocket protocol itself, which ws has answered. */
  #pinged(): void {
    this.#unfinishedBytes = 0;
    if (!this.#frames.take(this.#context.now())) this.#rest(1000);
  }

  #tooLarge(): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    this.#ws.close(1009, "");
    setTimeout(() => this.#ws.terminate(), 1000).unref(); // what it still sends is not wanted
  }

  #receive(data: Buffer, isBinary: boolean): void {
    this.#heardAt = this.#context.now();
    this.#unfinishedBytes = 0;
    const { limits, spending } = this.#context;
    if (data.length > limits.guestFrameBytes && isGuest(this.#owner)) {
      this.#tooLarge();
      return;
    }
    const frame = parseFrame(this.version, data, isBinary, limits.refBytes);
    // Hosted's serializer fails on what it cannot read, which ends the connection.
    if (!frame) {
      this.#ws.close(1011, "");
      return;
    }
    if (!this.#frames.take(this.#heardAt)) this.#rest(1000);
    const owed = spending.waitMs(this.#owner, this.#heardAt);
    if (owed > 0) this.#rest(owed);
    if (frame.topic === "phoenix") {
      if (frame.event === "heartbeat") this.reply(frame, "ok", {});
      else this.reply(frame, "error", { reason: "unmatched topic" });
      return;
    }
    this.#pending += 1;
    this.#pendingBytes += data.length;
    this.#incoming.note(this.#read);
    if (this.#isFull()) this.#ws.pause();
    const turn = (this.#turns.get(frame.topic) ?? Promise.resolve())
      .then(() => this.#handle(frame))
      .catch((error: unknown) => this.#fail(frame, error))
      .finally(() => {
        if (this.#turns.get(frame.topic) === turn) this.#turns.delete(frame.topic);
        this.#pending -= 1;
        this.#pendingBytes -= data.length;
        this.#continue();
      });
    this.#turns.set(frame.topic, turn);
  }

  #isFull(): boolean {
    return this.#pending > MOST_PENDING || this.#pendingBytes > MOST_PENDING_BYTES;
  }

  /** Reads nothing for a while: the client is slowed down, and loses nothing. */
  #rest(ms: number): void {
    this.#ws.pause();
    if (this.#resting) return;
    this.#resting = setTimeout(() => {
      this.#resting = undefined;
      this.#heardAt = this.#context.now();
      this.#continue();
    }, ms);
    this.#resting.unref();
  }

  #continue(): void {
    if (this.#resting || !this.#ws.isPaused || this.#pending > MOST_PENDING / 2 || this.#isFull()) return;
    this.#ws.resume();
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
    await untilPaid(this.#context, channel.owner);
    await channel.handle(frame);
  }

  async #join(frame: Frame): Promise<void> {
    const refuse = (reason: string) => this.reply(frame, "error", { reason });
    const { limits, spending } = this.#context;
    if (!frame.topic.startsWith(PREFIX)) return refuse("unmatched topic");
    if (frame.topic === PREFIX) return refuse("TopicNameRequired: You must provide a topic name");
    const problem = nameProblem(frame.topic.slice(PREFIX.length), limits.nameBytes);
    if (problem) return refuse(`InvalidTopic: The topic name ${problem}`);
    const before = this.#channels.get(frame.topic);
    if (before) {
      // A second join replaces the first (Phoenix.Socket).
      before.close();
      this.ended(before);
    }
    const config = parseJoin(frame.payload, frame.topic.slice(PREFIX.length));
    const invalid = configProblem(config, limits);
    if (invalid) return refuse(invalid);
    const identity = this.#identify(config);
    if ("problem" in identity) return refuse(`${identity.problem.code}: ${identity.problem.message}`);
    const owner = ownerOf(identity, this.address);
    if (!this.admit(identity)) return refuse("ConnectionRateLimitReached: Too many connected users");
    if (!spending.join(owner, this.#context.now())) {
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
      await untilPaid(this.#context, owner);
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
    return verifyToken(accessToken, this.#context.jwtKeys, this.#context.now());
  }
}
