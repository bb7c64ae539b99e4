// "Agent Management" of the Launchpad specification, request by request, on the whole stack with real agents.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, forgedToken, lastSeq, launched, reached } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let owner: TestUser;
let other: TestUser;
let agentId: string;

const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [owner, other] = await Promise.all([stack.createUser(), stack.createUser()]);
});
afterAll(async () => {
  await api(stack, owner, "POST", "/agents/stop-all");
  await stack.stop();
});

const call = (method: string, path: string, body?: unknown, caller: TestUser | string | undefined = owner) =>
  api(stack, caller, method, path, body);

describe("Create Agent", () => {
  test("POST /api/agents with the specification's body; its plugins are installed and it runs", async () => {
    const { status, body } = await call("POST", "/agents", {
      agentName: "my-trading-bot",
      description: "AI trading assistant",
      character: {
        name: "TradingBot",
        bio: "Expert cryptocurrency trader with real-time market analysis",
        personality: "Professional, analytical, and helpful",
        system: "You are a professional cryptocurrency trading assistant.",
        adjectives: ["analytical", "precise", "risk-aware"],
        topics: ["cryptocurrency", "trading", "technical analysis"],
      },
      plugins: ["@elizaos/plugin-discord", "@elizaos/plugin-web3", "@elizaos/plugin-supabase"],
      platforms: ["discord"],
      resources: { memory: "1Gi", cpu: "500m", replicas: 1 },
      environment: { DISCORD_TOKEN: "your-discord-bot-token", COINGECKO_API_KEY: "your-api-key" },
      supabase_config: {
        project_ref: "your-project-ref",
        database_url: "postgresql://postgres:[password]@db.your-project.supabase.co:5432/postgres",
        real_time: { enabled: true, channels: ["agent_status", "user_interactions", "performance_metrics"] },
      },
    });
    assert.equal(status, 201);
    assert.match(body.agentId, /^agent-[a-z2-7]{12}$/);
    assert.equal(body.status, "QUEUED");
    assert.equal(body.user_id, owner.id);
    assert.match(body.createdAt, instant);
    assert.equal(typeof body.estimatedDeployTime, "string");
    assert.deepEqual(body.supabase_integration, {
      tables_created: true,
      rls_policies_applied: true,
      real_time_enabled: true,
    });
    await reached(stack, body.agentId, "DEPLOYED");
    const { body: deployed } = await call("GET", `/agents/${body.agentId}/status`);
    assert.equal(deployed.status, "DEPLOYED");
    const [row] = await stack.sql<{ resolved: { engine: string; plugins: { name: string }[] } }>(
      "select resolved_plugins as resolved from public.agent_revisions where agent_id = $1",
      [body.agentId],
    );
    assert.match(row?.resolved.engine ?? "", /^elizaos@1\./);
    assert.deepEqual(
      row?.resolved.plugins.map(({ name }) => name),
      ["@elizaos/plugin-discord"],
    );
    const stored = JSON.stringify(
      await stack.sql("select * from public.agents where id = $1", [body.agentId]),
    );
    for (const secret of ["your-discord-bot-token", "your-api-key", "[password]"])
      assert.ok(!stored.includes(secret));
  });

  test("an agent without plugins becomes DEPLOYED and answers at its own URL", async () => {
    agentId = await launched(stack, owner, { agentName: "answering", platforms: ["discord"] });
    const health = await stack.agentFetch(agentId, "/health");
    assert.equal(health.status, 200, health.body);
    const message = await stack.agentFetch(agentId, "/message", {
      method: "POST",
      token: owner.token,
      body: JSON.stringify({ text: "hello" }),
    });
    assert.equal(message.status, 503);
    assert.equal(JSON.parse(message.body).error.code, "MODEL_UNCONFIGURED");
  });
});

describe("Get Agent Status", () => {
  test("GET /api/agents/{agentId}/status", async () => {
    const { status, body } = await call("GET", `/agents/${agentId}/status`);
    assert.equal(status, 200);
    assert.equal(body.agentId, agentId);
    assert.equal(body.name, "answering");
    assert.equal(body.status, "DEPLOYED");
    assert.equal(body.user_id, owner.id);
    assert.ok(body.url.includes(`${agentId}.agents.`));
    assert.equal(body.visibility, "private");
    assert.deepEqual(body.addresses, { host: body.url, path: `${stack.info.apiUrl}/agents/${agentId}` });
    assert.equal(body.health.overall, "HEALTHY");
    assert.equal(body.health.kubernetes.status, "HEALTHY");
    assert.equal(body.health.kubernetes.replicas, 1);
    assert.equal(body.health.kubernetes.readyReplicas, 1);
    assert.equal(body.health.application.status, "HEALTHY");
    assert.match(body.health.application.uptime, /^\d+[smhd]/);
    assert.match(body.health.application.responseTime, /^\d+ms$/);
    assert.deepEqual(body.health.supabase, {
      connection: "HEALTHY",
      real_time_active: true,
      rls_policies: "ACTIVE",
    });
    assert.deepEqual(body.supabase_config.tables, {
      conversations: "agent_conversations",
      metrics: "agent_metrics",
      logs: "agent_logs",
    });
    assert.match(body.deployedAt, instant);
    assert.match(body.lastUpdated, instant);
  });
});

