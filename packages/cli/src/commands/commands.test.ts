import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type {
  AgentMetrics,
  AgentStatusReport,
  AgentSummary,
  AnswerStep,
  Message,
  Revision,
  SecurityEvent,
  SecurityScan,
} from "@agent-launchpad/sdk";
import { describe, test } from "vitest";
import { CliError } from "../errors.ts";
import { plain } from "../output/style.ts";
import { errorJson, errorText } from "../run.ts";
import { sessionOfToken } from "../session.ts";
import { budgetTable, microsOf } from "./budgets.ts";
import { answerText, hearBegun } from "./chat.ts";
import { merged } from "./create.ts";
import { unwritten } from "./export.ts";
import { listText } from "./fleet-list.ts";
import { expiry } from "./keys-create.ts";
import { keyTable } from "./keys-list.ts";
import { agentTable } from "./list.ts";
import { verification } from "./login.ts";
import { logLine } from "./logs.ts";
import { metricsText } from "./metrics.ts";
import { revisionTable } from "./revisions.ts";
import { scalingPolicy } from "./scale.ts";
import { scanText } from "./scan.ts";
import { eventLine } from "./security-events.ts";
import { statusText } from "./status.ts";
import { traceTable } from "./trace.ts";
import { usageTable } from "./usage.ts";

const look = { paint: plain };

