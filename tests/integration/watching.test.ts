// Logs and metrics in SQL: search, rollups by the minute and the hour, retention.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { agentLogs, agentMetrics } from "../../supabase/functions/_shared/contract/index.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { createUnlimitedDatabase, createUser, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let agentId: string;
let sequence = 0;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
});
beforeEach(async () => {
  alice = await createUser(db);
  agentId = (await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot" } })).body.agentId;
  await settle(db, agentId);
});
afterAll(() => db.destroy());

const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();
const say = (lines: { message: string; at?: string; level?: string }[]) =>
  rpc(db, service, "ingest_agent_logs", {
    rows: lines.map(({ message, at = ago(0), level = "INFO" }) => ({
      agentId,
      replica: "r",
      sequence: ++sequence,
      timestamp: at,
      level,
      message,
      source: "s",
    })),
  });
const logs = async (args: Record<string, unknown>) => {
  const { status, body } = await rpc(db, user(alice), "get_agent_logs", { agent_id: agentId, ...args });
  if (status === 200) agentLogs.parse(body);
  return { status, body };
};
const messages = (body: { logs: { message: string }[] }) => body.logs.map(({ message }) => message);

describe("text search", () => {
  test("finds words in any case, oldest first, with the other filters", async () => {
    await say([
      { message: "Connected to Discord", at: ago(30) },
      { message: "nothing", at: ago(20) },
      { message: "lost DISCORD", at: ago(10), level: "ERROR" },
      { message: "discord again", at: ago(7200) },
    ]);
    const found = (await logs({ text: "discord", since: "1h" })).body;
    assert.deepEqual(messages(found), ["Connected to Discord", "lost DISCORD"]);
    assert.deepEqual([found.totalLines, found.truncated], [2, false]);
    assert.deepEqual(found.search, { scanned: 3, complete: true });
    assert.deepEqual(messages((await logs({ text: "discord", level: "error" })).body), ["lost DISCORD"]);
    const newest = (await logs({ text: "discord", lines: 1 })).body;
    assert.deepEqual([messages(newest), newest.totalLines, newest.truncated], [["lost DISCORD"], 3, true]);
    assert.equal((await logs({})).body.search, undefined);
  });

  test("takes the text as it is: no pattern, no SQL", async () => {
    await say([{ message: "100% of a_b c:\\d" }, { message: "100 of aXb" }]);
    for (const text of ["100%", "a_b", "c:\\d"]) {
      assert.deepEqual(messages((await logs({ text })).body), ["100% of a_b c:\\d"], text);
    }
    assert.deepEqual(messages((await logs({ text: "' or true --" })).body), []);
  });

  test("an empty or endless text is refused by name", async () => {
    for (const text of ["", "x".repeat(201)]) {
      const { status, body } = await logs({ text });
      assert.deepEqual([status, Object.keys(JSON.parse(body.details))], [400, ["text"]]);
    }
  });
});

/** The start of a whole hour some hours ago, so that minutes fall where the test puts them. */
const hour = (hoursAgo: number) => Math.floor(Date.now() / 3_600_000 - hoursAgo) * 3_600_000;
const sample = (at: number, facts: Record<string, unknown> = {}, replica = "r") => ({
  agentId,
  replica,
  sequence: ++sequence,
  timestamp: new Date(at).toISOString(),
  cpuUsage: 0.2,
  cpuLimit: 1,
  memoryUsage: 100,
  memoryLimit: 200,
  requestsTotal: 0,
  requestsSuccess: 0,
  requestsErrors: 0,
  ...facts,
});
const measure = (rows: unknown[]) => rpc(db, service, "ingest_agent_metrics", { rows });
const rollUp = async () => (await db.pool.query("select private.roll_up_metrics() as n")).rows[0].n as number;
const points = async (args: Record<string, unknown>) => {
  const { status, body } = await rpc(db, user(alice), "get_agent_metrics", { agent_id: agentId, ...args });
  assert.equal(status, 200, JSON.stringify(body));
  return agentMetrics.parse(body).history;
};

describe("rollups", () => {
  test("a minute adds up its replicas; counters tell what was added, across minutes and new replicas", async () => {
    const t = hour(3);
    await measure([
      sample(t + 1000, {
        cpuUsage: 0.2,
        requestsTotal: 10,
        requestsSuccess: 9,
        requestsErrors: 1,
        networkIn: 5,
      }),
      sample(t + 31_000, {
        cpuUsage: 0.4,
        requestsTotal: 14,
        requestsSuccess: 12,
        requestsErrors: 2,
        networkIn: 6,
      }),
      sample(t + 2000, { cpuUsage: 0.5, requestsTotal: 3, requestsSuccess: 3, requestsErrors: 0 }, "q"),
      sample(t + 61_000, {
        cpuUsage: 0.6,
        requestsTotal: 20,
        requestsSuccess: 18,
        requestsErrors: 2,
        networkIn: 9,
      }),
    ]);
    assert.equal(await rollUp(), 2);
    const { points: minutes, resolution } = (await points({ range: "4h" })) ?? assert.fail();
    assert.equal(resolution, "minute");
    assert.deepEqual(
      minutes.map((m) => [m.replicas, m.samples, m.cpu.usage, m.cpu.max, m.requests, m.network.bytesIn]),
      [
        [2, 3, 0.8, 0.5, { total: 17, success: 15, errors: 2 }, 6],
        [1, 1, 0.6, 0.6, { total: 6, success: 6, errors: 0 }, 3],
      ],
    );
    const { points: hours } = (await points({ range: "30d" })) ?? assert.fail();
    assert.deepEqual(
      hours.map((h) => [h.timestamp, h.samples, h.requests.total, h.cpu.max]),
      [[new Date(t).toISOString(), 4, 23, 0.6]],
    );
  });

  test("run again, or fed the same batch again, they change nothing; a late sample is added in", async () => {
    const t = hour(2);
    const batch = [sample(t, { requestsTotal: 10 }), sample(t + 60_000, { requestsTotal: 30 })];
    await measure(batch);
    await rollUp();
    const one = await points({ range: "6h" });
    await measure(batch);
    await rollUp();
    assert.equal(await rollUp(), 0);
    assert.deepEqual(await points({ range: "6h" }), one);
    await measure([sample(t + 30_000, { requestsTotal: 25 })]);
    await rollUp();
    const late = (await points({ range: "6h" })) ?? assert.fail();
    assert.deepEqual(
      late.points.map((p) => p.requests.total),
      [25, 5],
      "the minute after counts from the late one",
    );
  });

  test("samples stored while a roll-up runs are not lost", async () => {
    const t = hour(1);
    const at = Array.from({ length: 40 }, (_, i) => sample(t + i * 1000, {}, `r${i}`));
    const rolling = (async () => {
      for (let i = 0; i < 20; i++) await rollUp();
    })();
    await Promise.all([rolling, ...at.map((row) => measure([row]))]);
    await rollUp();
    const { points: minutes } = (await points({ range: "6h" })) ?? assert.fail();
    assert.deepEqual([minutes.length, minutes[0]?.samples, minutes[0]?.replicas], [1, 40, 40]);
  });

  test("nonsense is refused by name", async () => {
    for (const [field, args] of [
      ["range", { range: "soon" }],
      ["range", { range: "401d" }],
      ["range", { range: "10s" }],
      ["resolution", { resolution: "day" }],
      ["resolution", { resolution: "minute", range: "2d" }],
    ] as const) {
      const { status, body } = await rpc(db, user(alice), "get_agent_metrics", {
        agent_id: agentId,
        ...args,
      });
      assert.deepEqual([status, Object.keys(JSON.parse(body.details))], [400, [field]], JSON.stringify(args));
    }
  });
});

describe("retention", () => {
  test("takes what is past it and nothing else; an operator's change counts", async () => {
    const day = 86_400;
    await say([
      { message: "old", at: ago(31 * day) },
      { message: "week", at: ago(8 * day) },
      { message: "new" },
    ]);
    await measure([sample(Date.now() - 31 * day * 1000), sample(Date.now() - 8 * day * 1000)]);
    await rollUp();
    await db.pool.query("select private.delete_expired()");
    assert.deepEqual(messages((await logs({})).body), ["week", "new"]);
    const count = async (table: string) =>
      (await db.pool.query(`select count(*)::int as n from public.${table} where agent_id = $1`, [agentId]))
        .rows[0].n;
    assert.deepEqual(
      [await count("agent_metrics"), await count("agent_metrics_minute"), await count("agent_metrics_hour")],
      [1, 1, 2],
    );
    await db.pool.query("update private.retention set days = 7 where kind = 'telemetry'");
    await db.pool.query("select private.delete_expired()");
    assert.deepEqual(messages((await logs({})).body), ["new"]);
    await db.pool.query("update private.retention set days = 30 where kind = 'telemetry'");
  });

  test("pg_cron runs it, and the rollups", async () => {
    const { rows } = await db.pool.query("select jobname from cron.job where active order by 1");
    const names = rows.map(({ jobname }) => jobname);
    for (const job of ["launchpad-retention", "launchpad-rollup", "launchpad-forget"])
      assert.ok(names.includes(job), job);
  });
});

describe("lines that go elsewhere", () => {
  test("the answer says so while the agent's controller sends them to a collector, and not afterwards", async () => {
    await say([{ message: "kept from before" }]);
    const beat = (report: object) =>
      rpc(db, service, "heartbeat_controller", { worker: "test-worker", report });
    await beat({ logs: "otlp" });
    const { body } = await logs({});
    assert.match(body.notice, /OpenTelemetry/);
    assert.equal(body.real_time_available, false);
    assert.deepEqual(
      body.logs.map((line: { message: string }) => line.message),
      ["kept from before"],
    );
    await beat({ logs: "off" });
    assert.match((await logs({})).body.notice, /collected by the cluster/);
    await beat({ logs: "stored" });
    const { body: after } = await logs({});
    assert.deepEqual([after.notice, after.real_time_available], [undefined, true]);
    const { status } = await rpc(db, user(await createUser(db)), "get_agent_logs", { agent_id: agentId });
    assert.equal(status, 404);
  });
});
