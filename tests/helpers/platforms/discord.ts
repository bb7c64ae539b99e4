// A stand-in for Discord's REST API v10 and its gateway (https://discord.com/developers/docs), written from their documentation:
// one bot in one server with one text channel, and the failures that a bot meets.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text as bodyOf } from "node:stream/consumers";
import { type WebSocket, WebSocketServer } from "ws";

export const DISCORD_TOKEN = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs";

/** Ids as Discord makes them. */
export const IDS = {
  bot: "198622483471925248",
  guild: "197038439483310086",
  channel: "197038439483310087",
  everyone: "197038439483310086",
  user: "80351110224678912",
};

const OP = {
  dispatch: 0,
  heartbeat: 1,
  identify: 2,
  resume: 6,
  reconnect: 7,
  invalid: 9,
  hello: 10,
  ack: 11,
};

/** GUILD_MEMBERS, GUILD_PRESENCES and MESSAGE_CONTENT, which have to be switched on for an application. */
const PRIVILEGED = (1 << 1) | (1 << 8) | (1 << 15);

export interface DiscordDouble extends AsyncDisposable {
  /** Where requests to discord.com have to arrive. */
  readonly port: number;
  readonly sent: { readonly channelId: string; readonly content: string; readonly at: number }[];
  /** What came over the gateway: "identify", "resume", "heartbeat". */
  readonly heard: string[];
  /** Requests, as `POST /channels/…/messages`. */
  readonly requests: string[];
  /** Somebody writes in the channel, and mentions the bot. */
  write(text: string): void;
  /** The next POST of a message is refused by a rate limit of so many seconds. */
  limitNext(seconds: number): void;
  /** The next POST of a typing indicator is refused: the bot lacks a permission. */
  refuseTyping(): void;
  /** Closes the gateway's connection; 4004 is a refused token. */
  close(code: number): void;
  /** Asks the bot to connect again (opcode 7). */
  askToReconnect(): void;
  /** Sessions cannot be resumed any more: resuming is answered with opcode 9. */
  forgetSessions(): void;
  /** Whether the token works. */
  accept(works: boolean): void;
  /** Whether the application may have privileged intents. */
  allowPrivileged(allowed: boolean): void;
  /** Whether a session is connected and ready. */
  isConnected(): boolean;
}

interface Session {
  readonly id: string;
  socket: WebSocket | undefined;
  sequence: number;
  readonly past: { readonly s: number; readonly payload: string }[];
}

const bot = {
  id: IDS.bot,
  username: "ada",
  discriminator: "0420",
  global_name: null,
  avatar: null,
  bot: true,
  flags: 0,
};
const grace = {
  id: IDS.user,
  username: "grace",
  discriminator: "0",
  global_name: "Grace",
  avatar: null,
  bot: false,
};
const channel = {
  id: IDS.channel,
  guild_id: IDS.guild,
  type: 0,
  name: "general",
  position: 0,
  permission_overwrites: [],
  nsfw: false,
  topic: null,
  last_message_id: null,
  rate_limit_per_user: 0,
  parent_id: null,
};
const joined = "2026-01-01T00:00:00.000000+00:00";
const member = (user: unknown) => ({
  user,
  roles: [],
  nick: null,
  avatar: null,
  joined_at: joined,
  premium_since: null,
  deaf: false,
  mute: false,
  flags: 0,
  pending: false,
});
const guild = {
  id: IDS.guild,
  name: "Launchpad",
  icon: null,
  splash: null,
  discovery_splash: null,
  owner_id: IDS.user,
  afk_channel_id: null,
  afk_timeout: 300,
  verification_level: 0,
  default_message_notifications: 0,
  explicit_content_filter: 0,
  // Every permission there is, for everybody.
  roles: [
    {
      id: IDS.everyone,
      name: "@everyone",
      color: 0,
      hoist: false,
      position: 0,
      permissions: String((1n << 47n) - 1n),
      managed: false,
      mentionable: false,
      flags: 0,
    },
  ],
  emojis: [],
  features: [],
  mfa_level: 0,
  application_id: null,
  system_channel_id: null,
  system_channel_flags: 0,
  rules_channel_id: null,
  vanity_url_code: null,
  description: null,
  banner: null,
  premium_tier: 0,
  preferred_locale: "en-US",
  public_updates_channel_id: null,
  nsfw_level: 0,
  premium_progress_bar_enabled: false,
  stickers: [],
};
const guildCreate = {
  ...guild,
  joined_at: joined,
  large: false,
  unavailable: false,
  member_count: 2,
  voice_states: [],
  members: [member(bot), member(grace)],
  channels: [channel],
  threads: [],
  presences: [],
  stage_instances: [],
  guild_scheduled_events: [],
  soundboard_sounds: [],
};

