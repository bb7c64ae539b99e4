// One joined channel: its messages, presence and changes.

import { reasonOf } from "../errors.ts";
import { AuthorizationError, type Extension, mayRead, mayWrite, type Rights } from "./authorization.ts";
import { bindingIds, ChangeBindings } from "./bindings.ts";
import { expired, type Identity, verifyToken } from "./claims.ts";
import { atTurn, type RealtimeContext } from "./context.ts";
import { encodePush, type Frame, isRecord, type Ref, toJson, type Version } from "./frames.ts";
import type { JoinConfig } from "./join.ts";
import { RateWindow } from "./limits.ts";
import { type Owner, ownerOf } from "./owners.ts";
import { type Replayed, readReplay, sendReplayed } from "./replay.ts";
import type { Member, Sent } from "./topics.ts";

/** The connection that a channel belongs to. */
export interface ChannelSocket {
  readonly version: Version;
  /** The client's address. */
  readonly address: string;
  /** How many of its channels are present in their topics. */
  readonly presences: number;
  /** The request headers of the handshake as JSON, for policies. */
  readonly headersJson: string;
  send(data: string | Buffer, options?: { binary: boolean }): void;
  reply(frame: Frame, status: "ok" | "error", response: unknown): void;
  /** Counts the connection to whoever a token names; false when they have too many. */
  admit(identity: Identity): boolean;
  /** The channel ended on the server's side. */
  ended(channel: Channel): void;
}

/** Why a join is refused: the client gets the reason. */
export class JoinRefused extends Error {}

/** How long a join waits for the stream of changes. */
const FEED_MS = 4000;
// Hosted looks at a token at least every five minutes (realtime_channel.ex).
const TOKEN_CHECK_MS = 5 * 60_000;
const NO_DATABASE = "Realtime was unable to connect to the project database";

/** A client in a topic. Made by a join that has passed the connection's own checks; join() does the rest. */
export class Channel implements Member {
  readonly topic: string;
  /** The topic without `realtime:`; policies see it. */
  readonly name: string;
  readonly joinRef: Ref;
  readonly #socket: ChannelSocket;
  readonly #context: RealtimeContext;
  readonly #config: JoinConfig;
  readonly #presenceCalls: RateWindow;
  readonly #bindings: ChangeBindings;
  #identity: Identity;
  #token: string | undefined;
  /** undefined: public, or not yet asked. */
  #read: Rights | undefined;
  #write: Rights | undefined;
  #tracked: string | undefined;
  #tokenTimer: NodeJS.Timeout | undefined;
  #joined = false;
  #closed = false;

  constructor(
    socket: ChannelSocket,
    context: RealtimeContext,
    frame: Frame,
    config: JoinConfig,
    identity: Identity,
  ) {
    this.#socket = socket;
    this.#context = context;
    this.#config = config;
    this.#identity = identity;
    this.#token = config.accessToken;
    this.topic = frame.topic;
    this.name = frame.topic.slice("realtime:".length);
    this.joinRef = frame.joinRef ?? frame.ref;
    this.#presenceCalls = new RateWindow(context.limits.presenceCalls, context.limits.presenceWindowMs);
    this.#bindings = new ChangeBindings(context, this, config.postgresChanges);
  }

