// Health and system figures: each is computed, and a component that is down shows, one by one.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { health, systemMetrics, VERSION } from "../../supabase/functions/_shared/contract/index.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  alice = await createUser(db);
});
afterAll(() => db.destroy());

const machine = { total: 4, used: 1 };
const beat = (worker = "w", report: Record<string, unknown> = {}) =>
  rpc(db, service, "heartbeat_controller", {
    worker,
    report: {
      cluster: "processes",
      healthy: true,
      capacity: { nodes: 1, replicas: 2, cpu: machine, memory: machine, storage: machine },
      ...report,
    },
  });
const parts = (status = "HEALTHY", age = "0 seconds", which = "%") =>
  db.pool.query(
    `insert into private.platform_parts (part, status, beat_at)
     select p, $1, now() - $2::interval from unnest(array['auth', 'storage', 'realtime', 'edge_functions']) p where p like $3
     on conflict (part) do update set status = excluded.status, beat_at = excluded.beat_at`,
    [status, age, which],
  );
const read = async () => {
  const { status, body } = await rpc(db, user(alice), "get_health");
  assert.equal(status, 200, JSON.stringify(body));
  return health.parse(body);
};

describe("GET /api/health", () => {
  beforeAll(async () => {
    await beat();
    await parts();
  });

  test("has the contract's shape, the API's version and the caller's permissions", async () => {
    const { status, version, user_id, user_permissions } = await read();
    assert.equal(status, "HEALTHY");
    assert.equal(version, VERSION);
    assert.equal(user_id, alice);
    assert.deepEqual(user_permissions, ["agents:read", "agents:write", "monitoring:read"]);
  });

  test("its figures follow what is there", async () => {
    const one = (await read()).components;
    await db.pool.query(
      `insert into auth.sessions (id, user_id, not_after) values (gen_random_uuid(), $1, null),
         (gen_random_uuid(), $1, now() - interval '1 second')`,
      [alice],
    );
    await db.pool.query("insert into storage.buckets (id, name) values ('b', 'b')");
    await db.pool.query(
      `insert into storage.objects (bucket_id, name, metadata) values ('b', 'x', '{"size": 2684354560}')`,
    );
    await db.superuser.query(
      `insert into realtime.subscription (subscription_id, entity, claims)
       values (gen_random_uuid(), 'public.agents', jsonb_build_object('sub', $1::text, 'role', 'authenticated'))`,
      [alice],
    );
    const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot" } });
    await settle(db, body.agentId);
    const two = (await read()).components;
    assert.equal(two.supabase.auth.active_sessions, one.supabase.auth.active_sessions + 1);
    assert.equal(two.supabase.storage.buckets, one.supabase.storage.buckets + 1);
    assert.equal(two.supabase.storage.total_size, "2.5GB");
    assert.equal(two.supabase.realtime.subscriptions, (one.supabase.realtime.subscriptions ?? 0) + 1);
    assert.equal(two.kubernetes.user_agents, one.kubernetes.user_agents + 1);
    assert.ok(two.supabase.database.connections > 0);
    const { rows } = await db.pool.query("select max(scanned_at) as at from public.security_scans");
    assert.equal(two.container_registry.last_scan, rows[0].at?.toISOString() ?? null);
  });

  for (const part of ["auth", "storage", "realtime", "edge_functions"] as const) {
    for (const [name, state, age] of [
      ["says it is away", "UNAVAILABLE", "0 seconds"],
      ["has been silent", "HEALTHY", "9 seconds"],
    ] as const) {
      test(`${part} ${name}: DEGRADED, and which`, async () => {
        await parts(state, age, part);
        const { status, components } = await read();
        assert.equal(status, "DEGRADED");
        assert.equal(components.supabase.status, "DEGRADED");
        assert.equal(components.supabase[part].status, "UNAVAILABLE");
        assert.equal(components.supabase.database.status, "HEALTHY");
        assert.equal(components.kubernetes.status, "HEALTHY");
        await parts();
        assert.equal((await read()).status, "HEALTHY");
      });
    }
  }

  test("no controller has spoken for eight seconds: kubernetes is UNAVAILABLE, the rest is as it was", async () => {
    const age = (seconds: number) =>
      db.pool.query("update private.controllers set heartbeat_at = now() - make_interval(secs => $1)", [
        seconds,
      ]);
    await age(9);
    const { status, components } = await read();
    assert.equal(status, "DEGRADED");
    assert.deepEqual(
      [components.kubernetes.status, components.kubernetes.nodes, components.kubernetes.pods],
      ["UNAVAILABLE", 0, 0],
    );
    assert.equal(components.supabase.status, "HEALTHY");
    await beat("w", { heartbeatSeconds: 20 });
    await age(30);
    assert.equal((await read()).status, "HEALTHY", "a controller that beats slowly is waited for");
    await beat("w", { healthy: false, message: "the API server does not answer" });
    const impaired = (await read()).components.kubernetes;
    assert.deepEqual([impaired.status, impaired.message], ["DEGRADED", "the API server does not answer"]);
    await beat();
  });

  test("the registry is as the controllers see it; where they cannot tell, nobody can", async () => {
    const seen = async (...states: (string | undefined)[]) => {
      for (const [index, status] of states.entries()) {
        await beat(`k${index}`, {
          cluster: "kubernetes",
          ...(status === undefined ? {} : { registry: { status } }),
        });
      }
      const { status, components } = await read();
      await db.pool.query("delete from private.controllers where worker like 'k%'");
      return [components.container_registry.status, components.container_registry.available, status];
    };
    assert.deepEqual(await seen(undefined), ["UNKNOWN", null, "HEALTHY"]);
    assert.deepEqual(await seen("UNKNOWN"), ["UNKNOWN", null, "HEALTHY"]);
    assert.deepEqual(await seen("HEALTHY", "UNKNOWN"), ["HEALTHY", true, "HEALTHY"]);
    assert.deepEqual(await seen("HEALTHY", "DEGRADED"), ["DEGRADED", false, "DEGRADED"]);
  });

  test("nodes that a controller may not count are not made up", async () => {
    const nodes = async () => (await read()).components.kubernetes.nodes;
    const before = await nodes();
    await beat("k", { cluster: "kubernetes", capacity: { nodes: null, replicas: 3, cpu: null } });
    assert.equal(await nodes(), before);
    await db.pool.query("delete from private.controllers where worker = 'k'");
  });

  test("a table without row-level security degrades the database", async () => {
    await db.pool.query("create table public.bare (id int)");
    const { status, components } = await read();
    assert.equal(status, "DEGRADED");
    assert.deepEqual(
      [components.supabase.database.status, components.supabase.database.rls_active],
      ["DEGRADED", false],
    );
    await db.pool.query("drop table public.bare");
    assert.equal((await read()).status, "HEALTHY");
  });

  test("what nobody vouches for is UNKNOWN", async () => {
    await db.pool.query("delete from private.platform_parts");
    const { status, components } = await read();
    assert.equal(components.supabase.auth.status, "UNKNOWN");
    assert.equal(status, "HEALTHY");
    await parts();
  });
});

