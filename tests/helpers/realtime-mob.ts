// A hostile Realtime client as a program of its own: large presences, sockets that never read, a storm of joins, broadcasts
// as large as allowed, filters on its own rows. Prints `ready` when all of it runs, and what it got done at its end.
//   node tests/helpers/realtime-mob.ts <JSON: {realtimeUrl, apiUrl, key, token, seconds}>
import { once } from "node:events";
import { setPriority } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";

setPriority(19); // what is measured is the server, not this program's share of the processor

const { realtimeUrl, apiUrl, key, token, seconds } = JSON.parse(process.argv[2] ?? "{}");
const until = Date.now() + seconds * 1000;
const done = { sockets: 0, presences: 0, broadcasts: 0, joins: 0, writes: 0, closed: 0 };
const goesOn = () => Date.now() < until;

async function open(): Promise<WebSocket> {
  const ws = new WebSocket(`${realtimeUrl}/websocket?apikey=${key}&vsn=2.0.0`);
  ws.on("error", () => undefined);
  ws.on("close", () => {
    done.closed += 1;
  });
  await once(ws, "open");
  done.sockets += 1;
  return ws;
}

function send(ws: WebSocket, ...frame: unknown[]): void {
  if (ws.readyState === ws.OPEN) ws.send(JSON.stringify(frame));
}

const join = (ws: WebSocket, topic: string, config: unknown, access_token?: string) =>
  send(ws, "1", "1", topic, "phx_join", { config, ...(access_token ? { access_token } : {}) });

/** Joins many topics of the mob and shows as much of itself as often as it may. */
async function presences(asUser: boolean): Promise<void> {
  const ws = await open();
  for (let n = 0; n < 30; n++) join(ws, `realtime:mob${n}`, {}, asUser ? token : undefined);
  for (let round = 0; goesOn(); round++) {
    for (let n = 0; n < 30; n++) {
      const payload = { round, text: "x".repeat(10_000) };
      send(ws, "1", "2", `realtime:mob${n}`, "presence", { type: "presence", event: "track", payload });
      done.presences += 1;
      await delay(20);
    }
  }
  ws.terminate();
}

/** Joins what is loudest and reads nothing. */
async function deaf(): Promise<void> {
  while (goesOn()) {
    const ws = await open();
    for (let n = 0; n < 30; n++) join(ws, `realtime:mob${n}`, {}, token);
    await delay(50);
    ws.pause();
    while (goesOn() && ws.readyState === ws.OPEN) await delay(100);
    ws.terminate();
  }
}

async function broadcasts(): Promise<void> {
  const ws = await open();
  join(ws, "realtime:mob0", { broadcast: { self: true } }, token);
  const payload = { type: "broadcast", event: "e", payload: { text: "x".repeat(500_000) } };
  while (goesOn()) {
    send(ws, "1", null, "realtime:mob0", "broadcast", payload);
    done.broadcasts += 1;
    while (ws.bufferedAmount > 1_000_000 && goesOn()) await delay(5);
    await delay(1);
  }
  ws.terminate();
}

/** Joins and leaves: changes of tables, and private topics of others. */
async function joins(): Promise<void> {
  const ws = await open();
  const postgres_changes = Array.from({ length: 20 }, (_, n) => ({
    event: "*",
    schema: "public",
    table: "agents",
    filter: `description=match.a+b+[${n}-9]+$`,
  }));
  for (let n = 0; goesOn(); n++) {
    join(ws, `realtime:j${n % 90}`, n % 2 ? { private: true } : { postgres_changes }, token);
    done.joins += 1;
    while (ws.bufferedAmount > 100_000 && goesOn()) await delay(5);
    if (n % 20 === 0) await delay(1);
  }
  ws.terminate();
}

/** Changes a row of its own, on which its filters are judged. */
async function writes(): Promise<void> {
  const headers = { apikey: key, authorization: `Bearer ${token}`, "content-type": "application/json" };
  while (goesOn()) {
    const body = JSON.stringify({ description: "ab".repeat(500) });
    await fetch(`${apiUrl}/rest/v1/agents?name=eq.mob`, { method: "PATCH", headers, body })
      .then((answer) => answer.arrayBuffer())
      .catch(() => undefined);
    done.writes += 1;
    await delay(20);
  }
}

const work = [
  ...Array.from({ length: 20 }, (_, n) => presences(n % 2 === 0)),
  ...Array.from({ length: 20 }, deaf),
  ...Array.from({ length: 3 }, broadcasts),
  ...Array.from({ length: 3 }, joins),
  writes(),
];
await delay(1500);
process.stdout.write("ready\n");
await Promise.all(work);
process.stdout.write(`${JSON.stringify(done)}\n`);
process.exit(0);
