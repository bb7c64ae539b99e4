// Realtime: how long a committed UPDATE needs to a subscribed supabase-js client at 100 a second, and whether 1,000
// subscribers of 100 agents' logs get everything at 50 a second. Writers, stack and clients share this machine.
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import type { BenchStack } from "../lib/stack.ts";
import { ms, quantile } from "../lib/stats.ts";

const UPDATES = 1500;
const UPDATES_PER_SECOND = 100;
const SUBSCRIBERS = 1000;
const TOPICS = 100;
const USERS = 20;
const INSERTS = 1000;
const INSERTS_PER_SECOND = 50;

export const benchmark: Benchmark = {
  title: "a committed change to a subscribed client",
  async run({ stack, progress }) {
    const bench = await stack();
    const latency = await updates(bench, progress);
    const fanOut = await subscribers(bench, progress);
    return [...latency, ...fanOut];
  },
};

/** Calls `act` at a steady rate, however long each call lasts; resolves when all are done. */
async function pace(count: number, perSecond: number, act: (n: number) => Promise<void>): Promise<void> {
  const started = performance.now();
  const running: Promise<void>[] = [];
  for (let n = 0; n < count; n++) {
    const due = started + (n * 1000) / perSecond;
    const wait = due - performance.now();
    if (wait > 0) await delay(wait);
    running.push(act(n));
  }
  await Promise.all(running);
}

async function updates(bench: BenchStack, progress: (line: string) => void): Promise<Row[]> {
  const user = await bench.createUser();
  const { data } = await user.client.from("agents").insert({ name: "watched" }).select("id").single();
  const id: string = data?.id;
  const committed = new Map<string, number>();
  const latencies: number[] = [];
  const arrivedAt = new Map<string, number>();
  const { promise: subscribed, resolve, reject } = Promise.withResolvers<void>();
  const channel = user.client
    .channel("bench")
    .on(
      "postgres_changes",
      { event: "UPDATE", schema: "public", table: "agents", filter: `id=eq.${id}` },
      (payload) => arrivedAt.set(payload.new.description, performance.now()),
    )
    .subscribe((status, error) => (status === "SUBSCRIBED" ? resolve() : reject(error ?? new Error(status))));
  await subscribed;
  await pace(UPDATES, UPDATES_PER_SECOND, async (n) => {
    await bench.stack.sql("update public.agents set description = $2 where id = $1", [id, `n${n}`]);
    committed.set(`n${n}`, performance.now());
  });
  const deadline = performance.now() + 10_000;
  while (arrivedAt.size < UPDATES && performance.now() < deadline) await delay(10);
  await channel.unsubscribe();
  // The commit's answer and the change race: a change that is here before the answer took no time.
  for (const [name, at] of arrivedAt) latencies.push(Math.max(0, at - (committed.get(name) ?? at)));
  const [p50, p99] = [quantile(latencies, 0.5), quantile(latencies, 0.99)];
  progress(`${arrivedAt.size} of ${UPDATES} updates arrived`);
  return [
    {
      measure: `commit → client, p50 at ${UPDATES_PER_SECOND}/s`,
      ours: ms(p50),
      goal: "≤ 50 ms",
      met: p50 <= 50,
    },
    { measure: "commit → client, p99", ours: ms(p99), goal: "≤ 150 ms", met: p99 <= 150 },
    {
      measure: "changes that arrived",
      ours: `${arrivedAt.size}/${UPDATES}`,
      goal: "all",
      met: arrivedAt.size === UPDATES,
    },
  ];
}

interface Subscriber {
  topic: number;
  close(): void;
}

/** Sockets of their own rather than supabase-js: 1,000 clients in one process would measure the clients. */
async function subscribe(
  bench: BenchStack,
  options: { token: string; topic: number; onChange: (sequence: number) => void },
): Promise<Subscriber> {
  const { realtimeUrl, publishableKey } = bench.stack.info;
  const ws = new WebSocket(`${realtimeUrl}/websocket?apikey=${publishableKey}&vsn=2.0.0`);
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  ws.addEventListener("error", () => reject(new Error("no connection")));
  ws.addEventListener("open", () => {
    const filter = `agent_id=eq.bench-${options.topic}`;
    const postgres_changes = [{ event: "INSERT", schema: "public", table: "agent_logs", filter }];
    const join = { config: { postgres_changes }, access_token: options.token };
    ws.send(JSON.stringify(["1", "1", "realtime:bench", "phx_join", join]));
  });
  ws.addEventListener("message", ({ data }) => {
    const [, , , event, payload] = JSON.parse(String(data));
    if (event === "phx_reply" && payload.status !== "ok") reject(new Error(JSON.stringify(payload)));
    if (event === "system") {
      if (payload.status === "ok") resolve();
      else reject(new Error(payload.message));
    }
    if (event === "postgres_changes") options.onChange(payload.data.record.sequence);
  });
  await ready;
  return { topic: options.topic, close: () => ws.close() };
}

async function subscribers(bench: BenchStack, progress: (line: string) => void): Promise<Row[]> {
  const users = await Promise.all(Array.from({ length: USERS }, () => bench.createUser()));
  const committed: number[] = [];
  const arrivals: { sequence: number; at: number }[] = [];
  const perSubscriber: number[] = new Array(SUBSCRIBERS).fill(0);
  const all: Subscriber[] = [];
  // A topic's ten subscribers are of one user: an agent's logs have one owner.
  const ownerOf = (topic: number) => users[topic % USERS] as (typeof users)[number];
  for (let from = 0; from < SUBSCRIBERS; from += 50) {
    const some = Array.from({ length: 50 }, (_, i) => {
      const n = from + i;
      const topic = n % TOPICS;
      return subscribe(bench, {
        token: ownerOf(topic).token,
        topic,
        onChange(sequence) {
          arrivals.push({ sequence, at: performance.now() });
          perSubscriber[n] = (perSubscriber[n] ?? 0) + 1;
        },
      });
    });
    all.push(...(await Promise.all(some)));
  }
  progress(`${all.length} subscribers to ${TOPICS} topics`);
  const expected = INSERTS * (SUBSCRIBERS / TOPICS);
  try {
    await pace(INSERTS, INSERTS_PER_SECOND, async (n) => {
      const topic = n % TOPICS;
      await bench.stack.sql(
        `insert into public.agent_logs (agent_id, user_id, "timestamp", level, message, source, replica, sequence)
         values ($1, $2, now(), 'INFO', 'a line of a benchmark', 'bench', 'bench', $3)`,
        [`bench-${topic}`, ownerOf(topic).id, n],
      );
      committed[n] = performance.now();
    });
    const deadline = performance.now() + 15_000;
    while (arrivals.length < expected && performance.now() < deadline) await delay(10);
    await delay(200);
  } finally {
    for (const subscriber of all) subscriber.close();
  }
  const latencies = arrivals.map(({ sequence, at }) => Math.max(0, at - (committed[sequence] ?? at)));
  const spread = [0.5, 0.9, 0.99, 1].map((share) => ms(quantile(latencies, share))).join(" / ");
  const fewest = Math.min(...perSubscriber);
  const most = Math.max(...perSubscriber);
  return [
    {
      measure: `deliveries, ${SUBSCRIBERS} subscribers × ${TOPICS} topics at ${INSERTS_PER_SECOND}/s`,
      ours: `${arrivals.length}/${expected}`,
      goal: "all, once",
      met: arrivals.length === expected && fewest === most,
    },
    { measure: "commit → subscriber, p50 / p90 / p99 / max", ours: spread },
    { measure: "changes per subscriber, fewest / most", ours: `${fewest} / ${most}` },
  ];
}
