// Security events in SQL: what is recorded for whom, how serious, how repeats are counted, and that nothing can be rewritten.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import type { TestDatabase, TestUser } from "../helpers/database.ts";
import { explainAs } from "../helpers/generated.ts";
import { createUnlimitedDatabase, createUser, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: TestUser;
let bob: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
});
beforeEach(async () => {
  alice = await db.createUser();
  bob = await createUser(db);
});
afterAll(() => db.destroy());

interface Event {
  id: string;
  event_type: string;
  severity: string;
  agent_id: string | null;
  message: string;
  ip_address: string | null;
  user_agent: string | null;
  details: Record<string, unknown>;
  automated_response: Record<string, unknown> | null;
}

const eventsOf = async (of: string | null, type?: string): Promise<Event[]> =>
  (
    await db.pool.query<Event>(
      `select * from public.security_events where user_id is not distinct from $1 and ($2::text is null or event_type = $2)
       order by timestamp`,
      [of, type ?? null],
    )
  ).rows;

const launch = async (of: string, definition: Record<string, unknown> = {}): Promise<string> =>
  (await rpc(db, user(of), "launch_agent", { definition: { agentName: "bot", ...definition } })).body.agentId;

const attempt = (email: string, ok = false) =>
  rpc(db, service, "record_auth_attempt", { email, ok, ip: "203.0.113.7", user_agent: "ua/1" });

/** Makes everything that was recorded look older. */
const age = async (interval: string) => {
  await db.pool.query(
    `update private.security_event_windows set started_at = started_at - $1::interval,
       streak_started_at = streak_started_at - $1::interval`,
    [interval],
  );
};

describe("refusals", () => {
  const cases: [code: string, type: string, severity: string, act: () => Promise<{ status: number }>][] = [
    [
      "INSUFFICIENT_PERMISSIONS",
      "PERMISSION_DENIED",
      "MEDIUM",
      async () => {
        await db.pool.query("delete from public.user_permissions where user_id = $1", [bob]);
        return await rpc(db, user(bob), "list_agents");
      },
    ],
    [
      "AGENT_LIMIT_REACHED",
      "QUOTA_EXCEEDED",
      "LOW",
      async () => {
        await db.pool.query("update public.quotas set max_agents = 0 where user_id = $1", [bob]);
        return await rpc(db, user(bob), "launch_agent", { definition: { agentName: "x" } });
      },
    ],
    [
      "RESOURCE_LIMIT_EXCEEDED",
      "QUOTA_EXCEEDED",
      "LOW",
      async () => {
        await db.pool.query("update public.quotas set max_replicas = 0 where user_id = $1", [bob]);
        return await rpc(db, user(bob), "launch_agent", { definition: { agentName: "x" } });
      },
    ],
    [
      "AGENT_NOT_FOUND",
      "AGENT_ACCESS_DENIED",
      "LOW",
      () => rpc(db, user(bob), "stop_agent", { agent_id: "agent-none" }),
    ],
    [
      "RLS_ACCESS_DENIED",
      "RLS_VIOLATION",
      "HIGH",
      () => rpc(db, user(bob), "refuse_request", { code: "RLS_ACCESS_DENIED", message: "m" }),
    ],
  ];
  for (const [code, type, severity, act] of cases) {
    test(`${code} is a ${type} of severity ${severity}`, async () => {
      assert.ok((await act()).status >= 400);
      const [event, ...rest] = await eventsOf(bob);
      assert.deepEqual(rest, []);
      assert.deepEqual([event?.event_type, event?.severity, event?.details.code], [type, severity, code]);
    });
  }

  test("a rate-limit hit is recorded with its bucket, and further hits only counted", async () => {
    await db.pool.query("update public.rate_limits set max_requests = 0 where bucket = 'api_burst'");
    for (let i = 0; i < 4; i++) assert.equal((await rpc(db, user(bob), "list_agents")).status, 429);
    await db.pool.query("update public.rate_limits set max_requests = 1000000");
    const [event, ...rest] = await eventsOf(bob, "RATE_LIMIT_EXCEEDED");
    assert.deepEqual(rest, []);
    assert.equal(event?.details.count, 4);
    assert.match(JSON.stringify(event?.details.facts), /"limit_type":"api_burst"/);
  });

  test("a mistake is no security event", async () => {
    assert.equal((await rpc(db, user(bob), "launch_agent", { definition: {} })).status, 400);
    assert.deepEqual(await eventsOf(bob), []);
  });

  test("the request's first address and user agent are kept; nonsense is not", async () => {
    const call = (headers: Record<string, string>) =>
      rpc(db, user(bob, headers), "get_agent", { agent_id: "agent-none" });
    await call({ "x-forwarded-for": "203.0.113.9, 10.0.0.1", "user-agent": "u".repeat(900) });
    const [first] = await eventsOf(bob);
    assert.equal(first?.ip_address, "203.0.113.9");
    assert.equal(first?.user_agent?.length, 500);
    await age("2 minutes");
    await call({ "x-forwarded-for": "not an address" });
    assert.equal((await eventsOf(bob))[1]?.ip_address, null);
  });

  test("text given to refuse_request does not become an event's message", async () => {
    await rpc(db, user(bob), "refuse_request", { code: "AGENT_NOT_FOUND", message: "believe me" });
    assert.doesNotMatch(JSON.stringify(await eventsOf(bob)), /believe me/);
  });
});