describe("GET /api/system/metrics", () => {
  test("adds up what each machine reports; one Kubernetes cluster counts once", async () => {
    await beat("one");
    await beat("two");
    const fleet = async () =>
      systemMetrics.parse((await rpc(db, user(alice), "get_system_metrics")).body).resources;
    const { rows } = await db.pool.query(
      "select count(*)::int as n from private.controllers where heartbeat_at > now() - interval '8 s'",
    );
    assert.deepEqual((await fleet()).cpu, { total: 4 * rows[0].n, used: rows[0].n, percentage: 25 });
    await db.pool.query("delete from private.controllers");
    await beat("one", { cluster: "kubernetes" });
    await beat("two", { cluster: "kubernetes" });
    assert.deepEqual((await fleet()).memory, { total: 4, used: 1, percentage: 25 });
    await db.pool.query("delete from private.controllers");
    assert.deepEqual((await fleet()).storage, { total: null, used: null, percentage: null });
    await beat();
  });

  test("counts agents and how their deployments ended", async () => {
    const { body: before } = await rpc(db, user(alice), "get_system_metrics");
    const { body: made } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "f" } });
    await settle(db, made.agentId, ["DEPLOYING", "FAILED"]);
    const { system } = systemMetrics.parse((await rpc(db, user(alice), "get_system_metrics")).body);
    assert.equal(system.totalAgents, before.system.totalAgents + 1);
    assert.equal(system.failedAgents, before.system.failedAgents + 1);
    assert.equal(system.deployments.failed, before.system.deployments.failed + 1);
    const { successful, failed, successRate } = system.deployments;
    assert.equal(successRate, Math.round((1000 * successful) / (successful + failed)) / 10);
  });

  test("takes monitoring:read", async () => {
    const bob = await createUser(db);
    await db.pool.query("delete from public.user_permissions where user_id = $1", [bob]);
    assert.equal((await rpc(db, user(bob), "get_system_metrics")).body.code, "INSUFFICIENT_PERMISSIONS");
    assert.equal((await rpc(db, user(bob), "get_health")).status, 200);
  });
});