let lastId = BigInt(Date.now() - 1_420_070_400_000) << 22n;
const snowflake = () => String(++lastId);

/** Starts it on a loopback port. */
export async function startDiscord(token = DISCORD_TOKEN): Promise<DiscordDouble> {
  const sent: { channelId: string; content: string; at: number }[] = [];
  const heard: string[] = [];
  const requests: string[] = [];
  const limits: number[] = [];
  const sessions = new Map<string, Session>();
  let live: Session | undefined;
  let works = true;
  let privileged = true;
  let typingRefused = false;

  const message = (content: string, author: unknown, more: Record<string, unknown> = {}) => ({
    id: snowflake(),
    channel_id: IDS.channel,
    author,
    content,
    timestamp: new Date().toISOString(),
    edited_timestamp: null,
    tts: false,
    mention_everyone: false,
    mentions: [],
    mention_roles: [],
    attachments: [],
    embeds: [],
    pinned: false,
    type: 0,
    ...more,
  });

  function dispatch(session: Session, t: string, d: unknown): void {
    const s = ++session.sequence;
    const payload = JSON.stringify({ op: OP.dispatch, s, t, d });
    session.past.push({ s, payload });
    session.socket?.send(payload);
  }

  function identify(socket: WebSocket, d: { token: string; intents: number }): void {
    if (!works || d.token !== token) return void socket.close(4004, "Authentication failed.");
    if (!privileged && (d.intents & PRIVILEGED) !== 0)
      return void socket.close(4014, "Disallowed intent(s).");
    const session: Session = { id: randomUUID(), socket, sequence: 0, past: [] };
    sessions.set(session.id, session);
    live = session;
    dispatch(session, "READY", {
      v: 10,
      user: bot,
      guilds: [{ id: IDS.guild, unavailable: true }],
      session_id: session.id,
      resume_gateway_url: `ws://127.0.0.1:${port}`,
      application: { id: IDS.bot, flags: 0 },
    });
    dispatch(session, "GUILD_CREATE", guildCreate);
  }

  function resume(socket: WebSocket, d: { token: string; session_id: string; seq: number }): void {
    if (!works || d.token !== token) return void socket.close(4004, "Authentication failed.");
    const session = sessions.get(d.session_id);
    if (session === undefined) return void socket.send(JSON.stringify({ op: OP.invalid, d: false }));
    session.socket = socket;
    live = session;
    for (const { s, payload } of session.past) if (s > d.seq) socket.send(payload);
    dispatch(session, "RESUMED", {});
  }

  const gateway = new WebSocketServer({ noServer: true });
  gateway.on("connection", (socket) => {
    socket.send(JSON.stringify({ op: OP.hello, d: { heartbeat_interval: 2_000 } }));
    socket.on("message", (raw) => {
      const { op, d } = JSON.parse(String(raw));
      const name = Object.entries(OP).find(([, code]) => code === op)?.[0];
      if (name !== undefined) heard.push(name);
      if (op === OP.heartbeat) socket.send(JSON.stringify({ op: OP.ack }));
      else if (op === OP.identify) identify(socket, d);
      else if (op === OP.resume) resume(socket, d);
    });
    socket.on("close", () => {
      if (live?.socket === socket) live.socket = undefined;
    });
  });

  const routes: [RegExp, (body: Record<string, unknown>, path: string) => unknown][] = [
    [
      /^GET \/gateway\/bot$/,
      () => ({
        url: `ws://127.0.0.1:${port}`,
        shards: 1,
        session_start_limit: { total: 1000, remaining: 999, reset_after: 14_400_000, max_concurrency: 1 },
      }),
    ],
    [/^GET \/users\/@me$/, () => bot],
    [
      /^GET \/users\/@me\/guilds/,
      () => [{ id: IDS.guild, name: guild.name, icon: null, owner: false, permissions: "0", features: [] }],
    ],
    [
      /^GET \/guilds\/\d+\/audit-logs/,
      () => ({
        audit_log_entries: [],
        users: [],
        webhooks: [],
        integrations: [],
        threads: [],
        application_commands: [],
        auto_moderation_rules: [],
        guild_scheduled_events: [],
      }),
    ],
    [/^GET \/guilds\/\d+\/members/, () => [member(bot), member(grace)]],
    [/^GET \/guilds\/\d+/, () => guild],
    [/^GET \/channels\/\d+$/, () => channel],
    [/^POST \/channels\/\d+\/typing$/, () => undefined],
    [/^PUT \/applications\/\d+\//, () => []],
    [
      /^POST \/channels\/\d+\/messages$/,
      (body, path) => {
        const content = String(body.content ?? "");
        sent.push({ channelId: path.split("/")[2] ?? "", content, at: Date.now() });
        return message(content, bot);
      },
    ],
  ];

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = (status: number, body?: unknown, headers: Record<string, string> = {}) =>
      body === undefined
        ? response.writeHead(status).end()
        : response
            .writeHead(status, { "content-type": "application/json", ...headers })
            .end(JSON.stringify(body));
    const path = (request.url ?? "/").replace(/^\/api\/v10/, "").replace(/\?.*$/, "");
    const asked = `${request.method} ${path}`;
    const body = await bodyOf(request);
    requests.push(asked);
    if (!works || request.headers.authorization !== `Bot ${token}`) {
      return void answer(401, { message: "401: Unauthorized", code: 0 });
    }
    if (typingRefused && path.endsWith("/typing")) {
      typingRefused = false;
      return void answer(403, { message: "Missing Permissions", code: 50_013 });
    }
    const seconds = /\/messages$/.test(path) ? limits.shift() : undefined;
    if (seconds !== undefined) {
      const headers = { "retry-after": String(seconds), "x-ratelimit-scope": "user" };
      return void answer(
        429,
        { message: "You are being rate limited.", retry_after: seconds, global: false },
        headers,
      );
    }
    const route = routes.find(([pattern]) => pattern.test(asked));
    if (route === undefined) return void answer(404, { message: "404: Not Found", code: 0 });
    const result = route[1](body === "" || body.startsWith("--") ? {} : JSON.parse(body), path);
    answer(result === undefined ? 204 : 200, result);
  }

  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  server.on("upgrade", (request, socket, head) =>
    gateway.handleUpgrade(request, socket, head, (opened) => gateway.emit("connection", opened)),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const connected = () => {
    if (live?.socket === undefined) throw new Error("No bot is connected to the gateway.");
    return { session: live, socket: live.socket };
  };
  return {
    port,
    sent,
    heard,
    requests,
    write(text) {
      const more = { guild_id: IDS.guild, member: member(undefined), mentions: [bot] };
      dispatch(connected().session, "MESSAGE_CREATE", message(text, grace, more));
    },
    limitNext: (seconds) => void limits.push(seconds),
    refuseTyping() {
      typingRefused = true;
    },
    close: (code) => connected().socket.close(code),
    askToReconnect: () => connected().socket.send(JSON.stringify({ op: OP.reconnect, d: null })),
    forgetSessions: () => sessions.clear(),
    accept(now) {
      works = now;
    },
    allowPrivileged(now) {
      privileged = now;
    },
    isConnected: () => live?.socket !== undefined,
    async [Symbol.asyncDispose]() {
      for (const socket of gateway.clients) socket.terminate();
      gateway.close();
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
