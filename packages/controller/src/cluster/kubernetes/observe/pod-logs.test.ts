import assert from "node:assert/strict";
import { test } from "vitest";
import { silentLog } from "../../../log.ts";
import { createRedactor } from "../../../shipping/redact.ts";
import { SimulatedClock, seededRandom } from "../../../testing/simulated-clock.ts";
import type { ReplicaLog } from "../../cluster.ts";
import { LogBudgets } from "../../log-budget.ts";
import { KubeError, type PodLogQuery } from "../api.ts";
import { Pace } from "./concurrency.ts";
import { LogBreaks, LogCursor } from "./log-cursor.ts";
import type { Pod } from "./objects.ts";
import { PodLogs, type PodLogsOptions } from "./pod-logs.ts";
import { Redactors } from "./redactors.ts";
import { FakePods, labelsOf } from "./testing.ts";

/** Logs as a node keeps them: of each life of a container its lines, of which the last two can be read. */
class FakeNode {
  readonly clock: SimulatedClock;
  readonly pods = new Map<string, { lives: string[][]; over: boolean }>();
  readonly queries: PodLogQuery[] = [];
  readonly open = new Set<{ push(): void; fail(error: Error): void; close(): void; pod: string }>();
  most = 0;
  /** Bytes of a chunk: small ones cut lines and characters apart. */
  chunk = 7;
  readonly faults: Error[] = [];
  /** Pods that say nothing: a node does not even begin to answer for them. */
  readonly silent = new Set<string>();

  constructor(clock: SimulatedClock) {
    this.clock = clock;
  }

  write(pod: string, text: string, nanoseconds = 0): void {
    const time = new Date(this.clock.now())
      .toISOString()
      .replace("Z", `${String(nanoseconds).padStart(6, "0")}Z`);
    this.#of(pod).lives.at(-1)?.push(`${time} ${text}\n`);
    for (const stream of this.open) if (stream.pod === pod) stream.push();
  }

  /** The container ends, and its streams with it. */
  end(pod: string): void {
    this.#of(pod).over = true;
    for (const stream of [...this.open]) if (stream.pod === pod) stream.close();
  }

  restart(pod: string): void {
    const one = this.#of(pod);
    one.lives.push([]);
    one.over = false;
  }

  break(error: Error = new KubeError("UNREACHABLE", "reset")): void {
    for (const stream of [...this.open]) stream.fail(error);
  }

  async podLog(_namespace: string, pod: string, query: PodLogQuery): Promise<AsyncIterable<Uint8Array>> {
    this.queries.push(query);
    const fault = this.faults.shift();
    if (fault !== undefined) throw fault;
    if (this.silent.has(pod)) {
      await new Promise((_, reject) => {
        query.signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
      });
    }
    const one = this.#of(pod);
    const life = one.lives.at(query.previous ? -2 : -1);
    if (life === undefined) throw new KubeError("INVALID", "previous terminated container not found");
    const since = query.sinceTime === undefined ? 0 : Date.parse(query.sinceTime);
    // As the API: a number of seconds, not a part of one.
    assert.equal(since % 1000, 0);
    const kept = life.filter((line) => Date.parse(line.split(" ")[0] ?? "") >= since);
    const from = query.tailLines === undefined ? 0 : Math.max(0, kept.length - query.tailLines);
    const past = kept.slice(from).join("");
    const follow = query.follow === true && !one.over;
    return this.#stream(pod, life, past, follow, query.signal);
  }

