// "Security with Supabase" of the Launchpad specification, heading by heading, on the whole stack.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, forgedToken, launched } from "../helpers/agents.ts";
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
  agentId = await launched(stack, owner, { environment: { TOKEN: "a value that is nobody's" } });
});
afterAll(async () => {
  await api(stack, owner, "DELETE", `/agents/${agentId}`);
  await stack.stop();
});

interface Event {
  id: string;
  event_type: string;
  severity: string;
  user_id: string | null;
  agent_id: string | null;
  details: Record<string, unknown>;
  automated_response: unknown;
  ip_address: string | null;
  user_agent: string | null;
}

/** The rows of a kind about a user; waits for what the gateway reports after it has answered. */
async function eventsOf(user: TestUser, type: string, enough: (rows: Event[]) => boolean = () => true) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const rows = await stack.sql<Event & Record<string, unknown>>(
      "select * from public.security_events where user_id = $1 and event_type = $2 order by timestamp",
      [user.id, type],
    );
    if (enough(rows) || Date.now() > deadline) return rows;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const signIn = (email: string, password: string) =>
  stack.fetch("/auth/v1/token?grant_type=password", {
    method: "POST",
    headers: { "content-type": "application/json", "user-agent": "scenario/1" },
    body: JSON.stringify({ email, password }),
  });

describe("Container Security Scan", () => {
  test("POST /api/security/scan/{agentId} answers in the specification's shape, from real checks", async () => {
    const { status, body } = await api(stack, owner, "POST", `/security/scan/${agentId}`);
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body.agentId, agentId);
    assert.equal(body.user_id, owner.id);
    assert.match(body.scanId, /^scan-[a-z2-7]{12}$/);
    assert.equal(body.status, "COMPLETED");
    const { results } = body;
    assert.deepEqual(Object.keys(results.vulnerabilities).sort(), ["critical", "high", "low", "medium"]);
    assert.ok(Array.isArray(results.recommendations));
    assert.deepEqual(results.supabase_compliance, {
      rls_policies_verified: true,
      data_encryption_enabled: true,
      audit_logging_active: true,
    });
    // Not "passed" on account of advisories that nobody could look up.
    if (results.sources.npm_advisories.status === "unavailable") assert.equal(results.passed, false);
    assert.equal(body.security_event_logged, true);
    assert.match(body.scannedAt, instant);
    const counted = Object.values(results.vulnerabilities as Record<string, number>).reduce((a, b) => a + b);
    assert.equal(counted, results.findings.length);
    const [event] = await eventsOf(owner, "SECURITY_SCAN");
    assert.equal(event?.details.scan_id, body.scanId);
    const { data } = await owner.client.from("security_scans").select("id").eq("id", body.scanId);
    assert.deepEqual(data, [{ id: body.scanId }]);
  });

  test("a secret in the definition is found by kind and place, and never repeated", async () => {
    const secret = `AKIA${"ABCDEFGHIJKLMNOP"}`;
    const { body: made } = await api(stack, owner, "POST", "/agents", {
      agentName: "leaky",
      system_prompt: `Use ${secret} to read the bucket.`,
      resources: { memory: "256Mi", cpu: "100m" },
    });
    const { body } = await api(stack, owner, "POST", `/security/scan/${made.agentId}`);
    assert.equal(body.results.passed, false);
    assert.equal(body.results.vulnerabilities.critical, 1);
    const found = body.results.findings.find((f: { check: string }) => f.check === "SECRET_LITERAL");
    assert.equal(found.location, "system_prompt");
    assert.equal(found.severity, "CRITICAL");
    assert.ok(!JSON.stringify(body).includes(secret));
    await api(stack, owner, "DELETE", `/agents/${made.agentId}`);
  });

  test("an operator's setting makes critical findings block the deployment: SECURITY_SCAN_FAILED 422", async () => {
    const strict = await stack.createUser();
    await stack.sql("update public.quotas set block_critical_findings = true where user_id = $1", [
      strict.id,
    ]);
    const { status, body } = await api(stack, strict, "POST", "/agents", {
      agentName: "leaky",
      system_prompt: `sk-${"a1".repeat(12)}`,
    });
    assert.equal(status, 422);
    assert.equal(body.error.code, "SECURITY_SCAN_FAILED");
    assert.equal(body.error.details.critical, 1);
    const { body: list } = await api(stack, strict, "GET", "/agents");
    assert.equal(list.total, 0, "nothing was created");
    const [event] = await eventsOf(strict, "DEPLOYMENT_BLOCKED");
    assert.equal(event?.severity, "HIGH");
  });

  test("a second user, an anonymous caller and a forged token scan nothing", async () => {
    const path = `/security/scan/${agentId}`;
    const foreign = await api(stack, other, "POST", path);
    assert.equal(foreign.status, 404);
    assert.equal(foreign.body.error.code, "AGENT_NOT_FOUND");
    assert.equal((await api(stack, undefined, "POST", path)).status, 401);
    assert.equal((await api(stack, forgedToken(owner), "POST", path)).status, 401);
  });
});