describe("status", () => {
  const report = {
    agentId: "agent-x",
    name: "my-bot",
    status: "FAILED",
    activity: "idle",
    user_id: "u",
    visibility: "private",
    url: null,
    addresses: { host: null, path: null },
    reason: "PLUGIN_NOT_FOUND",
    message: "The plugin x is not installed.",
    conditions: [
      { type: "Available", status: "False", reason: "NO_REPLICA_READY", message: "0 of 2 ready" },
      {
        type: "ReplicaFailure",
        status: "True",
        reason: "PLUGIN_NOT_FOUND",
        message: "The plugin x is not installed.",
      },
      { type: "Progressing", status: "True", reason: "ROLLING_OUT", message: "On their way" },
    ],
    platforms: [],
    sleep: { since: null, reason: null, wakes24h: 0, lastWakeMs: null },
    generation: 3,
    observedGeneration: 2,
    revision: 2,
    health: {
      overall: "UNHEALTHY",
      kubernetes: { status: "UNHEALTHY", replicas: 1, readyReplicas: 0, targetReplicas: 2 },
      application: { status: "UNKNOWN", uptime: null, responseTime: null },
      supabase: { connection: "HEALTHY", real_time_active: true, rls_policies: "ACTIVE" },
    },
    supabase_config: { project_ref: null, tables: { conversations: "c", metrics: "m", logs: "l" } },
    deployedAt: null,
    lastUpdated: "2026-01-01T00:00:00Z",
  } satisfies AgentStatusReport;

  test("platforms are shown with the account or why they are not connected, said once", () => {
    const platform = { name: "discord", plugin: "@elizaos/plugin-discord", since: null };
    const refused = "An invalid token was provided.";
    const condition = {
      type: "PluginReady:@elizaos/plugin-discord",
      status: "False",
      message: refused,
    } as const;
    const text = (status: "CONNECTED" | "DISCONNECTED", message: string | null, conditions = [condition]) =>
      statusText(
        { ...report, conditions, platforms: [{ ...platform, status, message, account: "ada#0420" }] },
        look,
        0,
      );
    assert.match(text("CONNECTED", null), /Platform +discord connected as ada#0420\n/);
    const lost = text("DISCONNECTED", refused);
    assert.match(lost, /Platform +discord disconnected\n/);
    assert.equal(lost.match(/invalid token/g)?.length, 1);
    assert.match(text("DISCONNECTED", refused, []), /Platform +discord disconnected \(An invalid token/);
  });

  test("wakes are counted: one is a time, two are times", () => {
    const text = (wakes24h: number) =>
      statusText({ ...report, sleep: { ...report.sleep, wakes24h, lastWakeMs: 9 } }, look, 0);
    assert.match(text(1), /Sleep +woken 1 time in 24 h, last in 9 ms/);
    assert.match(text(2), /Sleep +woken 2 times in 24 h/);
  });

  test("tells the reason once, what is missing, and that the cluster is behind", () => {
    const text = statusText(report, look, Date.parse("2026-01-01T00:00:05Z"));
    assert.match(text, /Status +FAILED \(generation 3, the cluster is at 2\)/);
    assert.match(text, /Reason +PLUGIN_NOT_FOUND: The plugin x is not installed\.\n/);
    assert.equal(text.match(/not installed/g)?.length, 1);
    assert.match(text, /Available +0 of 2 ready/);
    assert.match(text, /Replicas +0 of 2 ready\n/);
    assert.match(text, /Updated +5s ago/);
    assert.doesNotMatch(text, /URL|Uptime|On their way/);
  });

  test("tells why the address leads nowhere", () => {
    const message = "The Gateway infra/public does not take the agent's address: no listener takes it.";
    const exposed = { type: "Exposed", status: "False" as const, reason: "NotAllowedByListeners", message };
    const text = statusText({ ...report, conditions: [exposed] }, look, Date.parse(report.lastUpdated));
    assert.match(text, /Exposed +The Gateway infra\/public does not take the agent's address: no listener/);
  });

  test("DEGRADED with every replica ready: where to look", () => {
    const health = {
      ...report.health,
      overall: "DEGRADED" as const,
      kubernetes: { status: "HEALTHY" as const, replicas: 2, readyReplicas: 2, targetReplicas: 2 },
      application: { status: "DEGRADED" as const, uptime: "1s", responseTime: "9ms" },
    };
    const degraded = { ...report, status: "DEPLOYED" as const, reason: null, message: null, health };
    const text = (conditions: AgentStatusReport["conditions"]) =>
      statusText({ ...degraded, conditions }, look, Date.parse(report.lastUpdated));
    assert.match(
      text([]),
      /Health +DEGRADED \(the last call of a model failed, .* `launchpad logs agent-x`\)/,
    );
    const refused = {
      type: "ModelReady",
      status: "False" as const,
      reason: "MODEL_REFUSED",
      message: "openai refused the key",
    };
    assert.match(text([refused]), /ModelReady +openai refused the key\nHealth +DEGRADED\n/);
  });

  test("a definition was never deployed", () => {
    const text = statusText(
      { ...report, status: "IDLE", generation: null, conditions: [], reason: null, message: null },
      look,
      0,
    );
    assert.match(text, /Replicas +never deployed/);
  });
});

test("metrics: figures of now beside what was; what nobody measured is a dash", () => {
  const point = (cpu: number | null) => ({
    timestamp: "2026-01-01T00:00:00Z",
    replicas: 1,
    samples: 1,
    cpu: { usage: cpu, max: cpu, limit: 1 },
    memory: { usage: null, max: null, limit: null },
    network: { bytesIn: 1, bytesOut: 0 },
    requests: { total: 1, success: 1, errors: 0 },
    responseTimeMs: null,
  });
  const report: AgentMetrics = {
    agentId: "agent-x",
    user_id: "u",
    replicas: 1,
    metrics: {
      cpu: { usage: 0.45, limit: 1, percentage: 45 },
      memory: { usage: null, limit: null, percentage: null },
      network: { bytesIn: 2048, bytesOut: 0 },
      requests: { total: 12, success: 10, errors: 2, rate: 0.1 },
      supabase: {
        database_connections: null,
        real_time_subscriptions: null,
        rls_queries_per_minute: null,
        auth_requests_per_hour: null,
      },
    },
    timestamp: "2026-01-01T00:00:00Z",
    history: { resolution: "minute", points: [point(0.1), point(null), point(0.8)] },
  };
  const lines = metricsText(report, "1h", look).split("\n");
  assert.match(lines[0] ?? "", /NOW +LAST 1H, ONE BAR PER MINUTE/);
  assert.match(lines[1] ?? "", /^CPU +450m +45 % of 1 +▂ █$/);
  assert.match(lines[2] ?? "", /^Memory +–$/);
  assert.match(lines[5] ?? "", /^Requests +12 +2 failed/);
  assert.match(metricsText({ ...report, replicas: 0 }, "1h", look), /^No replica has reported/);
});

test("a log line cannot rewrite the terminal; its further lines are indented", () => {
  const line = logLine(
    {
      id: "log-1",
      timestamp: "2026-01-01T00:00:00.5+00:00",
      level: "ERROR",
      message: "a\u001b[2J\nb",
      source: "x",
      metadata: { cause: "no such host", pod: "p" },
    },
    look,
  );
  assert.equal(line, "2026-01-01T00:00:00.500Z ERROR x a\n    b (no such host)\n");
});

test("a security event is one line", () => {
  const event = {
    timestamp: "2026-01-01T00:00:00Z",
    severity: "HIGH",
    event_type: "AUTH_FAILURE",
    message: "a\nb",
    ip_address: "::1",
  };
  assert.equal(
    eventLine(event as SecurityEvent, look),
    "2026-01-01T00:00:00Z HIGH     AUTH_FAILURE a b from ::1\n",
  );
});

test("chat: an answer is its text; a silent one is its reason on one line, in brackets", () => {
  assert.equal(answerText({ reply: "Hello\nthere", silence: null }, look), "Hello\nthere");
  const silence = "The agent chose\nnot to\u001b[31m answer.";
  const shown = answerText({ reply: "", silence }, look);
  assert.match(shown, /^\(The agent chose not to.* answer\.\)$/);
  assert.ok(!shown.includes("\u001b"));
});

test("list: addresses are shown where there is room, whole", () => {
  const agent = {
    agentId: "agent-x",
    name: "a",
    status: "DEPLOYED",
    user_id: "u",
    platforms: [],
    supabase_integration: true,
    createdAt: "2026-01-01T00:00:00Z",
    url: "https://agent-x.agents.example.com",
  } satisfies AgentSummary;
  for (const columns of [undefined, 200])
    assert.match(agentTable([agent], { ...look, columns }, 0), /agents\.example\.com\n/);
  assert.doesNotMatch(agentTable([agent], { ...look, columns: 80 }, 0), /URL|http/);
});

test("create: the command line adds a name and secrets, and leaves a wrong environment for the API to name", () => {
  const value = { agentName: "a", environment: { A: "1", B: "2" } };
  assert.deepEqual(merged(value, "b", { B: "3" }), { agentName: "b", environment: { A: "1", B: "3" } });
  assert.deepEqual(merged({ agentName: "a" }, undefined, {}), { agentName: "a" });
  assert.deepEqual(merged({ environment: "x" }, undefined, { B: "3" }), { environment: "x" });
});

test("scale: without flags the present policy stays", () => {
  assert.equal(scalingPolicy({}), undefined);
  assert.deepEqual(scalingPolicy({ min: 0, targetCpu: 70 }), { min_replicas: 0, target_cpu: 70 });
});

describe("login", () => {
  test("a code, and links of either form, are taken", () => {
    assert.deepEqual(verification(" 123456 ", "me@example.com"), {
      type: "email",
      email: "me@example.com",
      token: "123456",
    });
    for (const name of ["token", "token_hash"])
      assert.deepEqual(
        verification(`https://x.example.com/auth/v1/verify?${name}=abc&type=magiclink&redirect_to=x`, ""),
        { type: "magiclink", token_hash: "abc" },
      );
    assert.deepEqual(verification("https://x.example.com/auth/v1/verify?token=abc&type=signup", ""), {
      type: "signup",
      token_hash: "abc",
    });
    assert.throws(() => verification("https://x.example.com/", ""), /not the link of a sign-in mail/);
  });

  const token = (claims: object) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;
  test("a token is a user's, and lives", () => {
    assert.deepEqual(sessionOfToken(`${token({ sub: "u", exp: 4e9, email: "e" })}\n`).user, {
      id: "u",
      email: "e",
    });
    for (const text of ["", "x", "a.b.c", "a.!.c", token({ role: "anon", exp: 4e9 })])
      assert.throws(() => sessionOfToken(text), /not a user's access token/);
    assert.throws(() => sessionOfToken(token({ sub: "u", exp: 1 })), /has expired/);
  });
});

describe("errors", () => {
  const error = new CliError("invalid", "The definition has a wrong field.", {
    code: "VALIDATION_ERROR",
    details: { agentName: "Name is required" },
    locations: { agentName: "agent.yaml:3" },
    requestId: "req-1",
  });
  test("for people: the sentence, then each field with its place", () => {
    assert.equal(
      errorText(error, { errPaint: plain }),
      "error: The definition has a wrong field.\n  agent.yaml:3 agentName: Name is required\n",
    );
  });
  test("for programs: one line of JSON", () => {
    assert.deepEqual(JSON.parse(errorJson(error)), {
      error: {
        code: "VALIDATION_ERROR",
        message: "The definition has a wrong field.",
        exitCode: 6,
        details: { agentName: "Name is required" },
        locations: { agentName: "agent.yaml:3" },
        requestId: "req-1",
      },
    });
  });
  test("a defect's request id is shown", () => {
    assert.match(
      errorText(new CliError("internal", "x", { requestId: "req-1" }), { errPaint: plain }),
      /request id: req-1/,
    );
  });
});

test("a scan that fails without a critical finding says that it was not conclusive", () => {
  const scan = (passed: boolean, high: number) =>
    scanText(
      {
        scanId: "scan-1",
        results: {
          passed,
          vulnerabilities: { critical: 0, high, medium: 0, low: 0 },
          findings: [],
          sources: {
            npm_advisories: { status: "unavailable", checked: 0, packages: 1 },
            container_image: { status: "unavailable" },
          },
          supabase_compliance: {},
        },
      } as unknown as SecurityScan,
      look,
    );
  assert.match(scan(false, 0), /Passed +no: nothing critical was found, but some checks could not run\n/);
  assert.match(scan(false, 1), /Passed +no\n/);
  assert.match(scan(true, 0), /Passed +yes\n/);
});

test("an archive that cannot be written says why", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-cli-"));
  t.onTestFinished(() => rm(folder, { recursive: true }));
  for (const [file, says] of [
    [join(folder, "none/a.json"), /a\.json cannot be written: there is no such folder\.$/],
    [folder, /cannot be written: it is a folder\.$/],
  ] as const) {
    const error = await writeFile(file, "x").catch((thrown: unknown) => unwritten(file, thrown));
    assert.ok(error instanceof CliError);
    assert.match(error.message, says);
  }
  const other = new Error("boom");
  assert.equal(unwritten("a.json", other), other);
});

describe("keys", () => {
  const now = Date.parse("2026-11-30T00:00:00Z");
  const key = {
    id: "k1",
    name: "website",
    prefix: "lp_4f9aKx0Q",
    scopes: ["invoke" as const],
    origins: ["https://app.example.com"],
    expiresAt: null,
    createdAt: "2026-11-29T00:00:00Z",
    lastUsedAt: "2026-11-29T23:00:00Z",
    revokedAt: null,
  };

  test("are listed with when they were last used and whether they still work", () => {
    const text = keyTable(
      [
        key,
        { ...key, id: "k2", lastUsedAt: null, origins: [], revokedAt: "2026-11-29T12:00:00Z" },
        { ...key, id: "k3", expiresAt: "2026-11-29T12:00:00Z" },
        { ...key, id: "k4", expiresAt: "2027-01-31T00:00:00Z" },
      ],
      look,
      now,
    );
    assert.match(text, /k1 +website +lp_4f9aKx0Q… +invoke +https:\/\/app\.example\.com +1h ago +active/);
    assert.match(text, /k2 .* – +never +revoked/);
    assert.match(text, /k3 .* expired/);
    assert.match(text, /k4 .* until 2027-01-31/);
  });

  test("end after hours or days, or at a time", () => {
    assert.equal(expiry("12h", now), "2026-11-30T12:00:00.000Z");
    assert.equal(expiry("90d", now), "2027-02-28T00:00:00.000Z");
    assert.equal(expiry("2027-01-31", now), "2027-01-31T00:00:00.000Z");
    for (const wrong of ["soon", "0d", "5w", ""])
      assert.throws(() => expiry(wrong, now), /--expires must be like/);
  });
});

test("usage: groups and their sum, cost in dollars", () => {
  const figures = { answers: 2, inputTokens: 1000, cachedInputTokens: 0, outputTokens: 50 };
  const text = usageTable(
    {
      items: [{ day: "2026-11-29", agentId: "agent-a", ...figures, costMicros: 1234 }],
      count: 1,
      total: { ...figures, answers: 3, costMicros: 1_500_000 },
      currency: "USD",
      nextCursor: null,
    },
    ["day", "agent"],
    look,
  );
  assert.match(text, /DAY +AGENT +ANSWERS +INPUT +CACHED +OUTPUT +COST/);
  assert.match(text, /2026-11-29 +agent-a +2 +1000 +0 +50 +\$0\.001234/);
  assert.match(text, /total +3 +1000 +0 +50 +\$1\.50/);
});

describe("budgets", () => {
  test("take dollars", () => {
    assert.deepEqual(["25", "0.50", "$1", "0.000001"].map(microsOf), [25_000_000, 500_000, 1_000_000, 1]);
    for (const wrong of ["", "x", "-1", "1,50", "1.0000001"])
      assert.throws(() => microsOf(wrong), /must be dollars/);
  });

  test("are listed with what is spent", () => {
    const budget = {
      id: "b1",
      scope: "user" as const,
      agentId: null,
      period: "month" as const,
      limitMicros: 25_000_000,
      warnAt: 0.8,
      action: "pause" as const,
      spentMicros: 25_000_000,
      reservedMicros: 0,
      reached: true,
      resetsAt: "2026-12-01T00:00:00Z",
      createdAt: "2026-11-29T00:00:00Z",
      updatedAt: "2026-11-29T00:00:00Z",
    };
    assert.match(
      budgetTable([budget], look),
      /b1 +all agents +month +\$25\.00 +\$25\.00 +\$0\.00 +pause \(reached\) +2026-12-01/,
    );
  });
});

test("trace: when each step began, what it took, and why one was refused", () => {
  const step = (more: Partial<AnswerStep>): AnswerStep => ({
    id: "1",
    message_id: "m",
    agent_id: "a",
    user_id: "u",
    index: 1,
    kind: "model",
    name: "gpt-6-luna",
    status: "ok",
    started_at: "2026-01-01T00:00:00.000Z",
    milliseconds: 900,
    input_tokens: 120,
    output_tokens: 8,
    cached_input_tokens: 100,
    arguments: { messages: 1 },
    result: "calls weather",
    error: null,
    ...more,
  });
  const unmeasured = { input_tokens: null, output_tokens: null, cached_input_tokens: null };
  const text = traceTable(
    [
      step({}),
      step({
        index: 2,
        kind: "tool",
        name: "weather",
        status: "refused",
        started_at: "2026-01-01T00:00:00.950Z",
        milliseconds: 3,
        arguments: { city: "Ulm\nInjected" },
        result: null,
        error: { code: "TOOL_NOT_ALLOWED", message: "10.0.0.1 is not on the public Internet." },
        ...unmeasured,
      }),
    ],
    look,
  );
  assert.match(text, /\+0\.00s +model +gpt-6-luna +ok +0\.90s +120 \(100 cached\) in, 8 out\n/);
  assert.match(text, /\+0\.95s +tool +weather +refused TOOL_NOT_ALLOWED +0\.00s\n/);
  assert.match(
    text,
    /2 weather: \{"city":"Ulm\\nInjected"\} → 10\.0\.0\.1 is not on the public Internet\.\n$/,
  );
  assert.equal(traceTable([], look), "");
});

test("revisions name you, and others by their id", () => {
  const revision = {
    revision: 2,
    reason: "update",
    createdBy: "user:me",
    createdAt: "2026-01-01T00:00:00Z",
    current: true,
    spec: {},
  };
  const revisions = [revision, { ...revision, revision: 1, createdBy: "user:other", current: false }];
  const text = revisionTable(
    revisions as unknown as Revision[],
    look,
    Date.parse("2026-01-01T00:00:05Z"),
    "me",
  );
  assert.match(text, /^2 \(current\) +update +you +5s ago$/m);
  assert.match(text, /^1 +update +user:other +5s ago$/m);
});

test("fleet list shows each agent's class, and one attempt as one", () => {
  const text = listText(
    [
      {
        agentId: "agent-x",
        userId: "u",
        name: "x",
        class: "sandboxed",
        phase: "DEPLOYING",
        reason: null,
        message: null,
        replicas: 1,
        ready: 0,
        settled: false,
        attempts: 1,
        controller: null,
        updatedAt: "2026-01-01T00:00:00Z",
      },
    ],
    look,
  );
  assert.match(text, /^AGENT +USER +CLASS +PHASE/);
  assert.match(text, /^agent-x +u +sandboxed +DEPLOYING +0\/1 +1 attempt *$/m);
});

test("chat: what an agent says without being asked is heard; answers, questions and pieces are not", () => {
  type Update = Parameters<Parameters<typeof hearBegun>[0]["messages"]["subscribe"]>[1];
  let tell: Update = () => undefined;
  const subscribe = (_: unknown, listener: Update) => {
    tell = listener;
    return () => undefined;
  };
  const heard: string[] = [];
  hearBegun({ messages: { subscribe } }, "agent-a", ({ id }) => heard.push(id));
  const message = (id: string, sender_kind: string, root_id: string | null) =>
    tell({ type: "message", message: { id, sender_kind, root_id } as Message });
  message("question", "user", null);
  message("answer", "agent", "question");
  message("reminder", "agent", null);
  tell({ type: "reply", reply: { event: "started", messageId: "next", agentId: "agent-a" } });
  assert.deepEqual(heard, ["reminder"]);
});
