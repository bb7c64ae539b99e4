// Claim, heartbeat, report, release, ingest: what fences controllers from each other.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { messageKey } from "../../packages/agent-runtime/src/signature.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { anon, createUser, liftRateLimits, rpc, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;

beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  alice = await createUser(db);
  await db.pool.query(
    "update public.quotas set max_agents = 1000, max_replicas = 1000, max_cpu = 1000000, max_memory = 1e12",
  );
});
// Each test starts with nothing to claim.
beforeEach(async () => {
  await db.pool.query("update private.agent_deployments set removed_at = now(), lease_holder = null");
  await db.pool.query("delete from private.controllers");
});
afterAll(() => db.destroy());

interface Claim {
  agentId: string;
  generation: number;
  leaseToken: string;
  spec: Record<string, unknown> | null;
  desired: string;
}

const call = async (name: string, args: Record<string, unknown>) => (await rpc(db, service, name, args)).body;
const claim = (worker: string, extra = {}): Promise<Claim[]> =>
  call("claim_deployments", { worker, ...extra });
const launch = async (extra: Record<string, unknown> = {}): Promise<string> =>
  (await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot", ...extra } })).body.agentId;
const report = (c: Claim, phase: string | null, extra: Record<string, unknown> = {}) =>
  call("report_deployment", {
    agent_id: c.agentId,
    generation: c.generation,
    lease_token: c.leaseToken,
    report: { ...(phase ? { phase } : {}), ...extra },
  });
/** Makes a worker look dead: its heartbeat ended a second ago. */
const die = (worker: string) =>
  db.pool.query("update private.controllers set expires_at = now() - interval '1 second' where worker = $1", [
    worker,
  ]);

describe("claim", () => {
  test("gives each deployment to one worker", async () => {
    for (let i = 0; i < 20; i++) await launch();
    const shares = await Promise.all(["w1", "w2", "w3"].map((w) => claim(w)));
    const ids = shares.flat().map((c) => c.agentId);
    assert.equal(ids.length, 20);
    assert.equal(new Set(ids).size, 20);
  });

  test("respects max_count and leaves the rest to others", async () => {
    for (let i = 0; i < 5; i++) await launch();
    assert.equal((await claim("w1", { max_count: 2 })).length, 2);
    assert.equal((await claim("w2")).length, 3);
  });

  test("work in hand does not crowd out new work", async () => {
    await launch();
    await launch();
    await claim("w1", { max_count: 2 });
    const fresh = await launch();
    assert.deepEqual(
      (await claim("w1", { max_count: 1 })).map((c) => c.agentId),
      [fresh],
    );
  });

  test("a lost answer is given again: unsettled work stays claimable by its holder, with the same token", async () => {
    await launch();
    const [first] = await claim("w1");
    const [again] = await claim("w1");
    assert.equal(again?.leaseToken, first?.leaseToken);
  });

  test("settled work is not claimed again while its holder lives, and is when the holder dies", async () => {
    await launch();
    const [c] = await claim("w1");
    await report(c!, "DEPLOYING");
    await report(c!, "DEPLOYED", { currentReplicas: 1, readyReplicas: 1 });
    assert.deepEqual(await claim("w1"), []);
    assert.deepEqual(await claim("w2"), []);
    await die("w1");
    const [taken] = await claim("w2");
    assert.equal(taken?.agentId, c!.agentId);
    assert.notEqual(taken?.leaseToken, c!.leaseToken);
  });

  test("carries the spec, with sizes computed and secrets by version", async () => {
    await launch({
      resources: { memory: "1Gi", cpu: "500m", replicas: 2 },
      environment: { TOKEN: "sekrit" },
    });
    const [c] = await claim("w1");
    assert.equal(c?.desired, "running");
    assert.deepEqual(c?.spec?.resources, {
      memory: "1Gi",
      cpu: "500m",
      memoryBytes: 1073741824,
      cpuMillicores: 500,
    });
    assert.deepEqual(c?.spec?.secretVersions, { TOKEN: 1 });
    assert.ok(!JSON.stringify(c).includes("sekrit"));
  });

  test("backoff: a released error is not claimable until its time, and attempts count", async () => {
    const id = await launch();
    const [c] = await claim("w1");
    await call("release_deployment", { agent_id: id, lease_token: c!.leaseToken, error: "cluster away" });
    assert.deepEqual(await claim("w1"), []);
    const { rows } = await db.pool.query(
      "select attempts, last_error, next_attempt_at > now() as later from private.agent_deployments where agent_id = $1",
      [id],
    );
    assert.deepEqual(rows, [{ attempts: 1, last_error: "cluster away", later: true }]);
    // A new intent does not wait for an old failure.
    await rpc(db, user(alice), "restart_agent", { agent_id: id });
    assert.equal((await claim("w1")).length, 1);
  });

  test("a worker that stops gives everything back", async () => {
    await launch();
    await claim("w1");
    assert.deepEqual(await call("release_worker", { worker: "w1" }), { released: 1 });
    assert.equal((await claim("w2")).length, 1);
  });

  test("nonsense is named", async () => {
    for (const [args, field] of [
      [{ worker: "" }, "worker"],
      [{ worker: "w", max_count: 0 }, "max_count"],
      [{ worker: "w", lease_seconds: 0 }, "lease_seconds"],
    ] as const) {
      const { status, body } = await rpc(db, service, "claim_deployments", args);
      assert.equal(status, 400);
      assert.ok(JSON.parse(body.details)[field]);
    }
  });
});

describe("fencing", () => {
  test("a report with a lost lease is refused and changes nothing", async () => {
    const id = await launch();
    const [old] = await claim("w1");
    await die("w1");
    const [fresh] = await claim("w2");
    assert.equal((await report(old!, "FAILED")).reason, "lease_lost");
    assert.equal((await report(fresh!, "DEPLOYING")).accepted, true);
    const { rows } = await db.pool.query("select phase from private.agent_deployments where agent_id = $1", [
      id,
    ]);
    assert.equal(rows[0].phase, "DEPLOYING");
  });

  test("a late report of an old generation is refused", async () => {
    const id = await launch();
    const [c] = await claim("w1");
    await report(c!, "DEPLOYING");
    await rpc(db, user(alice), "scale_agent", { agent_id: id, scale: { replicas: 2 } });
    const late = await report(c!, "DEPLOYED");
    assert.deepEqual([late.accepted, late.reason, late.generation], [false, "stale_generation", 2]);
    const { rows } = await db.pool.query(
      "select observed_generation::int, generation::int from private.agent_deployments where agent_id = $1",
      [id],
    );
    assert.deepEqual(rows, [{ observed_generation: 0, generation: 2 }]);
  });

  test("an equal report writes nothing", async () => {
    const id = await launch();
    const [c] = await claim("w1");
    await report(c!, "DEPLOYING");
    const observation = { currentReplicas: 1, readyReplicas: 1, url: "http://x" };
    await report(c!, "DEPLOYED", observation);
    const version = async () =>
      (await db.pool.query("select xmin::text from private.agent_deployments where agent_id = $1", [id]))
        .rows[0].xmin;
    const before = await version();
    await report(c!, "DEPLOYED", observation);
    assert.equal(await version(), before);
  });

  test("an address that changes without a phase shows in agents and lists", async () => {
    const id = await launch();
    const [c] = await claim("w1");
    await report(c!, "DEPLOYING");
    await report(c!, "DEPLOYED", { url: "http://old" });
    const agent = async () =>
      (await db.pool.query("select status, url, deployed_at from public.agents where id = $1", [id])).rows[0];
    const before = await agent();
    assert.equal(before.url, "http://old");
    await report(c!, null, { url: "http://new" });
    assert.deepEqual(await agent(), { ...before, url: "http://new" });
    const { body } = await rpc(db, user(alice), "list_agents", { limit: 100 });
    assert.equal(body.agents.find((each: { agentId: string }) => each.agentId === id).url, "http://new");
  });

  test("an agent that is gone answers gone", async () => {
    const { body } = await rpc(db, service, "report_deployment", {
      agent_id: "agent-none",
      generation: 1,
      lease_token: "00000000-0000-0000-0000-000000000000",
      report: {},
    });
    assert.deepEqual(body, { accepted: false, reason: "gone" });
  });

  test("secrets are given to the lease's holder alone", async () => {
    const id = await launch({ environment: { TOKEN: "sekrit" } });
    const [c] = await claim("w1");
    const args = { agent_id: id, generation: 1, lease_token: c!.leaseToken };
    assert.deepEqual(await call("agent_environment", args), { TOKEN: "sekrit" });
    await db.pool.query("select vault.create_secret('the secret of respond', 'launchpad_respond_secret')");
    assert.deepEqual(await call("agent_environment", args), {
      TOKEN: "sekrit",
      AGENT_MESSAGE_KEY: messageKey("the secret of respond", id),
    });
    const wrong = await rpc(db, service, "agent_environment", {
      ...args,
      lease_token: "00000000-0000-0000-0000-000000000000",
    });
    assert.equal(wrong.body.code, "CONFLICT");
    for (const caller of [user(alice), anon]) {
      assert.equal((await rpc(db, caller, "agent_environment", args)).status, 403);
    }
  });
});

describe("ingest", () => {
  const row = (agentId: string, sequence: number) => ({
    agentId,
    replica: "r1",
    sequence,
    timestamp: new Date().toISOString(),
    level: "INFO",
    message: `line ${sequence}`,
    source: "runtime",
    metadata: { a: 1 },
  });

  test("a batch sent twice is stored once; an unknown agent is counted, not stored", async () => {
    const id = await launch();
    const rows = [row(id, 1), row(id, 2), row("agent-none", 1)];
    assert.deepEqual(await call("ingest_agent_logs", { rows }), { accepted: 2, duplicates: 0, unknown: 1 });
    assert.deepEqual(await call("ingest_agent_logs", { rows }), { accepted: 0, duplicates: 2, unknown: 1 });
    const { body } = await rpc(db, user(alice), "get_agent_logs", { agent_id: id });
    assert.deepEqual(
      body.logs.map((l: { message: string }) => l.message),
      ["line 1", "line 2"],
    );
    assert.equal(body.totalLines, 2);
    assert.equal(body.truncated, false);
    assert.match(body.logs[0].id, /^log-\d+$/);
    assert.equal(body.logs[0].metadata.pod, "r1");
  });

  /** The same lines as the controller sends them today. */
  const columns = (rows: ReturnType<typeof row>[]) => ({
    agents: rows.map((r) => r.agentId),
    replicas: rows.map((r) => r.replica),
    sequences: rows.map((r) => r.sequence),
    timestamps: rows.map((r) => r.timestamp),
    levels: rows.map((r) => r.level),
    messages: rows.map((r) => r.message),
    sources: rows.map((r) => r.source),
    details: rows.map((r) => r.metadata as object | null),
  });

  test("lines as arrays are stored once each, beside new ones, and those of unknown agents counted", async () => {
    const id = await launch();
    const sent = columns([row(id, 1), row(id, 2), row("agent-none", 1)]);
    assert.deepEqual(await call("ingest_log_lines", sent), { accepted: 2, duplicates: 0, unknown: 1 });
    const more = columns([row(id, 2), row(id, 3), row(id, 3), row("agent-none", 1)]);
    assert.deepEqual(await call("ingest_log_lines", more), { accepted: 1, duplicates: 2, unknown: 1 });
    const { body } = await rpc(db, user(alice), "get_agent_logs", { agent_id: id });
    assert.deepEqual(
      body.logs.map((l: { message: string }) => l.message),
      ["line 1", "line 2", "line 3"],
    );
    assert.deepEqual(body.logs[0].metadata, { a: 1, pod: "r1" });
    const strange = columns([row(id, 4)]);
    strange.levels = ["LOUD"];
    strange.details = [null];
    await call("ingest_log_lines", strange);
    const { body: after } = await rpc(db, user(alice), "get_agent_logs", { agent_id: id });
    assert.deepEqual([after.logs[3].level, after.logs[3].metadata], ["INFO", { pod: "r1" }]);
  });

  test("arrays of different lengths are refused, and nothing of them is stored", async () => {
    const id = await launch();
    const { status, body } = await rpc(db, service, "ingest_log_lines", {
      ...columns([row(id, 1), row(id, 2)]),
      messages: ["one"],
    });
    assert.equal(status, 400);
    assert.equal(body.code, "VALIDATION_ERROR");
    assert.equal((await rpc(db, user(alice), "get_agent_logs", { agent_id: id })).body.totalLines, 0);
    for (const caller of [user(alice), anon]) {
      assert.equal((await rpc(db, caller, "ingest_log_lines", columns([row(id, 1)]))).status, 403);
    }
  });

  test("metrics of all replicas are summed, and a percentage is of the limit", async () => {
    const id = await launch();
    const sample = (replica: string, cpuUsage: number) => ({
      agentId: id,
      replica,
      sequence: 1,
      timestamp: new Date().toISOString(),
      cpuUsage,
      cpuLimit: 1,
      memoryUsage: 536870912,
      memoryLimit: 1073741824,
      networkIn: null,
      networkOut: null,
      requestsTotal: 10,
      requestsSuccess: 9,
      requestsErrors: 1,
      requestRate: 0.5,
      responseTimeMs: 3,
    });
    await call("ingest_agent_metrics", { rows: [sample("a", 0.25), sample("b", 0.65)] });
    const { body } = await rpc(db, user(alice), "get_agent_metrics", { agent_id: id });
    assert.deepEqual(body.metrics.cpu, { usage: 0.9, limit: 2, percentage: 45 });
    assert.deepEqual(body.metrics.memory, { usage: 1073741824, limit: 2147483648, percentage: 50 });
    assert.deepEqual(body.metrics.requests, { total: 20, success: 18, errors: 2, rate: 1 });
    assert.deepEqual(body.metrics.network, { bytesIn: null, bytesOut: null });
    assert.ok(body.metrics.supabase.database_connections >= 1);
  });

  test("a replica that ended before the newest samples is not counted", async () => {
    const id = await launch();
    const sample = (replica: string, secondsAgo: number) => ({
      agentId: id,
      replica,
      sequence: 1,
      timestamp: new Date(Date.now() - secondsAgo * 1000).toISOString(),
      cpuUsage: 0.1,
      cpuLimit: 1,
    });
    await call("ingest_agent_metrics", {
      rows: [sample("gone", 15), sample("here", 0), sample("here-too", 1)],
    });
    const { body } = await rpc(db, user(alice), "get_agent_metrics", { agent_id: id });
    assert.equal(body.replicas, 2);
    assert.equal(body.metrics.cpu.limit, 2);
  });

  test("nonsense in lines, since and level is named", async () => {
    const id = await launch();
    const { status, body } = await rpc(db, user(alice), "get_agent_logs", {
      agent_id: id,
      lines: 0,
      since: "yesterday",
      level: "LOUD",
    });
    assert.equal(status, 400);
    assert.deepEqual(Object.keys(JSON.parse(body.details)).sort(), ["level", "lines", "since"]);
  });
});

describe("what a cluster holds", () => {
  test("the database has one name, the same for every controller", async () => {
    const first = await call("controller_installation", {});
    assert.match(first.installation, /^[0-9a-f-]{36}$/);
    assert.deepEqual(await call("controller_installation", {}), first);
  });

  test("what is still wanted, or still to be removed by its holder, is not gone", async () => {
    const wanted = await launch();
    const going = await launch();
    await rpc(db, user(alice), "delete_agent", { agent_id: going });
    const gone = await call("gone_workloads", {
      held: { agents: [wanted, going, "agent-unheard"], users: [alice] },
    });
    const fleet = await call("controller_installation", {});
    const known = { agents: [], users: [] };
    assert.deepEqual(gone, { agents: ["agent-unheard"], users: [], known, fleet });
    for (const c of await claim("w1")) await report(c, c.desired === "absent" ? "DELETED" : "DEPLOYING");
    const after = await call("gone_workloads", { held: { agents: [wanted, going], users: [] } });
    // It saw the end of this one: that is no mistake of an older or another database.
    assert.deepEqual(after, { agents: [going], users: [], known: { agents: [going], users: [] }, fleet });
  });

  test("an agent that is stopped and held by nobody is gone, until it is wanted again", async () => {
    const id = await launch();
    const [deployed] = await claim("w1");
    await report(deployed!, "DEPLOYING");
    await report(deployed!, "DEPLOYED");
    const gone = async () =>
      (await call("gone_workloads", { held: { agents: [id], users: [alice] } })).agents;
    await rpc(db, user(alice), "stop_agent", { agent_id: id });
    assert.deepEqual(await gone(), []);
    const [stopping] = await claim("w1");
    assert.equal((await report(stopping!, "STOPPED")).accepted, true);
    assert.deepEqual(await gone(), [], "its holder may still be at it");
    await call("release_deployment", { agent_id: id, lease_token: stopping!.leaseToken });
    assert.deepEqual(await gone(), [id]);
    await rpc(db, user(alice), "start_agent", { agent_id: id });
    assert.deepEqual(await gone(), []);
  });

  test("a user without an account and without agents is gone", async () => {
    const nobody = "00000000-0000-4000-8000-000000000000";
    const gone = await call("gone_workloads", { held: { agents: [], users: [alice, nobody] } });
    assert.deepEqual(gone.users, [nobody]);
  });

  test("a claim tells what the user may run at most", async () => {
    await launch();
    const [claimed] = await call("claim_deployments", { worker: "w1" });
    assert.deepEqual(claimed.quota, {
      maxAgents: 1000,
      maxReplicas: 1000,
      maxCpuMillicores: 1_000_000,
      maxMemoryBytes: 1_000_000_000_000,
    });
  });

  test("what hinders a controller is told in the status until the generation has settled", async () => {
    const agentId = await launch();
    const [c] = await claim("w1");
    const error = "The namespace is being deleted.";
    await call("release_deployment", { agent_id: agentId, lease_token: c!.leaseToken, error });
    const status = () => rpc(db, user(alice), "get_agent_status", { agent_id: agentId });
    const hindered = (await status()).body;
    assert.deepEqual([hindered.status, hindered.reason, hindered.message], ["QUEUED", "RETRYING", error]);
    await db.pool.query("update private.agent_deployments set next_attempt_at = now() where agent_id = $1", [
      agentId,
    ]);
    const [again] = await claim("w1");
    await report(again!, "DEPLOYING");
    await report(again!, "DEPLOYED", { currentReplicas: 1, readyReplicas: 1 });
    assert.equal((await status()).body.reason, null);
  });

  test("what was put back is one event, fenced as every report", async () => {
    const agentId = await launch();
    const [c] = await claim("w1");
    const corrections = ["Deployment: replicas", "Service: deleted"];
    await report(c!, "DEPLOYING", { corrections });
    await report({ ...c!, generation: c!.generation + 1 }, null, { corrections });
    const { rows } = await db.pool.query(
      "select message from public.agent_events where agent_id = $1 and event_type = 'CORRECTED'",
      [agentId],
    );
    assert.deepEqual(rows, [
      { message: "Changed by others in the cluster and put back: Deployment: replicas; Service: deleted" },
    ]);
  });

  test("no one but the controller may ask", async () => {
    for (const who of [anon, user(alice)]) {
      for (const [name, args] of [
        ["controller_installation", {}],
        ["gone_workloads", { held: { agents: [], users: [] } }],
      ] as const) {
        assert.equal((await rpc(db, who, name, args)).status, 403);
      }
    }
  });
});

test("100 create, scale and delete races: observed never ahead, one lease each, events gapless", async () => {
  const ids = await Promise.all(Array.from({ length: 100 }, () => launch()));
  const controller = async (worker: string) => {
    for (let round = 0; round < 6; round++) {
      for (const c of await claim(worker, { max_count: 40 })) {
        if (c.desired === "absent") await report(c, "DELETED");
        else {
          await report(c, "DEPLOYING");
          await report(c, "DEPLOYED", { currentReplicas: 1, readyReplicas: 1 });
        }
      }
    }
  };
  const users = ids.map(async (id, i) => {
    await rpc(db, user(alice), "scale_agent", { agent_id: id, scale: { replicas: (i % 3) + 1 } });
    if (i % 2 === 0) await rpc(db, user(alice), "delete_agent", { agent_id: id });
  });
  await Promise.all([controller("w1"), controller("w2"), ...users]);
  // Whatever the race left is finished by one more pass of each.
  await controller("w1");
  await controller("w2");
  const { rows } = await db.pool.query(
    `select count(*) filter (where generation <> observed_generation)::int as unsettled,
            count(*) filter (where phase = 'DELETED')::int as deleted,
            count(*) filter (where phase = 'DEPLOYED')::int as deployed
     from private.agent_deployments where agent_id = any ($1)`,
    [ids],
  );
  assert.deepEqual(rows, [{ unsettled: 0, deleted: 50, deployed: 50 }]);
  const { rows: gaps } = await db.pool.query(
    "select agent_id from public.agent_events where agent_id = any ($1) group by agent_id having max(seq) <> count(*)",
    [ids],
  );
  assert.deepEqual(gaps, []);
});