describe("Security Events", () => {
  test("GET /api/security/events: the specification's fields, filters and totals", async () => {
    const { status, body } = await api(stack, owner, "GET", "/security/events?limit=5&severity=low");
    assert.equal(status, 200);
    assert.equal(body.user_id, owner.id);
    assert.ok(body.total >= body.events.length);
    for (const event of body.events) {
      assert.match(event.id, /^event-[a-z2-7]{12}$/);
      assert.equal(event.severity, "LOW");
      assert.equal(event.user_id, owner.id);
      assert.match(event.timestamp, instant);
      for (const field of [
        "agent_id",
        "message",
        "ip_address",
        "user_agent",
        "details",
        "automated_response",
      ])
        assert.ok(field in event, field);
    }
    const scans = await api(stack, owner, "GET", "/security/events?event_type=SECURITY_SCAN");
    assert.ok(scans.body.total >= 1);
    const future = await api(stack, owner, "GET", "/security/events?since=2999-01-01T00:00:00Z");
    assert.equal(future.body.total, 0);
    for (const bad of [
      "limit=0",
      "limit=501",
      "severity=worst",
      "event_type=a%20b",
      "since=yesterday",
      "x=1",
    ]) {
      const { status: refused, body: why } = await api(stack, owner, "GET", `/security/events?${bad}`);
      assert.equal(refused, 400, bad);
      assert.ok(bad.split("=")[0]! in why.error.details, bad);
    }
  });

  test("secret access by the controller is recorded, by name", async () => {
    const [event] = await eventsOf(owner, "SECRET_ACCESS", (rows) => rows.length > 0);
    assert.deepEqual(event?.details.names, ["TOKEN"]);
    assert.equal(event?.agent_id, agentId);
  });

  test("a probe of another user's agent and of none make the same event, for the prober alone", async () => {
    const probe = async (id: string) => {
      const prober = await stack.createUser();
      await api(stack, prober, "GET", `/agents/${id}/status`, undefined, { "user-agent": "probe/1" });
      const [event] = await eventsOf(prober, "AGENT_ACCESS_DENIED");
      assert.ok(event);
      return event;
    };
    const [real, none] = [await probe(agentId), await probe("agent-aaaaaaaaaaaa")];
    assert.equal(real.severity, none.severity);
    assert.deepEqual(Object.keys(real.details).sort(), Object.keys(none.details).sort());
    assert.equal(real.user_agent, "probe/1");
    assert.match(real.ip_address ?? "", /^(127\.0\.0\.1|::1)$/);
    const [owned] = await stack.sql<{ n: number }>(
      "select count(*)::int as n from private.cross_tenant_probes where id in ($1, $2)",
      [real.id, none.id],
    );
    assert.equal(owned?.n, 1, "operators see which was real");
  });

  test("a flood is one row with a count", async () => {
    const prober = await stack.createUser();
    await Promise.all(
      Array.from({ length: 8 }, () => api(stack, prober, "GET", "/agents/agent-none/status")),
    );
    const rows = await eventsOf(prober, "AGENT_ACCESS_DENIED");
    assert.equal(rows.length, 1);
    assert.equal(rows[0]?.details.count, 8);
  });

  test("a missing permission and a row-level security denial are recorded", async () => {
    const reader = await stack.createUser();
    await stack.sql(
      "delete from public.user_permissions where user_id = $1 and permission = 'agents:write'",
      [reader.id],
    );
    const { status } = await api(stack, reader, "POST", "/agents", { agentName: "x" });
    assert.equal(status, 403);
    const [event] = await eventsOf(reader, "PERMISSION_DENIED");
    assert.equal(event?.severity, "MEDIUM");

    const { error } = await other.client.from("agents").insert({ name: "theirs", user_id: owner.id });
    assert.equal(error?.code, "42501");
    const [denied] = await eventsOf(other, "RLS_VIOLATION", (rows) => rows.length > 0);
    assert.equal(denied?.severity, "HIGH");
    assert.equal(denied?.details.path, "/rest/v1/agents");
  });

  test("rate-limit and quota hits are recorded", async () => {
    const busy = await stack.createUser();
    await stack.sql("update public.quotas set max_agents = 0, max_cpu = 0 where user_id = $1", [busy.id]);
    const { status } = await api(stack, busy, "POST", "/agents", { agentName: "x" });
    assert.equal(status, 403);
    const [event] = await eventsOf(busy, "QUOTA_EXCEEDED");
    assert.equal(event?.details.code, "AGENT_LIMIT_REACHED");
  });

  test("what GraphQL and Storage refuse is recorded as what /rest/v1 refuses", async () => {
    const [{ begun } = { begun: "" }] = await stack.sql<{ begun: string }>(
      "select clock_timestamp()::text as begun",
    );
    const user = await stack.createUser();
    const { data } = await user.client.from("agents").insert({ name: "mine" }).select("id").single();
    await stack.sql("update public.quotas set max_agents = 1, max_storage = 0 where user_id = $1", [user.id]);
    const insert = async (token: string | undefined, fields: string) => {
      const response = await stack.fetch("/graphql/v1", {
        method: "POST",
        ...(token === undefined ? {} : { token }),
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          query: `mutation { insertIntoAgentsCollection(objects: [{${fields}}]) { affectedCount } }`,
        }),
      });
      return ((await response.json()) as { errors: { extensions: { code: string } }[] }).errors[0]?.extensions
        .code;
    };
    const files = user.client.storage.from("agent-assets");
    const upload = (path: string) => files.upload(path, "text", { contentType: "text/plain" });
    // A mistake is no refusal; nor is a visitor's or a forger's request a user's.
    assert.equal(await insert(user.token, 'name: ""'), "VALIDATION_ERROR");
    assert.equal(await insert(undefined, 'name: "x"'), "VALIDATION_ERROR");
    assert.equal(await insert(forgedToken(user), 'name: "x"'), "INVALID_JWT_TOKEN");

    assert.equal(await insert(user.token, 'name: "second"'), "AGENT_LIMIT_REACHED");
    assert.notEqual((await upload(`${data?.id}/a`)).error, null);
    const quota = await eventsOf(user, "QUOTA_EXCEEDED", (rows) => Number(rows[0]?.details.count) >= 2);
    assert.deepEqual(
      quota.map(({ severity, details }) => [severity, details.code, details.path, details.count]),
      [["LOW", "AGENT_LIMIT_REACHED", "/graphql/v1", 2]],
    );

    await stack.sql("update public.quotas set max_agents = 2 where user_id = $1", [user.id]);
    assert.equal(await insert(user.token, `name: "theirs", userId: "${owner.id}"`), "RLS_ACCESS_DENIED");
    assert.notEqual((await upload(`${agentId}/a`)).error, null);
    const denied = await eventsOf(user, "RLS_VIOLATION", (rows) => Number(rows[0]?.details.count) >= 2);
    assert.deepEqual(
      denied.map(({ severity, details }) => [severity, details.path, details.count]),
      [["HIGH", "/graphql/v1", 2]],
    );
    const rows = await stack.sql<{ user_id: string; event_type: string }>(
      `select user_id, event_type from public.security_events
        where (details ->> 'path' = '/graphql/v1' or details ->> 'path' like '/storage/%') and "timestamp" >= $1`,
      [begun],
    );
    assert.deepEqual(
      rows.map(({ user_id, event_type }) => [user_id, event_type]).sort(),
      ["FORGED_TOKEN", "QUOTA_EXCEEDED", "RLS_VIOLATION"].map((type) => [user.id, type]),
    );
  });

  test("a forged token is refused, and shown to the account it names, once however often it is sent", async () => {
    const victim = await stack.createUser();
    const forged = forgedToken(victim);
    for (let i = 0; i < 5; i++) {
      assert.equal((await api(stack, forged, "GET", "/agents")).status, 401);
      assert.equal((await stack.fetch("/rest/v1/agents", { token: forged })).status, 401);
    }
    const enough = (rows: Event[]) => Number(rows[0]?.details.count) >= 10;
    const rows = await eventsOf(victim, "FORGED_TOKEN", enough);
    assert.equal(rows.length, 1);
    assert.equal(rows[0]?.severity, "HIGH");
    assert.equal(rows[0]?.details.verified, false);
    assert.equal(rows[0]?.details.count, 10);
    const { body } = await api(stack, victim, "GET", "/security/events?event_type=forged_token");
    assert.equal(body.total, 1);
  });
});