describe("probes of another user's agent", () => {
  test("look like probes of none, to the prober and to the owner; operators see which was real", async () => {
    const agentId = await launch(alice.id);
    const carol = await createUser(db);
    await rpc(db, user(bob), "get_agent", { agent_id: agentId });
    await rpc(db, user(carol), "get_agent", { agent_id: "agent-aaaaaaaaaaaa" });
    const shape = ({ event_type, severity, message, details }: Event) => ({
      event_type,
      severity,
      message: message.replace(/'.*'/, "''"),
      details,
    });
    const [real] = await eventsOf(bob);
    const [none] = await eventsOf(carol);
    assert.ok(real && none);
    assert.deepEqual(shape(real), shape(none));
    assert.deepEqual(await eventsOf(alice.id, "AGENT_ACCESS_DENIED"), []);
    const { rows } = await db.pool.query("select id, owner from private.cross_tenant_probes");
    assert.deepEqual(rows, [{ id: real.id, owner: alice.id }]);
  });

  test("trying one id after the other becomes more serious, in few rows that name the ids", async () => {
    for (let i = 0; i < 60; i++)
      await rpc(db, user(bob), "get_agent", { agent_id: `agent-${String(i).padStart(2, "a")}` });
    const events = await eventsOf(bob);
    assert.deepEqual(
      events.map(({ severity, details }) => [severity, details.count]),
      [
        ["LOW", 9],
        ["MEDIUM", 40],
        ["HIGH", 11],
      ],
    );
    assert.equal(Object.keys(events[1]?.details.agent_ids ?? []).length, 20, "bounded");
  });
});

describe("coalescing", () => {
  test("a repeat after its minute is a row of its own; users do not share rows", async () => {
    const probe = (who: string) => rpc(db, user(who), "get_agent", { agent_id: "agent-none" });
    await probe(bob);
    await probe(alice.id);
    await age("61 seconds");
    await probe(bob);
    await probe(bob);
    assert.deepEqual(
      (await eventsOf(bob)).map(({ details }) => details.count),
      [undefined, 2],
    );
    assert.equal((await eventsOf(alice.id)).length, 1);
  });

  test("concurrent repeats are all counted", async () => {
    await Promise.all(
      Array.from({ length: 10 }, () => rpc(db, user(bob), "get_agent", { agent_id: "agent-none" })),
    );
    const events = await eventsOf(bob);
    const total = events.reduce((sum, { details }) => sum + Number(details.count ?? 1), 0);
    assert.equal(total, 10);
    assert.ok(events.length <= 2);
  });

  test("an operator's change of a rule counts at once", async () => {
    await db.pool.query(
      "update private.security_event_types set severity = 'CRITICAL' where event_type = 'QUOTA_EXCEEDED'",
    );
    await rpc(db, user(bob), "refuse_request", { code: "AGENT_LIMIT_REACHED", message: "m" });
    await db.pool.query(
      "update private.security_event_types set severity = 'LOW' where event_type = 'QUOTA_EXCEEDED'",
    );
    assert.equal((await eventsOf(bob))[0]?.severity, "CRITICAL");
  });
});