  async *#stream(pod: string, life: string[], past: string, follow: boolean, signal?: AbortSignal) {
    yield* this.#chunks(past);
    if (!follow) return;
    let told = life.length;
    let wake = Promise.withResolvers<void>();
    let closed = false;
    const stream = {
      pod,
      push: () => wake.resolve(),
      close: () => {
        closed = true;
        wake.resolve();
      },
      fail: (error: Error) => wake.reject(error),
    };
    const abort = () => wake.reject(new DOMException("aborted", "AbortError"));
    signal?.addEventListener("abort", abort);
    this.open.add(stream);
    this.most = Math.max(this.most, this.open.size);
    try {
      while (!closed) {
        await wake.promise;
        wake = Promise.withResolvers();
        yield* this.#chunks(life.slice(told).join(""));
        told = life.length;
      }
    } finally {
      this.open.delete(stream);
      signal?.removeEventListener("abort", abort);
    }
  }

  *#chunks(text: string): Generator<Uint8Array> {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += this.chunk) yield bytes.subarray(at, at + this.chunk);
  }

  #of(pod: string) {
    let one = this.pods.get(pod);
    if (one === undefined) {
      one = { lives: [[]], over: false };
      this.pods.set(pod, one);
    }
    return one;
  }
}

function pod(name: string, life: number, state: "running" | "ended", created = Date.UTC(2030, 0, 1)): Pod {
  const time = new Date(created).toISOString();
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "agents-u1",
      uid: `uid-${name}`,
      labels: labelsOf("a"),
      creationTimestamp: time,
    },
    status: {
      containerStatuses: [
        {
          name: "agent",
          restartCount: life,
          state:
            state === "running"
              ? { running: { startedAt: time } }
              : { terminated: { exitCode: 1, finishedAt: time } },
        },
      ],
    },
  };
}

function setUp(part: Partial<PodLogsOptions> & { clock?: SimulatedClock } = {}) {
  const { clock = new SimulatedClock() } = part;
  const node = new FakeNode(clock);
  const pods = new FakePods();
  const lines: ReplicaLog[] = [];
  const logs = new PodLogs({
    api: node,
    view: pods,
    redactors: { of: async () => createRedactor(["sk-1234567"]) },
    responsible: () => true,
    clock,
    random: seededRandom(1),
    log: silentLog,
    onLine: (line) => lines.push(line),
    ...part,
  });
  logs.start();
  const messages = () => lines.map(({ message }) => message);
  return { clock, node, pods, lines, logs, messages };
}

test("replicas that say nothing keep no other's log waiting", async () => {
  const { clock, node, pods, logs, messages } = setUp({ limits: { opening: 2 } });
  for (let index = 0; index < 20; index += 1) {
    node.silent.add(`silent-${index}`);
    pods.put(pod(`silent-${index}`, 0, "running"));
  }
  node.write("p", "here");
  pods.put(pod("p", 0, "running"));
  await clock.advance(10_000);
  assert.deepEqual(messages(), ["here"]);
  assert.equal(logs.counts.followed, 21);
  await logs.stop();
});

test("lines are followed as they come: characters cut apart, JSON, plain text, without secrets", async () => {
  const { clock, node, pods, lines, logs } = setUp();
  node.write("p", "früh €", 123_456);
  pods.put(pod("p", 0, "running"));
  await clock.advance(10);
  const json = {
    timestamp: "2030-01-01T00:00:09.000Z",
    level: "WARN",
    message: "key sk-1234567",
    source: "engine",
    metadata: { a: 1 },
  };
  node.write("p", JSON.stringify(json), 500);
  await clock.advance(10);
  assert.deepEqual(lines, [
    {
      agentId: "a",
      replica: "p",
      sequence: Date.UTC(2030, 0, 1) * 1000 + 123,
      timestamp: "2030-01-01T00:00:00.000Z",
      level: "INFO",
      message: "früh €",
      source: "stdout",
      metadata: {},
    },
    {
      agentId: "a",
      replica: "p",
      sequence: (Date.UTC(2030, 0, 1) + 10) * 1000,
      timestamp: "2030-01-01T00:00:09.000Z",
      level: "WARN",
      message: "key ***",
      source: "engine",
      metadata: { a: 1 },
    },
  ]);
  await logs.stop();
  assert.equal(node.open.size, 0);
});

