import assert from "node:assert/strict";
import { test } from "vitest";
import { ChangeBindings } from "./bindings.ts";
import { Channel, type ChannelSocket } from "./channel.ts";
import { type Identity, identityOfKey } from "./claims.ts";
import type { RealtimeContext } from "./context.ts";
import type { Frame } from "./frames.ts";
import { parseJoin } from "./join.ts";
import { LIMITS } from "./limits.ts";
import { ChangeQuota } from "./quota.ts";
import { Registry } from "./registry.ts";

const TABLE = 1;
const WANTED = { event: "INSERT", schema: "public", table: "notes", filter: "id=eq.a" };
const columns = [
  {
    name: "id",
    type: "text",
    sqlType: "text",
    oid: 25,
    kind: "b",
    element: 0,
    elementKind: "",
    isKey: true,
    roles: ["authenticated"],
  },
];

/** What channels share, before a database with one table; `flowing` answers how long changes do not flow. */
function scene(flowing: boolean[] = []) {
  const registry = new Registry();
  const admin = {
    query: async (asked: string | { name: string }, values: string[] = []) => {
      if (typeof asked === "string") return { rows: [{ text: values[0] }] };
      return { rows: [{ oid: TABLE, name: "public.notes", rls: true, columns }] };
    },
  };
  const context = {
    database: { admin },
    registry,
    limits: LIMITS,
    quota: new ChangeQuota(LIMITS),
    subscriptions: { add: async () => {}, remove() {} },
    past: { open: async () => {} },
    turns: { run: async <T>(_: string, work: () => Promise<T>) => await work() },
    spending: { spendAtDatabase() {}, spend() {} },
    standing: { refusal: async () => undefined },
    hub: { join() {}, leave() {}, sendPresences: () => ({ deliveries: 0, bytes: 0 }) },
    feed: {
      listen: async () => flowing.shift(),
      flowing: async () => flowing.shift(),
      leave() {},
    },
    now: Date.now,
    log: assert.fail,
  } as unknown as RealtimeContext;
  return { context, registry };
}

const user = (sub: string): Identity => ({
  ...identityOfKey("authenticated"),
  sub,
  json: JSON.stringify({ sub }),
});

test("a change on its way finds its channel while the channel's token is renewed", async () => {
  const { context, registry } = scene();
  const target = { deliver() {}, flows() {}, warn() {}, end() {} };
  const bindings = new ChangeBindings(context, target, [WANTED]);
  assert.equal(await bindings.prepare(user("before"), "user:a"), undefined);
  bindings.start(user("before"), "user:a");
  const onItsWay = registry.candidates(TABLE, "INSERT", () => "a");
  await bindings.renew(user("after"), "user:a");
  const found = onItsWay.flatMap(({ entries }) => [...entries]);
  assert.deepEqual(
    found.map(({ identity }) => identity.sub),
    ["after"],
  );
  bindings.drop();
  assert.equal(registry.size, 0);
});

test("a channel that joined while changes did not flow is told when they do", async () => {
  const { context } = scene([false, false, true]);
  const said: string[] = [];
  const { promise: told, resolve } = Promise.withResolvers<void>();
  const socket = {
    version: "2.0.0",
    address: "127.0.0.1",
    headersJson: "{}",
    presences: 0,
    send(data: string) {
      const [, , , event, payload] = JSON.parse(data) as [
        0,
        0,
        0,
        string,
        { status: string; message: string },
      ];
      if (event === "system") said.push(`${payload.status}: ${payload.message}`);
      if (said.at(-1)?.startsWith("ok")) resolve();
    },
    reply() {},
    admit: () => true,
    ended() {},
  } as unknown as ChannelSocket;
  const topic = "realtime:notes";
  const payload = { config: { postgres_changes: [WANTED] } };
  const frame = { topic, event: "phx_join", joinRef: "1", ref: "1", payload } as unknown as Frame;
  const channel = new Channel(socket, context, frame, parseJoin(payload, "notes"), user("a"));
  await channel.join(frame);
  await told;
  assert.deepEqual(said, [
    "error: Realtime was unable to connect to the project database",
    "ok: Subscribed to PostgreSQL",
  ]);
  channel.close();
});