describe("sign-ins", () => {
  test("the fifth failure locks; the lock ends on its own; its events say so", async () => {
    const answers = [];
    for (let i = 0; i < 6; i++) answers.push((await attempt(alice.email)).body.locked);
    assert.deepEqual(answers, [false, false, false, false, true, true]);
    const events = await eventsOf(alice.id, "AUTH_FAILURE");
    assert.equal(events.length, 5);
    assert.deepEqual(events[4]?.automated_response, {
      action_taken: "TEMPORARY_LOCKOUT",
      duration: "15 minutes",
    });
    assert.equal(events[4]?.ip_address, "203.0.113.7");
    const asked = await rpc(db, service, "begin_sign_in", { email: alice.email.toUpperCase() });
    assert.equal(asked.body.locked, true);
    assert.ok(asked.body.retry_after > 890);
    await db.pool.query("update private.sign_in_failures set locked_until = now() - interval '1 second'");
    assert.deepEqual((await rpc(db, service, "begin_sign_in", { email: alice.email })).body, {
      locked: false,
      retry_after: 0,
    });
    assert.equal((await attempt(alice.email)).body.locked, false, "counting begins anew");
  });

  test("ten failures at once still lock after five", async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => attempt(alice.email)));
    assert.equal(answers.filter(({ body }) => body.locked).length, 6);
    assert.equal((await eventsOf(alice.id, "AUTH_FAILURE")).length, 5);
  });

  test("the lockout's figures are an operator's setting", async () => {
    await db.pool.query(
      `update private.security_settings set value = value || '{"failures": 2, "lock_seconds": 60}' where name = 'lockout'`,
    );
    await attempt(alice.email);
    const { body } = await attempt(alice.email);
    await db.pool.query(
      `update private.security_settings set value = value || '{"failures": 5, "lock_seconds": 900}' where name = 'lockout'`,
    );
    assert.deepEqual(body, { locked: true, retry_after: 60 });
    assert.equal((await eventsOf(alice.id))[1]?.automated_response?.duration, "1 minute");
  });

  test("Auth's hook shares the lock: it refuses even a right password, and knows no other role", async () => {
    const hook = async (valid: boolean) =>
      (
        await db.pool.query("select private.password_verification_attempt($1) as answer", [
          JSON.stringify({ user_id: alice.id, valid }),
        ])
      ).rows[0].answer;
    assert.deepEqual(await hook(true), { decision: "continue" });
    for (let i = 0; i < 4; i++) assert.deepEqual(await hook(false), { decision: "continue" });
    assert.equal((await hook(false)).decision, "reject");
    const refused = await hook(true);
    assert.equal(refused.decision, "reject");
    assert.match(refused.message, /15 minutes/);
    assert.equal((await rpc(db, service, "begin_sign_in", { email: alice.email })).body.locked, true);
    const { rows } = await db.pool.query(
      `select r from unnest(array['anon', 'authenticated', 'service_role', 'supabase_auth_admin']) r
       where has_function_privilege(r, 'private.password_verification_attempt(jsonb)', 'execute')`,
    );
    assert.deepEqual(rows, [{ r: "supabase_auth_admin" }]);
  });

  test("an unknown address is kept as a digest alone, and its events have no user", async () => {
    const email = "nobody-at-all@example.com";
    await attempt(email);
    const { rows } = await db.pool.query(
      "select subject from private.sign_in_failures where subject like 'email:%'",
    );
    assert.equal(rows.length, 1);
    assert.match(rows[0].subject, /^email:[0-9a-f]{64}$/);
    const [event] = await eventsOf(null, "UNKNOWN_ACCOUNT_SIGN_IN");
    assert.ok(event);
    assert.ok(!JSON.stringify(event).includes(email));
  });

  for (const who of ["anon", "authenticated"] as const) {
    test(`${who} may neither ask nor tell of sign-ins`, async () => {
      for (const [name, args] of [
        ["begin_sign_in", { email: alice.email }],
        ["record_auth_attempt", { email: alice.email, ok: false }],
        ["record_security_reports", { reports: [] }],
      ] as const) {
        const caller = who === "anon" ? { role: who } : user(bob);
        assert.equal((await rpc(db, caller, name, args)).status, 403, name);
      }
    });
  }
});