test("a line of half a megabyte is cut and costs no more; the next one is whole", async () => {
  const { clock, node, pods, lines, logs } = setUp();
  node.chunk = 4096;
  node.write("p", "x".repeat(500_000));
  node.write("p", "next", 1000);
  pods.put(pod("p", 0, "running"));
  await clock.advance(10);
  assert.deepEqual(
    lines.map(({ message }) => message.length),
    [64 * 1024 + 40 - 31, 4],
  );
  await logs.stop();
});

test("after a break it goes on where it was: no line twice, none lost", async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const random = seededRandom(seed);
    const { clock, node, pods, messages, logs } = setUp();
    pods.put(pod("p", 0, "running"));
    const written: string[] = [];
    for (let round = 0; round < 100; round += 1) {
      await clock.advance(random() * 3000);
      const burst = Math.floor(random() * 4);
      for (let n = 0; n < burst; n += 1) {
        written.push(`${round}.${n}`);
        // Some within one microsecond, and some in which the clock of the node went back a little.
        node.write("p", written.at(-1) ?? "", random() < 0.5 ? 5000 : Math.floor(random() * 9999));
      }
      if (random() < 0.4) node.break(random() < 0.5 ? new KubeError("SERVER", "500") : undefined);
      if (random() < 0.2 && node.faults.length === 0)
        node.faults.push(new KubeError("BUSY", "429"), new KubeError("UNREACHABLE", "reset"));
    }
    await clock.advance(120_000);
    assert.deepEqual(messages(), written, `seed ${seed}`);
    await logs.stop();
  }
});

test("the last words of a life are read, also when it ended and began again while nobody could read", async () => {
  const { clock, node, pods, messages, logs } = setUp();
  pods.put(pod("p", 0, "running"));
  node.write("p", "one");
  await clock.advance(1500);
  // Seen to the end: status a moment after the stream's end.
  node.write("p", "last of 0");
  node.end("p");
  await clock.advance(300);
  pods.put(pod("p", 0, "ended"));
  await clock.advance(10);
  node.restart("p");
  pods.put(pod("p", 1, "running"));
  await clock.advance(1500);
  node.write("p", "first of 1");
  await clock.advance(10);
  // Not seen: the stream breaks, the container ends and begins again, and the view learns of it last of all.
  node.faults.push(new KubeError("UNREACHABLE", "reset"));
  node.break();
  node.write("p", "last of 1");
  node.end("p");
  node.restart("p");
  await clock.advance(500);
  node.write("p", "first of 2");
  await clock.advance(2000);
  assert.deepEqual(messages(), ["one", "last of 0", "first of 1", "first of 2"]);
  node.end("p");
  pods.put(pod("p", 2, "running"));
  node.pods.get("p")!.over = false;
  await clock.advance(2000);
  assert.deepEqual(messages(), ["one", "last of 0", "first of 1", "first of 2", "last of 1"]);
  await logs.stop();
});

test("another controller numbers the same lines the same", async () => {
  const first = setUp();
  for (let n = 0; n < 20; n += 1) {
    first.node.write("p", `line ${n}`, 1000);
    if (n % 5 === 4) await first.clock.advance(700);
  }
  first.pods.put(pod("p", 0, "running"));
  await first.clock.advance(10);
  await first.logs.stop();
  const lines: ReplicaLog[] = [];
  const later = new PodLogs({
    api: first.node,
    view: first.pods,
    redactors: { of: async () => (value) => value },
    responsible: () => true,
    clock: first.clock,
    random: seededRandom(2),
    log: silentLog,
    onLine: (line) => lines.push(line),
    // It meets the pod late, and reads only the end of its log.
    limits: { backfillMs: 1000 },
  });
  later.start();
  await first.clock.advance(10);
  await later.stop();
  assert.ok(lines.length > 0 && lines.length < 20);
  assert.deepEqual(
    lines.map(({ sequence }) => sequence),
    first.lines.slice(-lines.length).map(({ sequence }) => sequence),
  );
});

