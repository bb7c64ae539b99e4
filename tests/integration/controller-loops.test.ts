// The real controller loops against the real SQL interface; only the cluster is pretended.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, type TestContext, test } from "vitest";
import { systemClock } from "../../packages/controller/src/clock.ts";
import type { Workload } from "../../packages/controller/src/cluster/cluster.ts";
import { type Behaviour, MemoryCluster } from "../../packages/controller/src/cluster/memory.ts";
import { createDatabase, DatabaseError } from "../../packages/controller/src/database.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { Controller } from "../../packages/controller/src/loop/controller.ts";
import { Shipper } from "../../packages/controller/src/shipping/shipper.ts";
import { Spool } from "../../packages/controller/src/shipping/spool.ts";
import { seededRandom } from "../../packages/controller/src/testing/simulated-clock.ts";
import { temporaryFolder, until } from "../../packages/controller/src/testing/temporary.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
// The controller's timers do not keep a process alive; its servers do, which these tests have not.
const alive = setInterval(() => {}, 1000);

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  alice = await createUser(db);
  await db.pool.query(
    "update public.quotas set max_agents = 1000, max_replicas = 5000, max_cpu = 10000000, max_memory = 1e13",
  );
});
afterAll(async () => {
  clearInterval(alive);
  await db.destroy();
});

const verb = async (name: string, args: Record<string, unknown>) =>
  (await rpc(db, user(alice), name, args)).body;
const launch = async (character = "good", replicas = 1): Promise<string> => {
  const definition = { agentName: "bot", character: { name: character } };
  const body = await verb("launch_agent", { definition });
  assert.ok(body.agentId, JSON.stringify(body));
  if (replicas > 1) await verb("scale_agent", { agent_id: body.agentId, scale: { replicas } });
  return body.agentId;
};

interface Row {
  phase: string;
  desired: string;
  settled: boolean;
  ready: number;
  target: number;
  reason: string | null;
  holder: string | null;
}

async function rowOf(agentId: string): Promise<Row> {
  const { rows } = await db.pool.query(
    `select phase, desired, generation = observed_generation as settled, ready_replicas as ready,
            target_replicas as target, reason, lease_holder as holder
     from private.agent_deployments where agent_id = $1`,
    [agentId],
  );
  return rows[0];
}

const settledAs = (agentId: string, phase: string) =>
  until(`${agentId} ${phase}`, async () => {
    const row = await rowOf(agentId);
    return row.settled && row.phase === phase && row;
  });

/** What a replica does is its character's name. */
function behave(workload: Workload): Behaviour {
  const { name } = workload.spec.character as { name: string };
  if (name === "fatal")
    return { does: "fatal", afterMs: 1, reason: "PLUGIN_NOT_FOUND", message: "no plugin" };
  if (name === "crash") return { does: "crash", afterMs: 1 };
  return { does: "ready", afterMs: 5 };
}

/** The controller's own client, whose posts go straight to the database's functions as PostgREST would call them. */
function client(onPost: (name: string) => void = () => {}) {
  return createDatabase({
    url: "",
    key: "",
    post: async (url, _headers, body) => {
      const name = /\/(\w+)(?:\?|$)/.exec(url)?.[1] ?? url;
      onPost(name);
      const answer = await rpc(db, service, name, JSON.parse(body)).catch((error: { code?: string }) => {
        // PostgREST answers data exceptions (class 22) with 400.
        if (!error.code?.startsWith("22")) throw error;
        return { status: 400, body: { code: error.code } };
      });
      return { status: answer.status, text: JSON.stringify(answer.body ?? null) };
    },
  });
}