describe("reports of a gateway", () => {
  const report = (...reports: Record<string, unknown>[]) =>
    rpc(db, service, "record_security_reports", { reports });

  test("a forged token is an event of the account it names, and says that this is a claim", async () => {
    await report({
      kind: "forged_token",
      sub: alice.id,
      role: "authenticated",
      path: "/rest/v1/agents",
      count: 7,
    });
    await report({
      kind: "forged_token",
      sub: alice.id,
      role: "authenticated",
      path: "/rest/v1/agents",
      count: 3,
    });
    const [event, ...rest] = await eventsOf(alice.id);
    assert.deepEqual(rest, []);
    assert.equal(event?.severity, "HIGH");
    assert.equal(event?.details.verified, false);
    assert.equal(event?.details.count, 10);
  });

  test("one that claims to be service_role is CRITICAL; one of nobody has no user", async () => {
    await report({
      kind: "forged_token",
      sub: "no uuid",
      role: "service_role",
      ip: "203.0.113.8",
      path: "/",
    });
    const [event] = await eventsOf(null, "FORGED_TOKEN");
    assert.equal(event?.severity, "CRITICAL");
    assert.equal(event?.ip_address, "203.0.113.8");
  });

  test("PostgREST's refusals are told apart", async () => {
    await report(
      {
        kind: "denied",
        user_id: bob,
        code: "42501",
        message: 'new row violates row-level security policy for table "agents"',
      },
      { kind: "denied", user_id: bob, code: "42501", message: "permission denied for table quotas" },
      { kind: "denied", user_id: bob, code: "AGENT_LIMIT_REACHED" },
      { kind: "denied", user_id: bob, code: "23505", message: "a duplicate is no security event" },
    );
    assert.deepEqual((await eventsOf(bob)).map((e) => e.event_type).sort(), [
      "PERMISSION_DENIED",
      "QUOTA_EXCEEDED",
      "RLS_VIOLATION",
    ]);
  });
});

describe("what else is recorded", () => {
  test("the controller's access to secrets, by name; nothing where there are none", async () => {
    const take = async (agentId: string) => {
      await settle(db, agentId);
      const { rows } = await db.pool.query(
        "select generation, lease_token from private.agent_deployments where agent_id = $1",
        [agentId],
      );
      await rpc(db, service, "agent_environment", { agent_id: agentId, ...rows[0] });
    };
    const agentId = await launch(alice.id, { environment: { TOKEN: "sekrit", KEY: "sekrit" } });
    await take(agentId);
    await take(await launch(bob));
    const [event] = await eventsOf(alice.id, "SECRET_ACCESS");
    assert.deepEqual(event?.details.names, ["KEY", "TOKEN"]);
    assert.ok(!JSON.stringify(event).includes("sekrit"));
    assert.deepEqual(await eventsOf(bob, "SECRET_ACCESS"), []);
  });

  for (const door of ["delete_agent", "/rest/v1/agents"]) {
    test(`a deletion through ${door}, once`, async () => {
      const agentId = await launch(alice.id);
      if (door === "delete_agent") {
        await rpc(db, user(alice.id), door, { agent_id: agentId });
        await settle(db, agentId, ["DELETED"]);
      } else await db.asUser(alice, (c) => c.query("delete from public.agents where id = $1", [agentId]));
      const events = await eventsOf(alice.id, "AGENT_DELETED");
      assert.deepEqual(
        events.map((e) => e.agent_id),
        [agentId],
      );
    });
  }

  test("the end of an account: its events stay, without address and user agent", async () => {
    await launch(alice.id);
    await attempt(alice.email);
    await db.pool.query("delete from auth.users where id = $1", [alice.id]);
    const events = await eventsOf(alice.id);
    assert.deepEqual(events.map((e) => e.event_type).sort(), [
      "ACCOUNT_DELETED",
      "AGENT_DELETED",
      "AUTH_FAILURE",
    ]);
    for (const event of events) assert.deepEqual([event.ip_address, event.user_agent], [null, null]);
    const { rows } = await db.pool.query("select from private.sign_in_failures where subject = $1", [
      `user:${alice.id}`,
    ]);
    assert.equal(rows.length, 0);
  });
});