describe("rpc/health_check and rpc/check_rls_policies", () => {
  /** As PostgREST runs a GET: read only. */
  const get = (name: string, caller = user(alice)) =>
    db.as(caller, async (client) => {
      await client.query("set transaction read only");
      const { rows } = await client.query(
        `select public.${name}() as body, current_setting('request.jwt.claims') as claims`,
      );
      return rows[0];
    });

  test("health_check answers a read-only request, of the caller's own", async () => {
    const { body } = await get("health_check");
    assert.deepEqual(body, {
      supabase_health: {
        database: "HEALTHY",
        auth: "HEALTHY",
        realtime: "HEALTHY",
        storage: "HEALTHY",
        edge_functions: "HEALTHY",
      },
      user_specific: { rls_policies: "ACTIVE", user_data_accessible: true, real_time_subscriptions: 1 },
    });
    const bob = await createUser(db);
    assert.equal((await get("health_check", user(bob))).body.user_specific.real_time_subscriptions, 0);
  });

  test("check_rls_policies counts every table from the catalogue, and leaves the claims as they were", async () => {
    const { body, claims } = await get("check_rls_policies");
    const { rows } = await db.pool.query(
      `select c.relname, c.relrowsecurity as rls_enabled, (select count(*)::int from pg_policy p where p.polrelid = c.oid) as policies_count
       from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')`,
    );
    assert.deepEqual(body.tables, Object.fromEntries(rows.map(({ relname, ...facts }) => [relname, facts])));
    assert.equal(body.user_isolation, "ACTIVE");
    assert.equal(body.compliance_status, "GDPR_COMPLIANT");
    assert.deepEqual(body.probe.leaking, []);
    assert.ok(body.probe.tables >= 12);
    assert.equal(JSON.parse(claims).sub, alice);
  });

  test("the probe sees what a policy lets out, though every table has row-level security on", async () => {
    await db.pool.query(`create policy "leak" on public.profiles for select to authenticated using (true)`);
    const { body } = await get("check_rls_policies");
    assert.deepEqual(body.probe.leaking, ["profiles"]);
    assert.equal(body.user_isolation, "COMPROMISED");
    assert.equal(body.compliance_status, "NON_COMPLIANT");
    await db.pool.query(`drop policy "leak" on public.profiles`);
  });

  test("a table without row-level security, or no retention, is said", async () => {
    await db.pool.query("create table public.bare (id int)");
    assert.equal((await get("check_rls_policies")).body.user_isolation, "COMPROMISED");
    await db.pool.query("drop table public.bare");
    await db.pool.query("select cron.unschedule('launchpad-retention')");
    const { body } = await get("check_rls_policies");
    assert.deepEqual([body.user_isolation, body.compliance_status], ["ACTIVE", "NON_COMPLIANT"]);
    await db.pool.query(
      "select cron.schedule('launchpad-retention', '*/10 * * * *', 'select private.delete_expired()')",
    );
  });

  test("strangers are refused", async () => {
    for (const name of ["health_check", "check_rls_policies"]) {
      await assert.rejects(get(name, anon), { code: "42501" });
    }
    const gone = { role: "authenticated" as const, user: "8c9e6679-7425-40de-944b-e07fc1f90ae7" };
    await assert.rejects(get("health_check", gone), /INVALID_JWT_TOKEN/);
  });
});
