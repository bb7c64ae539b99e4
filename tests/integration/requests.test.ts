// One request of a user in SQL: identity, rate limits, permissions, idempotency, quotas, validation.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { anon, createUser, liftRateLimits, rpc, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;

beforeAll(async () => {
  db = await createTestDatabase();
});
beforeEach(async () => {
  await liftRateLimits(db);
  alice = await createUser(db);
});
afterAll(() => db.destroy());

const launch = (definition: unknown, caller = user(alice)) =>
  rpc(db, caller, "launch_agent", { definition: definition as Record<string, unknown> });

describe("identity", () => {
  test("an anonymous caller may execute no RPC of users", async () => {
    const { status } = await launch({ agentName: "x" }, anon);
    assert.equal(status, 403);
  });

  test("a token of a user who is gone is INVALID_JWT_TOKEN", async () => {
    await db.pool.query("delete from auth.users where id = $1", [alice]);
    const { status, body, headers } = await launch({ agentName: "x" });
    assert.equal(status, 401);
    assert.equal(body.code, "INVALID_JWT_TOKEN");
    assert.equal(headers["x-ratelimit-remaining"], "0");
  });

  test("a token whose subject is no user's id is INVALID_JWT_TOKEN", async () => {
    const { status, body } = await launch({ agentName: "x" }, user("not-a-uuid"));
    assert.deepEqual([status, body.code], [401, "INVALID_JWT_TOKEN"]);
  });

  test("a token without a subject is INVALID_JWT_TOKEN", async () => {
    const { body } = await launch({ agentName: "x" }, { role: "authenticated" });
    assert.equal(body.code, "INVALID_JWT_TOKEN");
  });
});