describe("Authentication failures and lockout", () => {
  test("5 failures within 5 minutes lock the sign-in for 15 minutes, even for the right password", async () => {
    const victim = await stack.createUser();
    for (let i = 0; i < 5; i++) assert.equal((await signIn(victim.email, "wrong password")).status, 400);

    const locked = await signIn(victim.email, victim.password);
    assert.equal(locked.status, 429);
    const body = (await locked.json()) as Record<string, unknown>;
    assert.equal(body.error_code, "over_request_rate_limit");
    const wait = Number(locked.headers.get("retry-after"));
    assert.ok(wait > 890 && wait <= 900, String(wait));

    const events = await eventsOf(victim, "AUTH_FAILURE");
    assert.deepEqual(
      events.map((e) => e.severity),
      ["LOW", "LOW", "MEDIUM", "MEDIUM", "HIGH"],
    );
    const last = events[4];
    assert.equal(last?.details.failure_count, 5);
    assert.equal(last?.details.time_window, "5 minutes");
    assert.deepEqual(last?.automated_response, {
      action_taken: "TEMPORARY_LOCKOUT",
      duration: "15 minutes",
    });
    assert.equal(last?.user_agent, "scenario/1");
    assert.match(last?.ip_address ?? "", /^(127\.0\.0\.1|::1)$/);
    assert.equal((await eventsOf(victim, "LOCKED_SIGN_IN")).length, 1);

    // A session from before goes on; the account's owner sees what happened.
    const { body: seen } = await api(stack, victim, "GET", "/security/events?severity=HIGH");
    assert.equal(seen.events[0].event_type, "AUTH_FAILURE");

    // Fifteen minutes pass.
    await stack.sql(
      "update private.sign_in_failures set locked_until = locked_until - interval '15 minutes 1 second' where subject = $1",
      [`user:${victim.id}`],
    );
    assert.equal((await signIn(victim.email, victim.password)).status, 200);
    assert.equal((await signIn(victim.email, "wrong password")).status, 400);
  });

  test("failures further apart than 5 minutes do not lock; a success forgets them", async () => {
    const user = await stack.createUser();
    for (let i = 0; i < 4; i++) await signIn(user.email, "wrong password");
    await stack.sql(
      "update private.sign_in_failures set failed_at = (select array_agg(t - interval '6 minutes') from unnest(failed_at) t) where subject = $1",
      [`user:${user.id}`],
    );
    assert.equal((await signIn(user.email, "wrong password")).status, 400);
    assert.equal((await signIn(user.email, user.password)).status, 200);
    const left = await stack.sql("select 1 from private.sign_in_failures where subject = $1", [
      `user:${user.id}`,
    ]);
    assert.equal(left.length, 0);
  });

  test("twenty attempts at once are not twenty guesses", async () => {
    const victim = await stack.createUser();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => signIn(victim.email, `guess ${i}`)),
    );
    const statuses = answers.map(({ status }) => status).sort();
    assert.deepEqual(statuses, [...Array(5).fill(400), ...Array(15).fill(429)]);
  });

  test("an account that does not exist locks as one that does, and its address is not kept", async () => {
    const email = `nobody-${Date.now()}@example.com`;
    for (let i = 0; i < 5; i++) assert.equal((await signIn(email, "wrong password")).status, 400);
    assert.equal((await signIn(email, "wrong password")).status, 429);
    const rows = await stack.sql("select 1 from public.security_events e where to_jsonb(e)::text like $1", [
      `%${email}%`,
    ]);
    assert.equal(rows.length, 0);
  });
});

