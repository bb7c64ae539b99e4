// The Realtime service below /realtime/v1.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { reasonOf } from "../errors.ts";
import { sendJson } from "../gateway/replies.ts";
import type { JwtKeys } from "../jwt-keys.ts";
import { Backlog } from "./backlog.ts";
import { type Identity, identityOfKey } from "./claims.ts";
import { Connections } from "./connections.ts";
import type { RealtimeContext } from "./context.ts";
import { createDatabase } from "./database.ts";
import { FairQueue } from "./fair-queue.ts";
import { Feed, SLOT } from "./feed.ts";
import type { UserBroadcast, Version } from "./frames.ts";
import { answerHttp } from "./http.ts";
import { Judge } from "./judging.ts";
import { LIMITS, type Limits } from "./limits.ts";
import { Spending } from "./owners.ts";
import { Past } from "./past.ts";
import { pruneMessages } from "./prune.ts";
import { ChangeQuota } from "./quota.ts";
import { Registry } from "./registry.ts";
import type { Change } from "./replication.ts";
import { dropSlot } from "./slot.ts";
import { RealtimeSocket, type Waiting } from "./socket.ts";
import { Standing } from "./standing.ts";
import { SubscriptionTable } from "./subscriptions.ts";
import { Hub } from "./topics.ts";

export interface RealtimeOptions {
  /** Connection URLs of supabase_realtime_admin and authenticator. */
  urls: { admin: string; api: string };
  jwtKeys: JwtKeys;
  limits?: Partial<Limits>;
  now?: () => number;
  onLog: (line: string) => void;
}

/** The Realtime service below /realtime/v1. The API key has been checked: `role` is its role. */
export interface Realtime {
  upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    client: { role: string; address: string },
  ): void;
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    target: { path: string; role: string; origin: string; address: string },
  ): Promise<void>;
  /** How many sockets are open now. */
  connections(): number;
  stop(): Promise<void>;
}

const SWEEP_MS = 15_000;
const SNAPSHOT_MS = 1000;
const JOINING_MS = 10_000;
const PRUNE_MS = 60 * 60_000;