function start(context: TestContext, worker: string, onPost?: (name: string) => void) {
  const cluster = new MemoryCluster({ clock: systemClock, behave });
  const controller = new Controller({
    worker,
    database: client(onPost),
    cluster,
    clock: systemClock,
    random: Math.random,
    log: silentLog,
    limits: { readyMs: 5000, crashLimit: 2 },
    pollSeconds: 0.05,
    leaseSeconds: 1,
    concurrency: 4,
    urlOf: (agentId) => `http://${agentId}.agents.localhost`,
    describe: async () => ({ cluster: "memory" }),
  });
  controller.start();
  context.onTestFinished(async () => {
    await controller.stop();
    cluster.crash();
    await controller.release();
  });
  return { cluster, controller };
}

describe("controller and SQL", () => {
  test("every verb ends in its phase, and the event log tells the story", async (context) => {
    const { cluster } = start(context, "w-verbs");
    const agentId = await launch();
    await settledAs(agentId, "DEPLOYED");
    await verb("scale_agent", { agent_id: agentId, scale: { replicas: 3 } });
    assert.equal((await settledAs(agentId, "DEPLOYED")).ready, 3);
    await verb("restart_agent", { agent_id: agentId });
    await settledAs(agentId, "DEPLOYED");
    await verb("update_agent", { agent_id: agentId, changes: { character: { name: "better" } } });
    await settledAs(agentId, "DEPLOYED");
    await verb("stop_agent", { agent_id: agentId });
    assert.equal((await settledAs(agentId, "STOPPED")).ready, 0);
    await until("given back", async () => (await rowOf(agentId)).holder === null);
    await verb("start_agent", { agent_id: agentId });
    await settledAs(agentId, "DEPLOYED");
    assert.equal(cluster.running(agentId).length, 3);
    await verb("delete_agent", { agent_id: agentId });
    await settledAs(agentId, "DELETED");
    assert.equal(cluster.running(agentId).length, 0);
    const { rows } = await db.pool.query(
      "select to_phase from public.agent_events where agent_id = $1 and to_phase is not null order by seq",
      [agentId],
    );
    assert.equal(
      rows.map((row) => row.to_phase).join(" "),
      "QUEUED DEPLOYING DEPLOYED SCALING DEPLOYED RESTARTING DEPLOYED UPDATING DEPLOYED " +
        "STOPPING STOPPED DEPLOYING DEPLOYED DELETING DELETED",
    );
  });

  test("failures have their reason; an update that fails leaves the old replicas; a change tries again", async (context) => {
    const { cluster } = start(context, "w-failures");
    const broken = await launch("fatal");
    assert.equal((await settledAs(broken, "FAILED")).reason, "PLUGIN_NOT_FOUND");
    const agentId = await launch("good", 2);
    await settledAs(agentId, "DEPLOYED");
    await verb("update_agent", { agent_id: agentId, changes: { character: { name: "crash" } } });
    const failed = await settledAs(agentId, "FAILED");
    assert.equal(failed.reason, "CRASH_LOOP");
    assert.equal(cluster.running(agentId).filter((replica) => replica.state === "ready").length, 2);
    await verb("update_agent", { agent_id: agentId, changes: { character: { name: "good" } } });
    await settledAs(agentId, "DEPLOYED");
  });

  test("an idle controller sends heartbeats and nothing else", async (context) => {
    const posts: string[] = [];
    start(context, "w-idle", (name) => void posts.push(name));
    const agentId = await launch();
    await settledAs(agentId, "DEPLOYED");
    // It has taken over what the tests before have left.
    const isBeat = (name: string) => name === "heartbeat_controller";
    const beats = async (count: number) => {
      const from = posts.length;
      await until(`${count} heartbeats in a row`, () => {
        const last = posts.slice(from).slice(-count);
        return last.length === count && last.every(isBeat);
      });
    };
    await beats(10);
    const { rows: before } = await db.pool.query("select count(*)::int as events from public.agent_events");
    await beats(10);
    const { rows: after } = await db.pool.query("select count(*)::int as events from public.agent_events");
    assert.equal(after[0].events, before[0].events);
  });

  test("the agents of a controller that falls silent go to another, and the first drops them", async (context) => {
    let silent = false;
    const first = start(context, "w-silent", () => {
      if (silent) throw new DatabaseError("unreachable", "cut off");
    });
    const ids = [await launch("good", 2), await launch()];
    for (const agentId of ids) await settledAs(agentId, "DEPLOYED");
    silent = true;
    const second = start(context, "w-heir");
    for (const agentId of ids) {
      await until("taken over", async () => (await rowOf(agentId)).holder === "w-heir");
      await until("runs", async () =>
        second.cluster.running(agentId).every((replica) => replica.state === "ready"),
      );
      assert.ok(first.cluster.running(agentId).length > 0, "cut off, it lets them run");
    }
    silent = false;
    for (const agentId of ids) await until("dropped", () => first.cluster.running(agentId).length === 0);
    assert.equal(second.cluster.running(ids[0]).length, 2);
  });

  test("two controllers, a hundred races: what was asked for last is what runs, once", async (context) => {
    const random = seededRandom(20);
    const sites = [start(context, "w-race-1"), start(context, "w-race-2")];
    const ids = await Promise.all(
      Array.from({ length: 12 }, () => launch("good", 1 + Math.floor(random() * 3))),
    );
    const races = Array.from({ length: 100 }, async () => {
      const agentId = ids[Math.floor(random() * ids.length)];
      const pick = random();
      const replicas = 1 + Math.floor(random() * 4);
      await new Promise((resolve) => setTimeout(resolve, random() * 1500));
      if (pick < 0.5) await verb("scale_agent", { agent_id: agentId, scale: { replicas } });
      else if (pick < 0.7) await verb("restart_agent", { agent_id: agentId });
      else if (pick < 0.85) await verb("stop_agent", { agent_id: agentId });
      else if (pick < 0.95) await verb("start_agent", { agent_id: agentId });
      else await verb("delete_agent", { agent_id: agentId });
    });
    await Promise.all(races);
    for (const agentId of ids) {
      const row = await until(`${agentId} settles`, async () => {
        const seen = await rowOf(agentId);
        return seen.settled && seen;
      });
      const phase = { running: "DEPLOYED", stopped: "STOPPED", absent: "DELETED" }[row.desired];
      assert.equal(row.phase, phase);
      const running = sites.flatMap(({ cluster }) => cluster.running(agentId));
      assert.equal(running.length, row.desired === "running" ? row.target : 0, agentId);
    }
  });

  test("logs are stored once, whatever is sent twice; bad text holds nothing up", async (context) => {
    start(context, "w-logs");
    const agentId = await launch();
    await settledAs(agentId, "DEPLOYED");
    const database = client();
    const random = seededRandom(3);
    const shipper = new Shipper({
      name: "logs",
      clock: systemClock,
      random,
      log: silentLog,
      spool: new Spool({ directory: temporaryFolder(context), maxBytes: 1_000_000 }),
      maxRows: 20,
      maxDelayMs: 5,
      send: async (rows) => {
        await database.ingestLogs(rows);
        if (random() < 0.1) throw new DatabaseError("unreachable", "the answer was lost");
      },
    });
    for (let sequence = 1; sequence <= 100; sequence += 1) {
      const message = `line ${sequence}`;
      const timestamp = new Date().toISOString();
      const metadata = sequence === 50 ? { bad: "\u0000" } : {};
      const row = {
        agentId,
        replica: "r",
        sequence,
        timestamp,
        level: "INFO",
        message,
        source: "t",
        metadata,
      };
      shipper.add(JSON.stringify(row));
    }
    const stored = await until("all but the bad one", async () => {
      const { rows } = await db.pool.query(
        "select sequence::int from public.agent_logs where agent_id = $1 and replica = 'r' order by sequence",
        [agentId],
      );
      return rows.length >= 99 && shipper.waiting === 0 && rows;
    });
    assert.equal(stored.length, 99);
    assert.equal(shipper.refused, 1);
  });
});