describe("List Agents", () => {
  test("GET /api/agents", async () => {
    const { status, body } = await call("GET", "/agents");
    assert.equal(status, 200);
    assert.equal(body.limit, 20);
    assert.equal(body.offset, 0);
    assert.equal(body.total, 2);
    assert.equal(body.user_id, owner.id);
    const agent = body.agents.find((a: { agentId: string }) => a.agentId === agentId);
    assert.equal(agent.name, "answering");
    assert.equal(agent.status, "DEPLOYED");
    assert.deepEqual(agent.platforms, ["discord"]);
    assert.equal(agent.supabase_integration, true);
    assert.match(agent.createdAt, instant);
    assert.ok(agent.url);
  });

  test("limit, offset, status and platform", async () => {
    assert.equal((await call("GET", "/agents?limit=1")).body.agents.length, 1);
    assert.equal((await call("GET", "/agents?limit=1&offset=5")).body.agents.length, 0);
    assert.equal((await call("GET", "/agents?status=DEPLOYED")).body.total, 2);
    assert.equal((await call("GET", "/agents?status=failed")).body.total, 0);
    assert.equal((await call("GET", "/agents?platform=telegram")).body.total, 0);
    for (const [query, field] of [
      ["limit=0", "limit"],
      ["limit=x", "limit"],
      ["offset=-1", "offset"],
      ["status=lost", "status"],
      ["colour=red", "colour"],
    ] as const) {
      const { status, body } = await call("GET", `/agents?${query}`);
      assert.equal(status, 400, query);
      assert.ok(body.error.details[field], `${query} names ${field}`);
    }
  });

  test("users see their own agents only", async () => {
    const { body } = await call("GET", "/agents", undefined, other);
    assert.equal(body.total, 0);
  });
});

describe("Direct Supabase Query", () => {
  test("GET /rest/v1/agents", async () => {
    const { data, error } = await owner.client.from("agents").select("*").eq("id", agentId).single();
    assert.equal(error, null);
    assert.equal(data.name, "answering");
    assert.equal(data.status, "deployed");
    assert.equal(data.user_id, owner.id);
    assert.ok("character" in data && "plugins" in data && "created_at" in data && "updated_at" in data);
    const { data: theirs } = await other.client.from("agents").select("*");
    assert.deepEqual(theirs, []);
    const { error: refused } = await stack.client().from("agents").select("*");
    assert.ok(refused, "an anonymous caller reads no agents");
  });
});

describe("Scale Agent", () => {
  test("POST /api/agents/{agentId}/scale, up and down, with its event in the log", async () => {
    const seq = await lastSeq(stack, agentId);
    const { status, body } = await call("POST", `/agents/${agentId}/scale`, {
      replicas: 3,
      scaling_policy: { min_replicas: 1, max_replicas: 5, target_cpu: 70 },
    });
    assert.equal(status, 202);
    assert.equal(body.agentId, agentId);
    assert.equal(body.user_id, owner.id);
    assert.equal(body.status, "SCALING");
    assert.equal(body.targetReplicas, 3);
    assert.equal(typeof body.currentReplicas, "number");
    assert.equal(body.scaling_event_logged, true);
    assert.match(body.supabase_event_id, /^event-/);
    assert.match(body.updatedAt, instant);
    await reached(stack, agentId, "DEPLOYED", seq);
    const { body: up } = await call("GET", `/agents/${agentId}/status`);
    assert.deepEqual([up.health.kubernetes.replicas, up.health.kubernetes.readyReplicas], [3, 3]);

    const { data } = await owner.client
      .from("agent_events")
      .select("*")
      .eq("agent_id", agentId)
      .eq("event_type", "SCALING");
    assert.equal(data?.length, 1);
    assert.equal(data?.[0].id, body.supabase_event_id);

    const before = await lastSeq(stack, agentId);
    await call("POST", `/agents/${agentId}/scale`, { replicas: 1 });
    await reached(stack, agentId, "DEPLOYED", before);
    const { body: down } = await call("GET", `/agents/${agentId}/status`);
    assert.equal(down.health.kubernetes.replicas, 1);
  });

  test("each wrong field is named", async () => {
    for (const [body, field] of [
      [{}, "replicas"],
      [{ replicas: -1 }, "replicas"],
      [{ replicas: "3" }, "replicas"],
      [{ replicas: 2, scaling_policy: { min_replicas: 3, max_replicas: 5 } }, "replicas"],
      [{ replicas: 1, scaling_policy: { target_cpu: 500 } }, "scaling_policy.target_cpu"],
    ] as const) {
      const { status, body: answer } = await call("POST", `/agents/${agentId}/scale`, body);
      assert.equal(status, 400, JSON.stringify(body));
      assert.equal(answer.error.code, "VALIDATION_ERROR");
      assert.ok(answer.error.details[field], `${JSON.stringify(answer.error.details)} names ${field}`);
    }
  });
});