test("only pods of agents in this controller's hands are read, and each as soon as it is", async () => {
  const held = new Set<string>();
  const { clock, node, pods, messages, logs } = setUp({ responsible: (agentId) => held.has(agentId) });
  node.write("p", "hello");
  pods.put(pod("p", 0, "running"));
  await clock.advance(5000);
  assert.deepEqual([messages(), logs.counts.readers], [[], 0]);
  held.add("a");
  await clock.advance(2000);
  assert.deepEqual(messages(), ["hello"]);
  held.clear();
  await clock.advance(2000);
  node.write("p", "not ours");
  await clock.advance(2000);
  assert.deepEqual([messages(), logs.counts.readers, node.open.size], [["hello"], 0, 0]);
  await logs.stop();
});

test("of a flood so many lines are kept a minute, and one says how many were left out; read again, the same", async () => {
  const clock = new SimulatedClock();
  const part = { clock, budgets: new LogBudgets({ clock, maxLines: 3 }) };
  const { node, pods, lines, logs, messages } = setUp(part);
  for (let index = 0; index < 10; index += 1) node.write("p", `line ${index}`, index);
  pods.put(pod("p", 0, "running"));
  await clock.advance(10);
  assert.deepEqual(messages(), ["line 0", "line 1", "line 2"]);
  await clock.advance(61_000);
  const told = messages().at(-1) ?? "";
  assert.match(told, /^7 lines left out: /);
  node.write("p", "calm again");
  await clock.advance(10);
  assert.deepEqual(messages(), ["line 0", "line 1", "line 2", told, "calm again"]);
  await logs.stop();
  const again = setUp({ ...part, api: node, budgets: new LogBudgets({ clock, maxLines: 3 }) });
  again.pods.put(pod("p", 0, "running"));
  await clock.advance(2000);
  const numbered = (some: readonly ReplicaLog[]) =>
    new Set(some.map(({ message, sequence }) => `${sequence} ${message}`));
  assert.deepEqual(numbered(again.lines), numbered(lines));
  await again.logs.stop();
});

test("where logs are not stored none is read, and each replica's says so once", async () => {
  const { clock, node, pods, lines, logs } = setUp({ store: false });
  node.write("p", "here");
  pods.put(pod("p", 0, "running"));
  await clock.advance(10_000);
  pods.put(pod("p", 1, "running"));
  await clock.advance(10_000);
  assert.equal(node.queries.length, 0);
  assert.equal(lines.length, 1);
  assert.match(lines[0]?.message ?? "", /not stored on this installation/);
  await logs.stop();
});

test("a pod that is gone is read to its end, for a moment", async () => {
  const { clock, node, pods, messages, logs } = setUp();
  pods.put(pod("p", 0, "running"));
  await clock.advance(10);
  pods.remove("p");
  node.write("p", "bye");
  node.end("p");
  await clock.advance(100);
  assert.deepEqual([messages(), logs.counts.readers], [["bye"], 0]);
  // One whose stream does not end is left after all.
  pods.put({ ...pod("q", 0, "running") });
  await clock.advance(10);
  pods.remove("q");
  await clock.advance(6000);
  assert.deepEqual([logs.counts.readers, node.open.size], [0, 0]);
  await logs.stop();
});

test("a stream that is dead without saying so is opened again", async () => {
  const { clock, node, pods, messages, logs } = setUp();
  pods.put(pod("p", 0, "running"));
  await clock.advance(10);
  const [stream] = node.open;
  assert.ok(stream !== undefined);
  stream.push = () => {};
  node.write("p", "unheard");
  await clock.advance(299_000);
  assert.deepEqual(messages(), []);
  await clock.advance(2000);
  assert.deepEqual(messages(), ["unheard"]);
  await logs.stop();
});

