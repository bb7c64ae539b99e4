// "Monitoring & Real-time Metrics" of the Launchpad specification over HTTP: metrics, logs, and the direct queries.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { agentLogs, agentMetrics } from "../../supabase/functions/_shared/contract/index.ts";
import { api, launched } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let owner: TestUser;
let other: TestUser;
let agentId: string;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [owner, other] = await Promise.all([stack.createUser(), stack.createUser()]);
  agentId = await launched(stack, owner);
  // A second of life by which everything later can be told apart, and the controller's own samples.
  await until(async () => {
    const found = await stack.sql("select from public.agent_metrics where agent_id = $1", [agentId]);
    const said = await stack.sql("select from public.agent_logs where agent_id = $1", [agentId]);
    return found.length > 0 && said.length > 0;
  });
});
afterAll(async () => {
  await api(stack, owner, "DELETE", `/agents/${agentId}`);
  await stack.stop();
});

async function until(done: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await done())) {
    assert.ok(Date.now() < deadline, "it did not come to pass");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const get = (path: string, caller = owner) => api(stack, caller, "GET", `/agents/${agentId}${path}`);
const rest = async (query: string, user = owner) => {
  const answer = await stack.fetch(`/rest/v1/${query}`, { token: user.token });
  return (await answer.json()) as Record<string, unknown>[];
};

describe("Get Agent Metrics", () => {
  test("GET /api/agents/{agentId}/metrics: every group, measured", async () => {
    const { status, body } = await get("/metrics");
    assert.equal(status, 200);
    const { metrics, replicas } = agentMetrics.parse(body);
    assert.equal(replicas, 1);
    assert.equal(metrics.cpu.limit, 0.1);
    assert.equal(metrics.memory.limit, 256 * 1024 * 1024);
    assert.ok(metrics.memory.usage === null || metrics.memory.usage > 0);
    const { supabase } = metrics;
    assert.ok((supabase.database_connections ?? 0) > 1);
    assert.equal(supabase.real_time_subscriptions, 0);
    assert.ok((supabase.auth_requests_per_hour ?? 0) >= 1, "the sign-up");
    assert.ok((supabase.rls_queries_per_minute ?? 0) >= 1, "this request");
  });

  test("with a range: what was, once it is rolled up", async () => {
    await stack.sql("select private.roll_up_metrics()");
    const { body } = await get("/metrics?range=1h");
    const { history } = agentMetrics.parse(body);
    assert.equal(history?.resolution, "minute");
    assert.ok((history?.points.length ?? 0) >= 1);
    assert.equal((await get("/metrics?range=7d")).body.history.resolution, "hour");
    for (const [query, field] of [
      ["range=soon", "range"],
      ["resolution=day", "resolution"],
      ["resolution=minute&range=3d", "resolution"],
      ["window=1h", "window"],
    ]) {
      const refused = await get(`/metrics?${query}`);
      assert.deepEqual([refused.status, Object.keys(refused.body.error.details)], [400, [field]], query);
    }
  });

  test("another user's agent is not there", async () => {
    for (const path of ["/metrics", "/logs", "/logs?text=x"]) {
      assert.equal((await get(path, other)).body.error.code, "AGENT_NOT_FOUND");
    }
  });
});

describe("Query Metrics from Supabase", () => {
  test("GET /rest/v1/agent_metrics, newest first; the rollups too", async () => {
    const query = `agent_metrics?agent_id=eq.${agentId}&order=timestamp.desc&limit=50`;
    assert.ok((await rest(query)).length >= 1);
    assert.deepEqual(await rest(query, other), []);
    const minutes = `agent_metrics_minute?agent_id=eq.${agentId}&order=timestamp.desc`;
    assert.ok((await rest(minutes)).length >= 1);
    assert.deepEqual(await rest(minutes, other), []);
  });
});

describe("Get Agent Logs", () => {
  test("GET /api/agents/{agentId}/logs with lines, since, level and text", async () => {
    const { status, body } = await get("/logs?lines=100&since=1h&level=INFO");
    assert.equal(status, 200);
    const { logs, totalLines, real_time_available } = agentLogs.parse(body);
    assert.ok(logs.length >= 1 && totalLines >= logs.length);
    assert.equal(real_time_available, true);
    assert.ok(logs.every((line) => line.level === "INFO" && typeof line.metadata.pod === "string"));
    const found = agentLogs.parse((await get("/logs?text=LISTENING")).body);
    assert.ok(found.logs.length >= 1 && found.logs.every((line) => /listening/i.test(line.message)));
    assert.equal(found.search?.complete, true);
    assert.deepEqual((await get("/logs?text=there-is-no-such-line")).body.logs, []);
    for (const [query, field] of [
      ["lines=0", "lines"],
      ["lines=x", "lines"],
      ["since=yesterday", "since"],
      ["level=LOUD", "level"],
      ["text=", "text"],
      ["grep=x", "grep"],
    ]) {
      const refused = await get(`/logs?${query}`);
      assert.deepEqual([refused.status, Object.keys(refused.body.error.details)], [400, [field]], query);
    }
  });
});

describe("Query Logs from Supabase", () => {
  test("GET /rest/v1/agent_logs, newest first, one's own alone", async () => {
    const query = `agent_logs?agent_id=eq.${agentId}&order=timestamp.desc&limit=100`;
    const lines = await rest(query);
    assert.ok(lines.length >= 1 && lines.every((line) => line.user_id === owner.id));
    assert.deepEqual(await rest(query, other), []);
  });
});