describe("Query Security Events from Supabase", () => {
  test("GET /rest/v1/security_events?order=timestamp.desc&limit=50 shows each user the own ones", async () => {
    const path = "/rest/v1/security_events?order=timestamp.desc&limit=50";
    const rows = (await (await stack.fetch(path, { token: owner.token })).json()) as Event[];
    assert.ok(rows.length > 0);
    assert.ok(rows.every((row) => row.user_id === owner.id));
    const foreign = (await (await stack.fetch(path, { token: other.token })).json()) as Event[];
    assert.ok(foreign.every((row) => row.user_id === other.id));
    assert.ok([401, 403].includes((await stack.fetch(path)).status));
    assert.equal((await stack.fetch(path, { token: forgedToken(owner) })).status, 401);
  });

  test("nobody writes, changes or removes an event", async () => {
    const id = (await eventsOf(owner, "SECURITY_SCAN"))[0]?.id ?? "";
    for (const client of [owner.client, stack.client(stack.info.secretKey)]) {
      const insert = await client
        .from("security_events")
        .insert({ event_type: "X", severity: "LOW", message: "x" });
      assert.equal(insert.error?.code, "42501");
      const update = await client.from("security_events").update({ severity: "LOW" }).eq("id", id);
      assert.equal(update.error?.code, "42501");
      const remove = await client.from("security_events").delete().eq("id", id);
      assert.equal(remove.error?.code, "42501");
    }
    await assert.rejects(stack.sql("delete from public.security_events where id = $1", [id]), /append-only/);
    await assert.rejects(
      stack.sql("update public.security_events set severity = 'LOW', message = 'x' where id = $1", [id]),
      /append-only/,
    );
  });
});