test("a node that can follow no more logs is read now and then, without haste", async () => {
  const { clock, node, pods, messages, logs } = setUp();
  node.write("p", "hello");
  pods.put(pod("p", 0, "running"));
  const original = node.podLog.bind(node);
  node.podLog = async (namespace, name, query) => {
    const chunks = await original(namespace, name, { ...query, follow: false });
    return (async function* () {
      yield* chunks;
      // As the kubelet says it when it has no watches of files left.
      yield Buffer.from("failed to read the log: failed to create fsnotify watcher: too many open files\n");
    })();
  };
  await clock.advance(60_000);
  assert.deepEqual(messages(), ["hello"]);
  assert.ok(node.queries.length < 15, `${node.queries.length} reads in a minute`);
  node.write("p", "later");
  await clock.advance(31_000);
  assert.deepEqual(messages(), ["hello", "later"]);
  await logs.stop();
});

test("what cannot be masked is not passed on", async () => {
  let readable = false;
  const { clock, node, pods, messages, logs } = setUp({
    redactors: {
      of: async () => {
        if (!readable) throw new Error("the Secret is gone");
        return createRedactor(["sk-1234567"]);
      },
    },
  });
  node.write("p", "sk-1234567");
  pods.put(pod("p", 0, "running"));
  await clock.advance(5000);
  assert.deepEqual([messages(), node.queries.length], [[], 0]);
  readable = true;
  await clock.advance(60_000);
  assert.deepEqual(messages(), ["***"]);
  await logs.stop();
});

test("1,000 pods: so many streams and no more, opened a few at once; the others are read in turns", async () => {
  const { clock, node, pods, messages, logs } = setUp({ limits: { followed: 100, opening: 16 } });
  for (let n = 0; n < 1000; n += 1) {
    node.write(`p${n}`, `hello from ${n}`);
    pods.put(pod(`p${n}`, 0, "running"));
  }
  await clock.advance(20_000);
  assert.equal(new Set(messages()).size, 1000);
  assert.deepEqual([node.open.size, node.most, logs.counts], [100, 100, { readers: 1000, followed: 100 }]);
  for (let n = 0; n < 1000; n += 1) node.write(`p${n}`, `again from ${n}`);
  await clock.advance(30_000);
  assert.equal(messages().length, 2000);
  // Quiet ones are asked less and less often.
  const before = node.queries.length;
  await clock.advance(60_000);
  assert.ok(node.queries.length - before < 900 * 4, `${node.queries.length - before} reads in a minute`);
  await logs.stop();
  assert.equal(node.open.size, 0);
});

test("1,000 logs whose streams end at once cost at most 100 openings a second, and a new pod does not wait for them", async () => {
  const opened: string[] = [];
  const { clock, node, pods, lines, logs } = setUp({ onOpen: (how) => opened.push(how) });
  const original = node.podLog.bind(node);
  node.podLog = (namespace, name, query) => original(namespace, name, { ...query, follow: false });
  for (let n = 0; n < 1000; n += 1) pods.put(pod(`p${n}`, 0, "running"));
  await clock.advance(30_000);
  const before = opened.length;
  for (let n = 0; n < 1000; n += 1) node.write(`p${n}`, "again");
  node.write("new", "hello");
  pods.put(pod("new", 0, "running"));
  await clock.advance(500);
  assert.deepEqual(
    lines.filter(({ replica }) => replica === "new").map(({ message }) => message),
    ["hello"],
  );
  await clock.advance(59_500);
  const rate = (opened.length - before) / 60;
  assert.ok(rate <= 52, `${rate} openings a second`);
  assert.equal(opened.length, node.queries.length);
  assert.equal(lines.length, 1001, "each is read at its turn");
  await logs.stop();
});