/** Starts the service. Throws when the database cannot be reached. */
export async function startRealtime(options: RealtimeOptions): Promise<Realtime> {
  const limits = { ...LIMITS, ...options.limits };
  const now = options.now ?? Date.now;
  const database = createDatabase(options.urls, limits.judgingMs);
  const registry = new Registry();
  const hub = new Hub(limits, now);
  const sockets = new Set<RealtimeSocket>();
  const subscriptions = new SubscriptionTable(database.admin, options.onLog);
  const past = new Past(database.past, options.onLog);
  const feed = new Feed({
    url: options.urls.admin,
    database,
    registry,
    recordBytes: limits.recordBytes,
    judge: new Judge(database.judging, limits, now),
    past,
    onMessage: (change) => passOn(hub, change, limits, options.onLog),
    onGap: () => tellGap(sockets, options.onLog),
    onLog: options.onLog,
  });
  const connections = new Connections<RealtimeSocket>(limits);
  const standing = new Standing({
    pool: database.admin,
    connections,
    sockets,
    everyMs: limits.standingMs,
    rejudgeMs: limits.rejudgeMs,
    now,
    log: options.onLog,
  });
  const context: RealtimeContext = {
    database,
    feed,
    hub,
    registry,
    subscriptions,
    limits,
    jwtKeys: options.jwtKeys,
    now,
    log: options.onLog,
    connections,
    standing,
    past,
    spending: new Spending(limits),
    turns: new FairQueue(3, 1),
    quota: new ChangeQuota(limits),
  };
  const bounds = { perOwner: limits.bufferBytesPerUser, inAll: limits.bufferBytesInAll };
  const cutOff = ({ socket }: Waiting, bytes: number) =>
    socket.cutOff(`bytes wait for it, ${bytes} are too many`);
  const outgoing = new Backlog<Waiting>(bounds, cutOff);
  const incoming = new Backlog<Waiting>(bounds, cutOff);

  // What an earlier life left: nobody listens yet.
  await subscriptions.clear();
  await dropSlot(options.urls.admin, SLOT);
  const prune = () =>
    pruneMessages(database.admin).catch((error: unknown) =>
      options.onLog(`old messages not deleted: ${reasonOf(error)}`),
    );
  void prune();
  const pruning = setInterval(() => void prune(), PRUNE_MS).unref();
  const sweeping = setInterval(() => {
    for (const socket of sockets) socket.sweep(now());
    context.spending.sweep(now());
  }, SWEEP_MS).unref();

  const snapshots = setInterval(() => {
    if (registry.needsPast) void past.renew(SNAPSHOT_MS);
    else void past.close(JOINING_MS);
  }, SNAPSHOT_MS).unref();
  const standings = setInterval(() => void standing.tick(), limits.standingMs).unref();

  const server = new WebSocketServer({
    noServer: true,
    maxPayload: limits.frameBytes,
    perMessageDeflate: false,
    clientTracking: false,
  });

  return {
    upgrade(request, socket, head, { role, address }) {
      const url = new URL(`http://realtime${request.url ?? "/"}`);
      const headersJson = JSON.stringify(request.headers);
      const version: Version = url.searchParams.get("vsn")?.startsWith("2.") ? "2.0.0" : "1.0.0";
      const identity: Identity = identityOfKey(role);
      server.handleUpgrade(request, socket, head, (ws: WebSocket) => {
        const connection = new RealtimeSocket(ws, context, {
          version,
          headersJson,
          identity,
          address,
          stream: socket,
          incoming,
          outgoing,
        });
        sockets.add(connection);
        ws.once("close", () => sockets.delete(connection));
      });
    },
    async handle(request, response, target) {
      const { path, role, origin, address } = target;
      if (request.method === "GET" && path === "/api/connections" && role === "service_role")
        return sendJson(response, 200, { connections: sockets.size });
      await answerHttp(context, request, response, { path, origin, address, key: identityOfKey(role) });
    },
    connections: () => sockets.size,
    async stop() {
      clearInterval(pruning);
      clearInterval(sweeping);
      clearInterval(standings);
      clearInterval(snapshots);
      // 1012: the service restarts; clients reconnect.
      for (const socket of sockets) socket.close(1012, "");
      for (const socket of sockets) socket.terminate();
      await feed.stop().catch(() => undefined);
      await past.close();
      await subscriptions.settled();
      await database.stop();
    },
  };
}

/** A committed row of realtime.messages goes to the members of its topic (replication_connection.ex). */
function passOn(hub: Hub, change: Change, limits: Limits, log: (line: string) => void): void {
  if (change.action !== "INSERT") return;
  const row = new Map(change.relation.columns.map(({ name }, i) => [name, change.row?.[i]]));
  const [topic, event, id] = ["topic", "event", "id"].map((name) => row.get(name));
  const binary = row.get("binary_payload");
  const json = row.get("payload");
  if (row.get("extension") !== "broadcast" || !topic || !event) return;
  let message: UserBroadcast;
  // bytea comes as \x and hex digits.
  if (binary) message = { event, encoding: "binary", body: Buffer.from(binary.slice(2), "hex") };
  else if (json) message = { event, encoding: "json", body: Buffer.from(json) };
  else {
    log("UnableToBroadcastChanges: payload_missing");
    return;
  }
  if (message.body.length > limits.payloadBytes) {
    log("UnableToBroadcastChanges: payload_size_exceeded");
    return;
  }
  hub.broadcast(topic, row.get("private") === "t", message, { meta: { id } });
}

function tellGap(sockets: Iterable<RealtimeSocket>, log: (line: string) => void): void {
  log("replication: changes are missing, channels are told to read again");
  for (const socket of sockets) {
    for (const channel of socket.channels) {
      if (!channel.listensToChanges) continue;
      channel.system("postgres_changes", "error", "Changes were lost; read again");
      channel.system("postgres_changes", "ok", "Subscribed to PostgreSQL");
    }
  }
}