describe("Update Agent", () => {
  test("PUT /api/agents/{agentId} with the specification's body", async () => {
    const seq = await lastSeq(stack, agentId);
    const { status, body } = await call("PUT", `/agents/${agentId}`, {
      description: "Updated description",
      resources: { memory: "2Gi", cpu: "1000m" },
      supabase_config: {
        real_time: {
          enabled: true,
          channels: ["agent_status", "user_interactions", "performance_metrics", "error_logs"],
        },
        storage: { bucket: "agent-assets", public_access: false },
      },
    });
    assert.equal(status, 202);
    assert.equal(body.status, "UPDATING");
    assert.deepEqual(body.changes_applied, { resources: true, supabase_config: true });
    assert.match(body.supabase_event_id, /^event-/);
    assert.match(body.updatedAt, instant);
    await reached(stack, agentId, "DEPLOYED", seq);
    const { body: agent } = await call("GET", `/agents/${agentId}`);
    assert.equal(agent.description, "Updated description");
    assert.equal(agent.resources.memory, "2Gi");
    assert.equal(
      JSON.parse((await stack.agentFetch(agentId, "/health", { token: owner.token })).body).revision,
      agent.revision,
    );
  });
});

describe("Update Agent via Supabase", () => {
  test("PATCH /rest/v1/agents?id=eq.{agentId} redeploys like PUT", async () => {
    const seq = await lastSeq(stack, agentId);
    const { error } = await owner.client
      .from("agents")
      .update({
        status: "updated",
        resources: { memory: "256Mi", cpu: "100m" },
        updated_at: "2024-01-15T13:10:00Z",
      })
      .eq("id", agentId);
    assert.equal(error, null);
    await reached(stack, agentId, "UPDATING", seq);
    await reached(stack, agentId, "DEPLOYED", seq);
    const { data } = await other.client.from("agents").update({ name: "mine" }).eq("id", agentId).select();
    assert.deepEqual(data, []);
  });
});

describe("Restart Agent", () => {
  test("POST /api/agents/{agentId}/restart replaces the process, and the agent answers throughout", async () => {
    const replica = async () =>
      JSON.parse((await stack.agentFetch(agentId, "/health", { token: owner.token })).body)
        .uptimeSeconds as number;
    const seq = await lastSeq(stack, agentId);
    const before = performance.now();
    const { status, body } = await call("POST", `/agents/${agentId}/restart`);
    assert.equal(status, 202);
    assert.equal(body.status, "RESTARTING");
    assert.equal(body.message, "Agent restart initiated");
    assert.equal(body.supabase_event_logged, true);
    assert.equal(body.real_time_notification_sent, true);
    assert.match(body.timestamp, instant);
    let done = false;
    const waiting = reached(stack, agentId, "DEPLOYED", seq).then(() => {
      done = true;
    });
    let asked = 0;
    while (!done) {
      assert.equal((await stack.agentFetch(agentId, "/health")).status, 200);
      asked += 1;
    }
    await waiting;
    assert.ok(asked > 0);
    const uptime = await replica();
    assert.ok(uptime * 1000 < performance.now() - before, "it started after the restart was asked for");
  });
});