test("a pace lets a burst through at once and the others at their time, in order", async () => {
  const clock = new SimulatedClock();
  const pace = new Pace(clock, 10, 3);
  const began = clock.now();
  const through: [number, number][] = [];
  const never = new AbortController();
  for (let index = 0; index < 6; index += 1) {
    void pace.turn(never.signal).then(() => through.push([index, clock.now() - began]));
  }
  await clock.advance(1000);
  assert.deepEqual(through, [
    [0, 0],
    [1, 0],
    [2, 0],
    [3, 100],
    [4, 200],
    [5, 300],
  ]);
  const ending = new AbortController();
  let ended = false;
  for (let index = 0; index < 50; index += 1) void pace.turn(never.signal);
  void pace.turn(ending.signal).then(() => {
    ended = true;
  });
  ending.abort();
  await clock.advance(0);
  assert.ok(ended, "who is stopped does not wait");
});

test("lines are numbered by their time, strictly rising", () => {
  const cursor = new LogCursor();
  const time = (text: string) => cursor.next(`2030-01-01T00:00:${text}`);
  const base = Date.UTC(2030, 0, 1) * 1000;
  assert.deepEqual(
    ["01.000001Z", "01.000001999Z", "01.0000015Z", "01Z", "01.5+00:00", "nonsense"].map(time),
    [base + 1_000_001, base + 1_000_002, base + 1_000_003, base + 1_000_004, base + 1_500_000, undefined],
  );
  assert.equal(cursor.since, "2030-01-01T00:00:00Z");
});

test("of breaks, the first after which the next life may have begun says what was read for certain", () => {
  const breaks = new LogBreaks();
  const second = 1e6;
  assert.equal(breaks.certain(10_000, 9 * second), 9 * second);
  // The stream after the first break went on in the same life, the one after the second did not.
  breaks.note(3 * second, 0);
  breaks.tell(4 * second);
  breaks.note(9 * second, 0);
  breaks.note(9 * second, 0);
  breaks.tell(11 * second);
  breaks.tell(12 * second);
  assert.equal(breaks.certain(10_000, 12 * second), 9 * second);
  assert.equal(breaks.certain(13_000, 12 * second), 12 * second);
  // A break after which nothing was told.
  breaks.note(12 * second, 0);
  assert.equal(breaks.certain(13_000, 12 * second), 12 * second);
  // More than are told apart: rather too much is read again.
  for (let n = 0; n < 100; n += 1) {
    breaks.note((20 + n) * second, 1);
    breaks.tell((20.5 + n) * second);
  }
  assert.equal(breaks.certain(200_000, 130 * second), 3 * second);
  // What is long past, the view has caught up with.
  breaks.note(500 * second, 200_000);
  assert.equal(breaks.certain(400_000, 500 * second), 500 * second);
});

test("a Secret is read once for all pods that start with it, and never kept when that failed", async () => {
  const asked: unknown[] = [];
  let broken = true;
  const redactors = new Redactors({
    list: async (kind, query) => {
      asked.push([kind, query?.namespace, query?.fieldSelector]);
      if (broken) throw new KubeError("UNREACHABLE", "no answer");
      const encode = (value: string) => Buffer.from(value).toString("base64");
      const data = {
        KEY: encode("sk-1234567"),
        OPENAI_BASE_URL: encode("https://api.example"),
        OPENAI_API: encode("responses"),
        X_BASE_URL: encode("https://u:p@x.example"),
      };
      const item = { apiVersion: "v1", kind: "Secret", metadata: { name: "s-1" }, data };
      return { resourceVersion: "1", items: [item] };
    },
  });
  const one = {
    ...pod("p", 0, "running"),
    spec: { containers: [{ name: "agent", envFrom: [{ secretRef: { name: "s-1" } }] }] },
  };
  await assert.rejects(redactors.of(one), /no answer/);
  broken = false;
  const redact = await redactors.of(one);
  assert.equal(
    redact("sk-1234567 at https://api.example, its responses, and https://u:p@x.example"),
    "*** at https://api.example, its responses, and ***",
  );
  await redactors.of({ ...one, metadata: { ...one.metadata, name: "q" } });
  assert.deepEqual(
    asked,
    Array.from({ length: 2 }, () => ["Secret", "agents-u1", "metadata.name=s-1"]),
  );
});