  /** Who answers for what this channel makes the server do. */
  get owner(): Owner {
    return ownerOf(this.#identity, this.#socket.address);
  }

  get isPresent(): boolean {
    return this.#tracked !== undefined;
  }

  get version(): Version {
    return this.#socket.version;
  }

  get maySeeBroadcasts(): boolean {
    return !this.#config.private || this.#read?.broadcast === true;
  }

  get maySeePresence(): boolean {
    return !this.#config.private || this.#read?.presence === true;
  }

  /** Joins, answers and starts what was asked for. Throws JoinRefused; nothing is left of the channel then. */
  async join(frame: Frame): Promise<void> {
    let listening = false;
    try {
      await this.#checkAccount();
      if (this.#config.private) this.#read = await this.#readRights();
      const replayed = await this.#replay();
      listening = true;
      // The answer means "subscribed": a change that is committed after it must not be missed. Hosted answers before that.
      const [problem, flowing] = await Promise.all([
        this.#bindings.prepare(this.#identity, this.owner),
        this.#context.feed.listen(FEED_MS),
      ]);
      if (this.#closed) throw new JoinRefused("The connection is gone");
      this.#start(frame, problem, flowing, replayed);
    } catch (error) {
      this.#closed = true;
      this.#bindings.drop();
      if (listening) this.#context.feed.leave();
      throw error;
    }
  }

  #start(frame: Frame, problem: string | undefined, flowing: boolean, replayed: Replayed[]): void {
    this.#joined = true;
    this.#context.hub.join(this.name, this.#config.private, this);
    this.#bindings.start(this.#identity, this.owner);
    this.#socket.reply(frame, "ok", { postgres_changes: bindingIds(this.#config.postgresChanges) });
    this.#watchToken();
    if (this.#config.presenceEnabled && this.maySeePresence) {
      this.#charge(this.#context.hub.sendPresences(this.name, this.#config.private, this));
    }
    sendReplayed(this, replayed);
    if (this.#config.postgresChanges.length > 0) {
      if (problem !== undefined) this.system("postgres_changes", "error", problem);
      else if (flowing) this.flows();
      else {
        this.system("postgres_changes", "error", NO_DATABASE);
        void this.#tellWhenFlowing();
      }
    }
    if (this.#config.replicationReady && flowing) {
      this.system("system", "ok", "Replication connection established");
    }
  }

  /** A client that was told of an error reads what it misses until it is told better. */
  async #tellWhenFlowing(): Promise<void> {
    while (!this.#closed) {
      const flowing = await this.#context.feed.flowing(FEED_MS);
      if (flowing === undefined) return;
      if (flowing) return this.flows();
    }
  }

  /** Deals with a message of the client. */
  async handle(frame: Frame): Promise<void> {
    if (this.#closed) return;
    switch (frame.event) {
      case "broadcast":
        return await this.#handleBroadcast(frame);
      case "presence":
        return await this.#handlePresence(frame);
      case "access_token":
        return await this.#handleToken(frame.payload);
      default: // hosted logs it and says nothing
    }
  }

  /** Sends changes; see ChangeTarget. */
  deliver(ids: number[], dataJson: string): void {
    if (!this.#closed) this.#push("postgres_changes", `{"ids":[${ids.join(",")}],"data":${dataJson}}`);
  }

  /** See ChangeTarget. */
  flows(): void {
    if (!this.#closed) this.system("postgres_changes", "ok", "Subscribed to PostgreSQL");
  }

  /** See ChangeTarget. */
  warn(message: string): void {
    if (!this.#closed) this.system("postgres_changes", "error", message);
  }

  /** See ChangeTarget. */
  end(message: string): void {
    this.#shutDown(message);
  }

  send(data: string | Buffer, options?: { binary: boolean }): void {
    this.#socket.send(data, options);
  }

  /** Takes the channel out of everything; says nothing to the client. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#tracked = undefined;
    clearTimeout(this.#tokenTimer);
    if (!this.#joined) return;
    this.#context.hub.leave(this.name, this.#config.private, this);
    this.#bindings.drop();
    this.#context.feed.leave();
  }

  /** A message about the channel itself. */
  system(extension: "postgres_changes" | "system", status: "ok" | "error", message: string): void {
    const body = JSON.stringify({ extension, status, message, channel: this.name });
    this.#socket.send(encodePush(this.version, this.topic, "system", body, this.joinRef));
  }

  /** Whether the channel listens to changes of the database. */
  get listensToChanges(): boolean {
    return this.#config.postgresChanges.length > 0;
  }

  #charge(sent: Sent): void {
    this.#context.spending.spend(this.owner, sent, this.#context.now());
  }

  #push(event: string, json: string): void {
    this.#socket.send(encodePush(this.version, this.topic, event, json));
  }

  #shutDown(message: string): void {
    if (this.#closed) return;
    this.system("system", "error", message);
    this.close();
    this.#socket.ended(this);
  }

  /**
   * Asks the policies of a private topic again. A right to read that is gone closes the channel; the right to write is
   * asked at the next message.
   */
  async judgeAgain(): Promise<void> {
    if (!this.#joined || this.#closed) return;
    this.#write = undefined;
    if (!this.#config.private) return;
    const before = this.#read;
    let now: Rights;
    try {
      const { database, turns } = this.#context;
      now = await turns.run(this.owner, () =>
        mayRead(database, this.#identity, this.name, this.#socket.headersJson),
      );
    } catch (error) {
      if (!(error instanceof AuthorizationError) || !error.policyFailed) return; // asked again soon
      now = { broadcast: false, presence: false };
    }
    this.#applyRights(before, now);
  }

  /** Closes the channel where a right to read is gone; true when it did. */
  #applyRights(before: Rights | undefined, now: Rights): boolean {
    this.#read = now;
    const revoked = (["broadcast", "presence"] as const).some((kind) => before?.[kind] && !now[kind]);
    if (revoked)
      this.#shutDown(`You no longer have permission to read from this Channel topic: ${this.name}`);
    return revoked;
  }

  async #checkAccount(): Promise<void> {
    const { standing } = this.#context;
    const { sub } = this.#identity;
    let refusal: string | undefined;
    try {
      refusal = await standing.refusal(sub);
    } catch (error) {
      this.#context.log(`account not looked at: ${reasonOf(error)}`);
      throw new JoinRefused(`UnableToConnectToProject: ${NO_DATABASE}`);
    }
    if (refusal !== undefined) throw new JoinRefused(refusal);
  }

  async #readRights(): Promise<Rights> {
    const denied = `You do not have permissions to read from this Channel topic: ${this.name}`;
    let rights: Rights;
    try {
      rights = await atTurn(this.#context, this.owner, () =>
        mayRead(this.#context.database, this.#identity, this.name, this.#socket.headersJson),
      );
    } catch (error) {
      this.#context.log(`RlsPolicyError: ${reasonOf(error)}`);
      const failed = error instanceof AuthorizationError && error.policyFailed;
      throw new JoinRefused(failed ? `Unauthorized: ${denied}` : `UnableToConnectToProject: ${NO_DATABASE}`);
    }
    if (!rights.broadcast && !rights.presence) throw new JoinRefused(`Unauthorized: ${denied}`);
    return rights;
  }

  async #replay(): Promise<Replayed[]> {
    const { replay } = this.#config;
    if (replay === undefined || replay === null) return [];
    if (!this.#config.private) {
      throw new JoinRefused("UnableToReplayMessages: Replay is not allowed for public channels");
    }
    if (!this.#read?.broadcast) {
      throw new JoinRefused(
        `Unauthorized: You do not have permissions to read from this Channel topic: ${this.name}`,
      );
    }
    const { database, now } = this.#context;
    const found = await atTurn(this.#context, this.owner, () =>
      readReplay(database.admin, this.name, replay, now()),
    );
    if (!found) throw new JoinRefused("UnableToReplayMessages: Replay params are not valid");
    return found;
  }

  /** Whether the client may write to its private topic; asked at the first use, as hosted does. */
  async #mayWrite(extension: Extension): Promise<boolean> {
    if (!this.#config.private) return true;
    try {
      this.#write ??= await atTurn(this.#context, this.owner, () =>
        mayWrite(this.#context.database, this.#identity, this.name, this.#socket.headersJson),
      );
      return this.#write[extension];
    } catch (error) {
      this.#context.log(`RlsPolicyError: ${reasonOf(error)}`);
      return false;
    }
  }

  async #handleBroadcast(frame: Frame): Promise<void> {
    // A denied broadcast is dropped without a word (broadcast_handler.ex).
    if (!(await this.#mayWrite("broadcast")) || this.#closed) return;
    const { hub, limits } = this.#context;
    const refuse = (reason: string) => {
      if (this.#config.ack) this.#socket.reply(frame, "error", { reason });
    };
    const event = frame.broadcast?.event ?? (isRecord(frame.payload) ? frame.payload.event : undefined);
    if (typeof event === "string" && Buffer.byteLength(event) > limits.nameBytes)
      return refuse("event_name_too_long");
    const json = frame.broadcast ? undefined : toJson(frame.payload ?? {});
    if (!frame.broadcast && json === undefined) return refuse("payload_nested_too_deep");
    const size = frame.broadcast?.body.length ?? Buffer.byteLength(json ?? "");
    if (size > limits.payloadBytes) return refuse("payload_size_exceeded");
    const from = this.#config.self ? undefined : this;
    this.#charge(
      frame.broadcast
        ? hub.broadcast(this.name, this.#config.private, frame.broadcast, from ? { from } : {})
        : hub.broadcastText(this.name, this.#config.private, json ?? "{}", from),
    );
    if (this.#config.ack) this.#socket.reply(frame, "ok", {});
  }

  async #handlePresence(frame: Frame): Promise<void> {
    const payload = isRecord(frame.payload) ? frame.payload : {};
    if (typeof payload.event !== "string") return this.#socket.reply(frame, "ok", {});
    if (!this.#presenceCalls.take(this.#context.now()))
      return this.#shutDown("Client presence rate limit exceeded");
    const { hub, limits } = this.#context;
    const event = payload.event.toLowerCase();
    if (event === "untrack") {
      this.#tracked = undefined;
      hub.untrack(this.name, this.#config.private, this);
      return this.#socket.reply(frame, "ok", {});
    }
    if (event !== "track" || !(await this.#mayWrite("presence")))
      return this.#socket.reply(frame, "error", {});
    if (this.#closed) return;
    const meta = payload.payload ?? {};
    if (!isRecord(meta)) {
      return this.#socket.reply(frame, "error", { reason: "Presence track payload must be a map" });
    }
    const json = toJson(meta);
    const bytes = Buffer.byteLength(json ?? "");
    if (json === undefined || bytes > limits.presenceBytes)
      return this.#shutDown(`Track message size exceeded: at most ${limits.presenceBytes} bytes of JSON`);
    if (json === this.#tracked) return this.#socket.reply(frame, "ok", {});
    const { presencesPerConnection } = limits;
    if (!this.isPresent && this.#socket.presences >= presencesPerConnection) {
      const reason = `Too many presences: one connection can be present in ${presencesPerConnection} topics`;
      return this.#socket.reply(frame, "error", { reason });
    }
    const presence = { key: this.#config.presenceKey, payload: meta, bytes };
    const sent = hub.track(this.name, this.#config.private, this, presence);
    if (!sent) {
      const reason = "Too many presences: the presences of this topic are full";
      return this.#socket.reply(frame, "error", { reason });
    }
    this.#tracked = json;
    this.#charge(sent);
    this.#socket.reply(frame, "ok", {});
  }

  async #handleToken(payload: unknown): Promise<void> {
    const token = isRecord(payload) ? payload.access_token : undefined;
    // An API key in the token's place and the same token again change nothing.
    if (typeof token !== "string" || token.startsWith("sb_") || token === this.#token) return;
    if (Buffer.byteLength(token) > this.#context.limits.tokenBytes)
      return this.#shutDown("The token is too long");
    const identity = verifyToken(token, this.#context.jwtKeys, this.#context.now());
    if ("problem" in identity) return this.#shutDown(identity.problem.message);
    if (!this.#socket.admit(identity)) return this.#shutDown("Too many connected users");
    const before = this.#read;
    this.#token = token;
    this.#identity = identity;
    try {
      await this.#checkAccount();
    } catch (error) {
      return this.#shutDown(reasonOf(error).replace(/^\w+: /, ""));
    }
    this.#write = undefined;
    if (this.#config.private) {
      try {
        this.#read = await this.#readRights();
      } catch (error) {
        return this.#shutDown(reasonOf(error).replace(/^\w+: /, ""));
      }
      if (this.#applyRights(before, this.#read)) return;
    }
    if (this.#closed) return;
    this.#watchToken();
    if (!this.listensToChanges) return;
    const problem = await this.#bindings.renew(identity, this.owner);
    if (this.#closed) return;
    this.system("postgres_changes", problem ? "error" : "ok", problem ?? "Subscribed to PostgreSQL");
  }

  #watchToken(): void {
    clearTimeout(this.#tokenTimer);
    const { expiresAt } = this.#identity;
    if (expiresAt === undefined) return;
    const left = expiresAt * 1000 - this.#context.now();
    this.#tokenTimer = setTimeout(
      () => {
        if (this.#context.now() >= expiresAt * 1000)
          this.#shutDown(expired(expiresAt, this.#context.now()).message);
        else this.#watchToken();
      },
      Math.max(0, Math.min(left, TOKEN_CHECK_MS)),
    );
    this.#tokenTimer.unref();
  }
}