describe("Stop, start, deploy, revisions, rollback", () => {
  test("stop ends every replica; start brings the agent back", async () => {
    let seq = await lastSeq(stack, agentId);
    assert.equal((await call("POST", `/agents/${agentId}/stop`)).body.status, "STOPPING");
    await reached(stack, agentId, "STOPPED", seq);
    assert.ok([404, 503].includes((await stack.agentFetch(agentId, "/health")).status));
    seq = await lastSeq(stack, agentId);
    assert.equal((await call("POST", `/agents/${agentId}/start`)).body.status, "DEPLOYING");
    await reached(stack, agentId, "DEPLOYED", seq);
    assert.equal((await stack.agentFetch(agentId, "/health")).status, 200);
  });

  test("rollback runs the first revision again", async () => {
    const { body: list } = await call("GET", `/agents/${agentId}/revisions`);
    assert.ok(list.total >= 3);
    const seq = await lastSeq(stack, agentId);
    const { status, body } = await call("POST", `/agents/${agentId}/rollback`, { revision: 1 });
    assert.equal(status, 202);
    assert.equal(body.rolledBackTo, 1);
    await reached(stack, agentId, "DEPLOYED", seq);
  });

  test("a definition made by a plain INSERT is deployed by POST /api/agents/{id}/deploy", async () => {
    const { data, error } = await owner.client
      .from("agents")
      .insert({ name: "Defined", framework: "openai" })
      .select()
      .single();
    assert.equal(error, null);
    assert.equal(data.status, "idle");
    const { status, body } = await call("POST", `/agents/${data.id}/deploy`);
    assert.equal(status, 202, JSON.stringify(body));
    await reached(stack, data.id, "DEPLOYED");
    assert.equal((await stack.agentFetch(data.id, "/health")).status, 200);
    const { error: gone } = await owner.client.from("agents").delete().eq("id", data.id);
    assert.equal(gone, null);
    await reached(stack, data.id, "DELETED");
    assert.equal((await stack.agentFetch(data.id, "/health")).status, 404);
  });
});

describe("Get Agent Metrics and Get Agent Logs", () => {
  test("GET /api/agents/{agentId}/logs has the runtime's own lines", async () => {
    const { status, body } = await call("GET", `/agents/${agentId}/logs?lines=5`);
    assert.equal(status, 200);
    assert.equal(body.agentId, agentId);
    assert.ok(body.logs.length > 0 && body.logs.length <= 5);
    for (const line of body.logs) {
      assert.match(line.id, /^log-\d+$/);
      assert.match(line.timestamp, instant);
      assert.match(line.level, /^(DEBUG|INFO|WARN|ERROR)$/);
      assert.ok(line.metadata.pod.startsWith(agentId));
    }
    assert.equal(body.truncated, body.totalLines > body.logs.length);
    assert.equal(body.real_time_available, true);
    for (const [query, field] of [
      ["lines=0", "lines"],
      ["since=yesterday", "since"],
      ["level=LOUD", "level"],
    ] as const) {
      const wrong = await call("GET", `/agents/${agentId}/logs?${query}`);
      assert.equal(wrong.status, 400);
      assert.ok(wrong.body.error.details[field]);
    }
  });

  test("GET /api/agents/{agentId}/metrics has what the process really uses", async () => {
    const deadline = Date.now() + 60_000;
    let answer = await call("GET", `/agents/${agentId}/metrics`);
    while (!answer.body.metrics?.memory?.usage && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      answer = await call("GET", `/agents/${agentId}/metrics`);
    }
    const { metrics } = answer.body;
    assert.ok(metrics.memory.usage > 20_000_000, JSON.stringify(metrics));
    assert.ok(metrics.memory.percentage > 0);
    assert.equal(typeof metrics.cpu.usage, "number");
    assert.ok(metrics.supabase.database_connections > 0);
  });
});

describe("Delete Agent", () => {
  test("DELETE /api/agents/{agentId}", async () => {
    const { status, body } = await call("DELETE", `/agents/${agentId}`);
    assert.equal(status, 202);
    assert.equal(body.status, "DELETING");
    assert.equal(body.message, "Agent deletion initiated");
    assert.deepEqual(body.supabase_cleanup, {
      data_retention_policy: "30_days",
      personal_data_removal: "immediate",
      audit_log_preserved: true,
    });
    assert.match(body.timestamp, instant);
    await reached(stack, agentId, "DELETED");
    assert.equal((await call("GET", `/agents/${agentId}/status`)).body.error.code, "AGENT_NOT_FOUND");
    assert.equal((await stack.agentFetch(agentId, "/health")).status, 404);
    const { data } = await owner.client
      .from("agent_events")
      .select("seq")
      .eq("agent_id", agentId)
      .order("seq");
    assert.deepEqual(
      data?.map((e) => e.seq),
      data?.map((_, i) => i + 1),
    );
  });
});

