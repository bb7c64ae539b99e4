// "Health & Status" of the Launchpad specification, and "Row-Level Security (RLS) Status", request by request.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { health, systemMetrics, VERSION } from "../../supabase/functions/_shared/contract/index.ts";
import { api, forgedToken, launched } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let owner: TestUser;
let agentId: string;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  owner = await stack.createUser();
  agentId = await launched(stack, owner);
});
afterAll(async () => {
  await api(stack, owner, "DELETE", `/agents/${agentId}`);
  await stack.stop();
});

const get = (path: string, caller: TestUser | string | undefined = owner) => api(stack, caller, "GET", path);
// biome-ignore lint/suspicious/noExplicitAny: bodies are judged field by field
const rpc = async (name: string, token = owner.token): Promise<{ status: number; body: any }> => {
  const answer = await stack.fetch(`/rest/v1/rpc/${name}`, { token });
  return { status: answer.status, body: await answer.json() };
};

/** Asks until the answer is as wanted; a part that has just started announces itself within two seconds. */
async function eventually<T>(ask: () => Promise<T>, wanted: (answer: T) => boolean): Promise<T> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const answer = await ask();
    if (wanted(answer) || Date.now() > deadline) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

describe("System Health", () => {
  test("GET /api/health", async () => {
    const { status, body } = await eventually(
      () => get("/health"),
      (answer) => answer.body.status === "HEALTHY" && answer.body.components.kubernetes.pods >= 1,
    );
    assert.equal(status, 200);
    const { components, ...rest } = health.parse(body);
    assert.equal(rest.status, "HEALTHY", JSON.stringify(body));
    assert.equal(rest.version, VERSION);
    assert.equal(rest.user_id, owner.id);
    assert.deepEqual(rest.user_permissions, ["agents:read", "agents:write", "monitoring:read"]);
    const { supabase, kubernetes } = components;
    for (const part of ["database", "auth", "realtime", "storage", "edge_functions"] as const) {
      assert.equal(supabase[part].status, "HEALTHY", part);
    }
    assert.equal(supabase.database.rls_active, true);
    assert.ok(supabase.database.connections > 1);
    assert.ok(supabase.auth.active_sessions >= 1 && supabase.auth.jwt_valid);
    assert.equal(kubernetes.status, "HEALTHY");
    assert.ok(kubernetes.nodes >= 1 && kubernetes.pods >= 1);
    assert.equal(kubernetes.user_agents, 1);
  });

  test("wants a genuine user", async () => {
    for (const path of ["/health", "/system/metrics"]) {
      assert.equal((await get(path, forgedToken(owner))).body.error.code, "INVALID_JWT_TOKEN");
      const answer = await stack.fetch(`/api${path}`);
      assert.equal(answer.status, 401);
    }
  });
});

describe("Supabase-specific Health Check", () => {
  test("GET /rest/v1/rpc/health_check", async () => {
    const { status, body } = await rpc("health_check");
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual(Object.keys(body).sort(), ["supabase_health", "user_specific"]);
    assert.deepEqual(body.supabase_health, {
      database: "HEALTHY",
      auth: "HEALTHY",
      realtime: "HEALTHY",
      storage: "HEALTHY",
      edge_functions: "HEALTHY",
    });
    assert.deepEqual(body.user_specific, {
      rls_policies: "ACTIVE",
      user_data_accessible: true,
      real_time_subscriptions: 0,
    });
  });

  test("counts the caller's live subscriptions, and health all of them", async () => {
    const channel = owner.client
      .channel("mine")
      .on("postgres_changes", { event: "*", schema: "public", table: "agent_logs" }, () => {});
    await new Promise<void>((resolve, reject) => {
      channel.subscribe((state, error) => {
        if (state === "SUBSCRIBED") resolve();
        else if (state !== "CLOSED") reject(error ?? new Error(state));
      });
    });
    const mine = () => rpc("health_check");
    const counted = await eventually(mine, ({ body }) => body.user_specific.real_time_subscriptions === 1);
    assert.equal(counted.body.user_specific.real_time_subscriptions, 1);
    // The stack tells of its sockets every two seconds.
    const seen = async () => (await get("/health")).body.components.supabase.realtime;
    const realtime = await eventually(seen, (part) => part.active_connections >= 1);
    await owner.client.removeAllChannels();
    assert.ok(realtime.subscriptions >= 1 && realtime.active_connections >= 1, JSON.stringify(realtime));
    const gone = await eventually(mine, ({ body }) => body.user_specific.real_time_subscriptions === 0);
    assert.equal(gone.body.user_specific.real_time_subscriptions, 0);
  });
});

describe("Row-Level Security (RLS) Status", () => {
  test("GET /rest/v1/rpc/check_rls_policies", async () => {
    const { status, body } = await rpc("check_rls_policies");
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body.user_isolation, "ACTIVE");
    assert.equal(body.compliance_status, "GDPR_COMPLIANT");
    const tables = body.tables as Record<string, { rls_enabled: boolean; policies_count: number }>;
    for (const name of ["agents", "agent_metrics", "agent_logs", "agent_secrets"]) {
      assert.equal(tables[name]?.rls_enabled, true, name);
      assert.ok((tables[name]?.policies_count ?? 0) >= 1, name);
    }
    assert.ok(Object.values(tables).every((table) => table.rls_enabled));
  });

  test("neither RPC is for anyone without a user", async () => {
    for (const name of ["health_check", "check_rls_policies"]) {
      assert.equal((await stack.fetch(`/rest/v1/rpc/${name}`)).status, 401);
      assert.equal((await rpc(name, forgedToken(owner))).status, 401);
    }
  });
});

describe("System Metrics", () => {
  test("GET /api/system/metrics", async () => {
    const { status, body } = await eventually(
      () => get("/system/metrics"),
      (answer) => answer.body.resources?.cpu.total !== null,
    );
    assert.equal(status, 200);
    const { system, resources } = systemMetrics.parse(body);
    assert.ok(system.totalAgents >= 1 && system.runningAgents >= 1);
    assert.ok(system.deployments.successful >= 1);
    for (const [kind, { total, used, percentage }] of Object.entries(resources)) {
      assert.ok(total !== null && used !== null && total > 0 && used >= 0 && used <= total, kind);
      assert.ok(percentage !== null && Math.abs(percentage - (100 * used) / total) <= 0.1, kind);
    }
  });
});