describe("the log", () => {
  test("is append-only, for every role, but for a growing count", async () => {
    await rpc(db, user(bob), "get_agent", { agent_id: "agent-none" });
    const [event] = await eventsOf(bob);
    const id = event?.id;
    for (const change of [
      "severity = 'LOW', message = 'x'",
      "details = '{}'",
      `details = details || '{"count": 0}'`,
      `details = details || '{"count": 5, "code": "X"}'`,
      "user_id = null",
      "ip_address = '::1'",
    ]) {
      await assert.rejects(
        db.superuser.query(`update public.security_events set ${change} where id = $1`, [id]),
        /append-only/,
        change,
      );
    }
    await assert.rejects(db.superuser.query("delete from public.security_events"), /append-only/);
    await assert.rejects(db.superuser.query("truncate public.security_events"), /append-only/);
  });

  test("reads its page from the index", async () => {
    await db.pool.query(
      `insert into public.security_events (event_type, severity, user_id, message, "timestamp")
       select 'AUTH_FAILURE', 'LOW', case when i % 100 = 0 then $1::uuid else gen_random_uuid() end, 'm', now() - i * interval '1 second'
       from generate_series(1, 20000) i`,
      [bob],
    );
    await db.pool.query("analyze public.security_events");
    const { buffers, text } = await explainAs(
      db,
      bob,
      "security_events",
      `select * from public.security_events order by "timestamp" desc limit 50`,
    );
    assert.match(text, /security_events_user_id_timestamp_idx/);
    assert.ok(buffers < 120, `${buffers} buffers`);
  });

  test("is listed with filters, a total and the specification's names", async () => {
    for (let i = 0; i < 3; i++) await attempt(alice.email);
    await rpc(db, user(alice.id), "get_agent", { agent_id: "agent-none" });
    const list = async (args: Record<string, unknown>) =>
      (await rpc(db, user(alice.id), "list_security_events", args)).body;
    const all = await list({});
    assert.equal(all.total, 4);
    assert.equal(all.user_id, alice.id);
    assert.equal(all.events[0].event_type, "AGENT_ACCESS_DENIED");
    assert.deepEqual(Object.keys(all.events[0]).sort(), [
      "agent_id",
      "automated_response",
      "details",
      "event_type",
      "id",
      "ip_address",
      "message",
      "severity",
      "timestamp",
      "user_agent",
      "user_id",
    ]);
    const page = await list({ limit: 1 });
    assert.deepEqual([page.events.length, page.total], [1, 4]);
    assert.equal((await list({ severity: "medium" })).total, 1);
    assert.equal((await list({ event_type: "auth_failure" })).total, 3);
    assert.equal((await list({ since: all.events[1].timestamp })).total, 2);
    assert.equal((await list({ since: "2999-01-01" })).total, 0);
    assert.equal((await rpc(db, user(bob), "list_security_events")).body.total, 0);
  });

  for (const [args, field] of [
    [{ limit: 0 }, "limit"],
    [{ limit: 501 }, "limit"],
    [{ severity: "worst" }, "severity"],
    [{ event_type: "a b" }, "event_type"],
    [{ since: "yesterday" }, "since"],
    [{ since: "2026-02-30" }, "since"],
    [{ since: "infinity" }, "since"],
  ] as const) {
    test(`nonsense is named: ${JSON.stringify(args)}`, async () => {
      const { status, body } = await rpc(db, user(bob), "list_security_events", args);
      assert.equal(status, 400);
      assert.deepEqual(Object.keys(JSON.parse(body.details)), [field]);
    });
  }

  test("is published to Realtime", async () => {
    const { rows } = await db.pool.query(
      "select 1 from pg_publication_tables where pubname = 'supabase_realtime' and tablename = 'security_events'",
    );
    assert.equal(rows.length, 1);
  });
});

describe("a token of an account that is gone", () => {
  test("is recorded for operators, and for nobody else", async () => {
    const gone = await createUser(db);
    await db.pool.query("delete from auth.users where id = $1", [gone]);
    const caller = user(gone, { "x-forwarded-for": "203.0.113.99" });
    assert.equal((await rpc(db, caller, "list_agents")).status, 401);
    const { rows } = await db.pool.query(
      "select user_id from public.security_events where event_type = 'INVALID_TOKEN' and ip_address = '203.0.113.99'",
    );
    assert.deepEqual(rows, [{ user_id: null }]);
  });
});