describe("Error Response Format", () => {
  test("another user's agent is AGENT_NOT_FOUND in the documented envelope", async () => {
    const mine = await launched(stack, owner);
    for (const [method, path, body] of [
      ["GET", "", undefined],
      ["GET", "/status", undefined],
      ["GET", "/logs", undefined],
      ["GET", "/metrics", undefined],
      ["GET", "/revisions", undefined],
      ["PUT", "", { description: "x" }],
      ["POST", "/scale", { replicas: 1 }],
      ["POST", "/restart", undefined],
      ["POST", "/stop", undefined],
      ["POST", "/rollback", { revision: 1 }],
      ["DELETE", "", undefined],
    ] as const) {
      const answer = await call(method, `/agents/${mine}${path}`, body, other);
      assert.equal(answer.status, 404, `${method} ${path}`);
      const { error } = answer.body;
      assert.equal(error.code, "AGENT_NOT_FOUND");
      assert.equal(error.message, `Agent with ID '${mine}' not found or access denied`);
      assert.match(error.timestamp, instant);
      assert.equal(error.requestId, answer.headers.get("x-request-id"));
      assert.equal(error.user_id, other.id);
      assert.deepEqual(error.supabase_details, { rls_applied: true, user_isolation: "active" });
    }
  });

  test("forged, broken and missing tokens are INVALID_JWT_TOKEN", async () => {
    for (const token of [forgedToken(owner), "not-a-token", undefined]) {
      for (const [method, path] of [
        ["GET", "/agents"],
        ["POST", "/agents"],
        ["DELETE", "/agents/agent-x"],
      ] as const) {
        const { status, body } = await api(
          stack,
          token,
          method,
          path,
          method === "POST" ? { agentName: "x" } : undefined,
        );
        assert.equal(status, 401, `${method} ${path} with ${token?.slice(-8)}`);
        assert.equal(body.error.code, "INVALID_JWT_TOKEN");
      }
    }
  });

  test("an unknown path, method, type and size are told in JSON", async () => {
    assert.deepEqual((await call("GET", "/nowhere")).body.error.code, "NOT_FOUND");
    const wrongMethod = await call("PATCH", "/agents");
    assert.equal(wrongMethod.status, 405);
    assert.match(wrongMethod.headers.get("allow") ?? "", /GET.*POST|POST.*GET/);
    const large = await call("POST", "/agents", { agentName: "x", description: "x".repeat(1_100_000) });
    assert.equal(large.status, 413);
    const broken = await call("POST", "/agents", '{"agentName": ');
    assert.equal(broken.body.error.code, "VALIDATION_ERROR");
  });
});

describe("Idempotency-Key", () => {
  test("ten equal requests at once make one agent", async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        api(stack, owner, "POST", "/agents", { agentName: "once" }, { "idempotency-key": "ten-at-once" }),
      ),
    );
    assert.deepEqual(new Set(answers.map((a) => a.status)), new Set([201]));
    assert.equal(new Set(answers.map((a) => a.body.agentId)).size, 1);
  });
});

describe("The kill switch", () => {
  test("POST /api/agents/stop-all stops every agent of this user", async () => {
    const theirs = await launched(stack, other);
    const { status, body } = await call("POST", "/agents/stop-all");
    assert.equal(status, 202);
    assert.ok(body.stopped >= 2);
    for (const id of body.agents) await reached(stack, id, "STOPPED");
    assert.equal((await call("GET", `/agents/${theirs}/status`, undefined, other)).body.status, "DEPLOYED");
    await call("DELETE", `/agents/${theirs}`, undefined, other);
  });
});

describe("the complete example of the specification", () => {
  test("its second request, with Discord in 512Mi, becomes DEPLOYED too", async () => {
    const { status, body } = await call("POST", "/agents", {
      agentName: "discord-bot",
      description: "Community Discord bot",
      character: {
        name: "DiscordBot",
        bio: "Helpful community moderator",
        personality: "helpful, friendly, professional",
      },
      plugins: ["@elizaos/plugin-discord", "@elizaos/plugin-supabase"],
      platforms: ["discord"],
      resources: { memory: "512Mi", cpu: "250m" },
      environment: { DISCORD_TOKEN: "your-discord-token" },
      supabase_config: {
        project_ref: "your-project-ref",
        real_time: { enabled: true, channels: ["agent_status", "discord_events"] },
      },
    });
    assert.equal(status, 201);
    assert.ok(body.warnings.some(({ field }: { field: string }) => field === "resources.memory"));
    await reached(stack, body.agentId, "DEPLOYED");
  });
});
