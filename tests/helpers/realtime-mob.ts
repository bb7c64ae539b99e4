// A hostile Realtime client as a program of its own: large presences, sockets that never read, a storm of joins, broadcasts
// as large as allowed, filters on its own rows. Prints `ready` when all of it runs, and what it got done at its end: after so many
// seconds, or when its input ends.
//   node tests/helpers/realtime-mob.ts <JSON: {realtimeUrl, apiUrl, key, token, seconds}>
import { once } from "node:events";
import { setPriority } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";

setPriority(19); // what is measured is the server, not this program's share of the processor

const { realtimeUrl, apiUrl, key, token, seconds } = JSON.parse(process.argv[2] ?? "{}");
let until = Date.now() + seconds * 1000;
process.stdin.resume().once("end", () => {
  until = 0;
});
const done = { sockets: 0, presences: 0, broadcasts: 0, joins: 0, writes: 0, closed: 0 };
const goesOn = () => Date.now() < until;

async function open(): Promise<WebSocket> {
  const ws = new WebSocket(`${realtimeUrl}/websocket?apikey=${key}&vsn=2.0.0`);
  ws.on("error", () => undefined);
  ws.on("close", () => {
    if (goesOn()) done.closed += 1;
  });
  await once(ws, "open");
  done.sockets += 1;
  return ws;
}

/** Sends, as fast as the server reads. */
async function send(ws: WebSocket, ...frame: unknown[]): Promise<void> {
  while (ws.bufferedAmount > 1_000_000 && ws.readyState === ws.OPEN && goesOn()) await delay(5);
  if (ws.readyState === ws.OPEN) ws.send(JSON.stringify(frame));
}

const join = (ws: WebSocket, topic: string, config: unknown, access_token?: string) =>
  send(ws, "1", "1", topic, "phx_join", { config, ...(access_token ? { access_token } : {}) });

/** Works on one socket after another: a new one where the server closed the last. */
async function keepAt(work: (ws: WebSocket) => Promise<void>): Promise<void> {
  while (goesOn()) {
    const ws = await open();
    while (goesOn() && ws.readyState === ws.OPEN) await work(ws);
    ws.terminate();
    await delay(100);
  }
}

/** Joins many topics of the mob and shows as much of itself as often as it may, or more. */
const presences = (bytes: number, user?: string) =>
  keepAt(async (ws) => {
    for (let n = 0; n < 30; n++) await join(ws, `realtime:mob${n}`, {}, user);
    for (let round = 0; round < 5; round++) {
      for (let n = 0; n < 30; n++) {
        const payload = { round, text: "x".repeat(bytes) };
        await send(ws, "1", "2", `realtime:mob${n}`, "presence", {
          type: "presence",
          event: "track",
          payload,
        });
        done.presences += 1;
        await delay(20);
      }
    }
  });

/** Joins what is loudest and reads nothing. */
const deaf = () =>
  keepAt(async (ws) => {
    for (let n = 0; n < 30; n++) await join(ws, `realtime:mob${n}`, {}, token);
    await delay(50);
    ws.pause();
    while (goesOn() && ws.readyState === ws.OPEN) await delay(100);
  });

const broadcasts = () =>
  keepAt(async (ws) => {
    await join(ws, "realtime:mob0", { broadcast: { self: true } }, token);
    const payload = { type: "broadcast", event: "e", payload: { text: "x".repeat(500_000) } };
    for (let n = 0; n < 100; n++) {
      await send(ws, "1", null, "realtime:mob0", "broadcast", payload);
      done.broadcasts += 1;
      await delay(2);
    }
  });

/** Joins again and again: changes of tables, and private topics of others. */
const joins = () =>
  keepAt(async (ws) => {
    const postgres_changes = Array.from({ length: 20 }, (_, n) => ({
      event: "*",
      schema: "public",
      table: "agents",
      filter: `description=match.a+b+[${n % 9}-9]+$`,
    }));
    for (let n = 0; n < 90; n++) {
      await join(ws, `realtime:j${n}`, n % 2 ? { private: true } : { postgres_changes }, token);
      done.joins += 1;
      await delay(1);
    }
  });

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
  ...Array.from({ length: 20 }, (_, n) => presences(10_000, n % 2 === 0 ? token : undefined)),
  ...Array.from({ length: 3 }, () => presences(1_000_000, token)),
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