describe("rate limits", () => {
  test("the documented headers count down, on failures too", async () => {
    await db.pool.query("update public.rate_limits set max_requests = 100 where bucket = 'api'");
    await db.pool.query("update public.rate_limits set max_requests = 30 where bucket = 'auth'");
    const first = await rpc(db, user(alice), "list_agents");
    const failed = await rpc(db, user(alice), "get_agent", { agent_id: "agent-none" });
    assert.equal(first.headers["x-ratelimit-limit"], "100");
    assert.equal(first.headers["x-ratelimit-remaining"], "99");
    assert.equal(failed.headers["x-ratelimit-remaining"], "98");
    assert.ok(Number(first.headers["x-ratelimit-reset"]) > Date.now() / 1000);
    assert.ok(Number(first.headers["supabase-ratelimit-remaining"]) >= 0);
    assert.equal(first.headers["supabase-auth-rate-limit"], "30");
  });

  for (const bucket of ["api", "api_burst"]) {
    test(`over ${bucket}: RATE_LIMIT_EXCEEDED, and nothing is done`, async () => {
      await db.pool.query("update public.rate_limits set max_requests = 2 where bucket = $1", [bucket]);
      await launch({ agentName: "one" });
      await launch({ agentName: "two" });
      const { status, body, headers } = await launch({ agentName: "three" });
      assert.equal(status, 429);
      assert.equal(body.code, "RATE_LIMIT_EXCEEDED");
      const details = JSON.parse(body.details);
      assert.equal(details.limit_type, bucket);
      assert.equal(details.user_id, alice);
      assert.match(details.reset_time, /^\d{4}-.*Z$/);
      const wait = Number(headers["retry-after"]);
      assert.ok(wait >= 1);
      assert.deepEqual(
        [headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"], headers["x-ratelimit-reset"]],
        ["2", "0", String(Date.parse(details.reset_time) / 1000)],
        "the headers tell of the limit that refused",
      );
      assert.ok(Math.abs(Number(headers["x-ratelimit-reset"]) - Date.now() / 1000 - wait) < 3);
      assert.notEqual(headers["supabase-ratelimit-remaining"], "0", "direct queries are another budget");
      const { rows } = await db.pool.query("select count(*)::int from public.agents where user_id = $1", [
        alice,
      ]);
      assert.equal(rows[0].count, 2);
    });
  }

  for (const bucket of ["api", "api_burst", "rest_writes", "auth"]) {
    test(`without a row for ${bucket}, requests are answered and the other limits hold`, async () => {
      await db.pool.query(
        "update public.rate_limits set max_requests = 1 where bucket in ('api', 'api_burst')",
      );
      const bob = await createUser(db);
      const { rows } = await db.pool.query("delete from public.rate_limits where bucket = $1 returning *", [
        bucket,
      ]);
      try {
        const first = await rpc(db, user(bob), "list_agents");
        assert.deepEqual([first.status, first.body.total], [200, 0]);
        assert.equal("x-ratelimit-limit" in first.headers, bucket !== "api");
        assert.equal("supabase-ratelimit-remaining" in first.headers, bucket !== "rest_writes");
        const second = await rpc(db, user(bob), "list_agents");
        const left = bucket === "api" ? "api_burst" : "api";
        assert.equal(second.status, 429);
        assert.ok([left, "api_burst"].includes(JSON.parse(second.body.details).limit_type));
      } finally {
        const { bucket: name, max_requests, window_seconds } = rows[0];
        await db.pool.query("insert into public.rate_limits values ($1, $2, $3)", [
          name,
          max_requests,
          window_seconds,
        ]);
      }
    });
  }

  test("the account is judged before the limits, the limits before the permission", async () => {
    await db.pool.query("update public.rate_limits set max_requests = 1 where bucket = 'api'");
    await db.pool.query("delete from public.user_permissions where user_id = $1", [alice]);
    const codes = [];
    for (let n = 0; n < 2; n++) codes.push((await rpc(db, user(alice), "list_agents")).body.code);
    await db.pool.query("update auth.users set banned_until = now() + interval '1 day' where id = $1", [
      alice,
    ]);
    const { body, headers } = await rpc(db, user(alice), "list_agents");
    codes.push(body.code);
    assert.deepEqual(codes, ["INSUFFICIENT_PERMISSIONS", "RATE_LIMIT_EXCEEDED", "PERMISSION_DENIED"]);
    assert.equal(headers["x-ratelimit-limit"], "0");
    const { rows } = await db.pool.query("select api_used from private.api_counters where user_id = $1", [
      alice,
    ]);
    assert.equal(rows[0].api_used, 2, "what a banned account asks is not counted");
  });

  test("a limit is per user, and an operator's change counts at once", async () => {
    await db.pool.query("update public.rate_limits set max_requests = 1 where bucket = 'api'");
    const bob = await createUser(db);
    await rpc(db, user(alice), "list_agents");
    assert.equal((await rpc(db, user(alice), "list_agents")).status, 429);
    assert.equal((await rpc(db, user(bob), "list_agents")).status, 200);
    await db.pool.query("update public.rate_limits set max_requests = 10 where bucket = 'api'");
    assert.equal((await rpc(db, user(alice), "list_agents")).status, 200);
  });
});

describe("permissions", () => {
  const narrow = (permissions: unknown) =>
    db.pool.query("update auth.users set raw_user_meta_data = $2 where id = $1", [
      alice,
      JSON.stringify({ permissions }),
    ]);

  test("a new user has agents:read, agents:write and monitoring:read", async () => {
    const { rows } = await db.pool.query("select private.effective_permissions($1) as p", [alice]);
    assert.deepEqual(rows[0].p, ["agents:read", "agents:write", "monitoring:read"]);
  });

  test("user_metadata narrows them", async () => {
    await narrow(["agents:read"]);
    const { status, body } = await launch({ agentName: "x" });
    assert.equal(status, 403);
    assert.equal(body.code, "INSUFFICIENT_PERMISSIONS");
    assert.deepEqual(JSON.parse(body.details), { required: "agents:write" });
    assert.equal((await rpc(db, user(alice), "list_agents")).status, 200);
  });

  test("user_metadata grants nothing", async () => {
    await db.pool.query(
      "delete from public.user_permissions where user_id = $1 and permission = 'agents:write'",
      [alice],
    );
    await narrow(["agents:read", "agents:write", "system:read"]);
    assert.equal((await launch({ agentName: "x" })).body.code, "INSUFFICIENT_PERMISSIONS");
  });

  test("a direct write without agents:write is PERMISSION_DENIED", async () => {
    await narrow(["agents:read"]);
    await assert.rejects(
      db.as(user(alice), (c) => c.query("insert into public.agents (name) values ('x')")),
      /PERMISSION_DENIED/,
    );
  });
});

describe("Idempotency-Key", () => {
  test("ten at once make one agent and ten equal answers", async () => {
    const caller = user(alice, { "idempotency-key": "once" });
    const answers = await Promise.all(Array.from({ length: 10 }, () => launch({ agentName: "x" }, caller)));
    assert.deepEqual(new Set(answers.map((a) => a.status)), new Set([201]));
    assert.equal(new Set(answers.map((a) => a.body.agentId)).size, 1);
    assert.equal(answers.filter((a) => a.headers["idempotency-replayed"] === "true").length, 9);
    const { rows } = await db.pool.query("select count(*)::int from public.agents where user_id = $1", [
      alice,
    ]);
    assert.equal(rows[0].count, 1);
  });

  test("the same key for a different request is IDEMPOTENCY_CONFLICT", async () => {
    const caller = user(alice, { "idempotency-key": "twice" });
    await launch({ agentName: "x" }, caller);
    const { status, body } = await launch({ agentName: "y" }, caller);
    assert.deepEqual([status, body.code], [409, "IDEMPOTENCY_CONFLICT"]);
  });

  test("a failed request does not use up its key", async () => {
    const caller = user(alice, { "idempotency-key": "retry" });
    assert.equal((await launch({ agentName: "" }, caller)).status, 400);
    assert.equal((await launch({ agentName: "x" }, caller)).status, 201);
  });

  test("two users may use one key", async () => {
    const bob = await createUser(db);
    const headers = { "idempotency-key": "shared" };
    const [a, b] = [
      await launch({ agentName: "x" }, user(alice, headers)),
      await launch({ agentName: "x" }, user(bob, headers)),
    ];
    assert.notEqual(a.body.agentId, b.body.agentId);
  });
});

describe("quotas", () => {
  const quota = (column: string, value: number) =>
    db.pool.query(`update public.quotas set ${column} = $2 where user_id = $1`, [alice, value]);

  test("one agent too many is AGENT_LIMIT_REACHED, through /api and /rest/v1, and also at once", async () => {
    await quota("max_agents", 2);
    const answers = await Promise.all(Array.from({ length: 6 }, (_, i) => launch({ agentName: `a${i}` })));
    assert.equal(answers.filter((a) => a.status === 201).length, 2);
    assert.deepEqual(
      new Set(answers.filter((a) => a.status !== 201).map((a) => a.body.code)),
      new Set(["AGENT_LIMIT_REACHED"]),
    );
    await assert.rejects(
      db.as(user(alice), (c) => c.query("insert into public.agents (name) values ('x')")),
      /AGENT_LIMIT_REACHED/,
    );
  });

  for (const [column, value, resources] of [
    ["max_replicas", 2, { replicas: 3 }],
    ["max_cpu", 1000, { cpu: "1001m" }],
    ["max_memory", 1073741824, { memory: "2Gi" }],
  ] as const) {
    test(`${column}: RESOURCE_LIMIT_EXCEEDED names it, and nothing is created`, async () => {
      await quota(column, value);
      const { status, body } = await launch({ agentName: "x", resources });
      assert.deepEqual([status, body.code], [429, "RESOURCE_LIMIT_EXCEEDED"]);
      assert.equal(JSON.parse(body.details).quota, column);
      const { rows } = await db.pool.query("select count(*)::int from public.agents where user_id = $1", [
        alice,
      ]);
      assert.equal(rows[0].count, 0);
    });
  }

  test("what an autoscaler may come to is counted: fifty agents of one replica cannot grow past the quota", async () => {
    await quota("max_replicas", 10);
    const policy = { min_replicas: 1, max_replicas: 5 };
    const first = await launch({ agentName: "one", scaling_policy: policy });
    assert.equal(first.status, 201);
    assert.equal((await launch({ agentName: "two", scaling_policy: policy })).status, 201);
    const third = await launch({ agentName: "three" });
    assert.equal(third.body.code, "RESOURCE_LIMIT_EXCEEDED");
    const details = JSON.parse(third.body.details);
    assert.deepEqual([details.quota, details.limit, details.requested], ["max_replicas", 10, 11]);
    const scale = (max_replicas: number) =>
      rpc(db, user(alice), "scale_agent", {
        agent_id: first.body.agentId,
        scale: { replicas: 1, scaling_policy: { min_replicas: 1, max_replicas } },
      });
    assert.equal((await scale(6)).body.code, "RESOURCE_LIMIT_EXCEEDED");
    assert.equal((await scale(4)).status, 202);
    assert.equal((await launch({ agentName: "three" })).status, 201);
    // Straight through PostgREST it is the same.
    await assert.rejects(
      db.as(user(alice), (c) =>
        c.query("update public.agents set scaling_policy = $1 where id = $2", [
          { min_replicas: 1, max_replicas: 50 },
          first.body.agentId,
        ]),
      ),
      /RESOURCE_LIMIT_EXCEEDED/,
    );
  });

  test("an autoscaler's most counts with its size: CPU and memory too", async () => {
    await quota("max_cpu", 1000);
    const scaling_policy = { min_replicas: 1, max_replicas: 5 };
    const { body } = await launch({ agentName: "x", resources: { cpu: "500m" }, scaling_policy });
    assert.deepEqual([body.code, JSON.parse(body.details).quota], ["RESOURCE_LIMIT_EXCEEDED", "max_cpu"]);
  });

  test("scaling over the quota is refused and changes nothing; a stopped agent takes none of it", async () => {
    await quota("max_replicas", 3);
    const { body: first } = await launch({ agentName: "one", resources: { replicas: 2 } });
    await settle(db, first.agentId);
    const refused = await rpc(db, user(alice), "scale_agent", {
      agent_id: first.agentId,
      scale: { replicas: 4 },
    });
    assert.equal(refused.body.code, "RESOURCE_LIMIT_EXCEEDED");
    const { rows } = await db.pool.query("select replicas from public.agents where id = $1", [first.agentId]);
    assert.equal(rows[0].replicas, 2);
    await rpc(db, user(alice), "stop_agent", { agent_id: first.agentId });
    assert.equal((await launch({ agentName: "two", resources: { replicas: 3 } })).status, 201);
    const start = await rpc(db, user(alice), "start_agent", { agent_id: first.agentId });
    assert.equal(start.body.code, "RESOURCE_LIMIT_EXCEEDED");
  });
});

describe("validation", () => {
  const cases: [
    title: string,
    definition: unknown,
    problems: Record<string, string | RegExp>,
    code?: string,
  ][] = [
    ["a missing name", {}, { agentName: "Required" }],
    ["an empty name", { agentName: " " }, { agentName: "not all blank" }],
    ["a long name", { agentName: "x".repeat(101) }, { agentName: /1 to 100/ }],
    ["an unknown field", { agentName: "x", colour: "red" }, { colour: "Unknown field" }],
    [
      "a nested unknown field",
      { agentName: "x", resources: { gpu: "1" } },
      { "resources.gpu": "Unknown field" },
    ],
    ["a wrong memory", { agentName: "x", resources: { memory: "lots" } }, { "resources.memory": /128Mi/ }],
    ["too little memory", { agentName: "x", resources: { memory: "1Mi" } }, { "resources.memory": /128Mi/ }],
    ["a wrong cpu", { agentName: "x", resources: { cpu: "-1" } }, { "resources.cpu": /50m/ }],
    ["too many replicas", { agentName: "x", resources: { replicas: 101 } }, { "resources.replicas": /100/ }],
    ["no replica", { agentName: "x", resources: { replicas: 0 } }, { "resources.replicas": /from 1 to 100/ }],
    [
      "a fractional replica",
      { agentName: "x", resources: { replicas: 1.5 } },
      { "resources.replicas": /whole/ },
    ],
    ["a wrong plugin", { agentName: "x", plugins: ["../x"] }, { "plugins.0": /not a path/ }],
    ["a wrong platform", { agentName: "x", platforms: ["Dis cord"] }, { "platforms.0": /lower-case/ }],
    [
      "a wrong environment name",
      { agentName: "x", environment: { "1A": "x" } },
      { "environment.1A": /letters/ },
    ],
    [
      "a key copied in its shortened form",
      { agentName: "x", environment: { OPENAI_API_KEY: "sk-…", BOT_TOKEN: "sk-...", GREETING: "Hm…" } },
      { "environment.OPENAI_API_KEY": /shortened/, "environment.BOT_TOKEN": /shortened/ },
    ],
    [
      "a reserved environment name",
      { agentName: "x", environment: { AGENT_ID: "x" } },
      { "environment.AGENT_ID": /reserved/ },
    ],
    [
      "a temperature out of range",
      { agentName: "x", settings: { temperature: 3 } },
      { "settings.temperature": /0 to 2/ },
    ],
    [
      "a policy upside down",
      { agentName: "x", scaling_policy: { min_replicas: 3, max_replicas: 1 } },
      { "scaling_policy.min_replicas": /greater than/ },
    ],
    [
      "an unknown framework",
      { agentName: "x", framework: "acme" },
      { framework: /openai, anthropic, google/ },
      "INVALID_FRAMEWORK",
    ],
    [
      "a model of another framework",
      { agentName: "x", framework: "google", model: "gpt-4o" },
      { model: /not available/ },
      "INVALID_MODEL",
    ],
    ["not an object", [], { body: /object/ }],
    [
      "several at once",
      { agentName: 5, framework: "acme", plugins: "x" },
      { agentName: /text/, framework: /one of/, plugins: /list/ },
    ],
  ];
  for (const [title, definition, problems, code = "VALIDATION_ERROR"] of cases) {
    test(`${title}: ${code} names ${Object.keys(problems).join(", ")}`, async () => {
      const { status, body } = await launch(definition);
      assert.equal(status, 400);
      assert.equal(body.code, code);
      const details = JSON.parse(body.details);
      assert.deepEqual(Object.keys(details).sort(), Object.keys(problems).sort());
      for (const [field, problem] of Object.entries(problems))
        assert.match(details[field], new RegExp(problem));
    });
  }

  test("a value of the environment is never repeated in an error", async () => {
    const { body } = await launch({ agentName: "", environment: { "bad-name": "sekrit", PORT: "sekrit" } });
    assert.ok(!JSON.stringify(body).includes("sekrit"));
  });

  test("refuse_request fails with the given code and counts", async () => {
    const before = await rpc(db, user(alice), "list_agents");
    const refused = await rpc(db, user(alice), "refuse_request", {
      code: "METHOD_NOT_ALLOWED",
      message: "PATCH is not allowed here",
      details: { allow: "GET, POST" },
    });
    assert.equal(refused.status, 405);
    assert.equal(refused.body.message, "PATCH is not allowed here");
    assert.equal(
      Number(refused.headers["x-ratelimit-remaining"]),
      Number(before.headers["x-ratelimit-remaining"]) - 1,
    );
    const { body } = await rpc(db, user(alice), "refuse_request", { code: "NOPE", message: "x" });
    assert.equal(body.code, "VALIDATION_ERROR");
  });
});

test("a value that only a type refuses is the caller's error, and counted", async () => {
  const before = await rpc(db, user(alice), "list_agents");
  const answer = await launch({ agentName: "x", scaling_policy: { min_replicas: 1e300 } });
  assert.equal(answer.status, 400);
  assert.equal(
    Number(answer.headers["x-ratelimit-remaining"]),
    Number(before.headers["x-ratelimit-remaining"]) - 1,
  );
  const { body } = await launch({ agentName: "y" });
  const logs = await rpc(db, user(alice), "get_agent_logs", { agent_id: body.agentId, since: "99999d" });
  assert.equal(logs.status, 200);
});
