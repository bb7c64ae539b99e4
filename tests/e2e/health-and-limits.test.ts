// A stack of its own: parts are taken away one by one and health says which; limits are the specification's, as they are set.
import assert from "node:assert/strict";
import pg from "pg";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, launched } from "../helpers/agents.ts";
import { eventually, tree } from "../helpers/processes.ts";
import { canListProcesses } from "../helpers/replicas.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack({ env: {} });
});
afterAll(() => stack.stop());

const HOUR = 3600;

describe("rate limits, as they are set by default", () => {
  /** Runs a test as a new user; once more where a window ended meanwhile: it saw two budgets. */
  const inOneWindow = async (act: (user: TestUser) => Promise<void>, window = 60) => {
    const count = () => Math.floor(Date.now() / 1000 / window);
    for (let tries = 1; ; tries += 1) {
      const before = count();
      const failed = await stack
        .createUser()
        .then(act)
        .then(
          () => undefined,
          (error: unknown) => ({ error }),
        );
      if (failed === undefined) return;
      if (count() === before || tries === 5) throw failed.error;
    }
  };

  test("burst: 20 requests a minute of /api, then 429 with the documented headers and body", async () => {
    // The seed of the embedded stack raises both.
    await stack.sql(
      "update public.rate_limits set max_requests = max_requests / 30 where bucket like 'api%'",
    );
    await inOneWindow(async (user) => {
      for (let i = 19; i >= 0; i--) {
        const { status, headers } = await api(stack, user, "GET", "/agents");
        assert.equal(status, 200);
        assert.equal(headers.get("x-ratelimit-limit"), "100");
        assert.equal(headers.get("x-ratelimit-remaining"), String(80 + i));
        assert.ok(Number(headers.get("x-ratelimit-reset")) * 1000 > Date.now());
        assert.ok(Number(headers.get("supabase-ratelimit-remaining")) <= 1000);
        assert.equal(headers.get("supabase-auth-rate-limit"), "29", "the sign-up was one of 30");
      }
      const { status, headers, body } = await api(stack, user, "GET", "/agents");
      assert.equal(status, 429);
      assert.ok(Number(headers.get("retry-after")) >= 1);
      assert.equal(body.error.code, "RATE_LIMIT_EXCEEDED");
      assert.equal(body.error.message, "Rate limit exceeded");
      assert.equal(body.error.details.limit_type, "api_burst");
      assert.equal(body.error.details.user_id, user.id);
      assert.match(body.error.details.reset_time, /^\d{4}-.*Z$/);
    });
  });

  /** The direct queries of a user that SQL has counted in this minute. */
  const counted = async (user: TestUser) => {
    const [row] = await stack.sql<{ used: number }>(
      "select used from private.rate_counters where user_id = $1 and bucket = 'rest_writes'",
      [user.id],
    );
    return row?.used;
  };

  test("1000 direct queries a minute: reads at the gateway, writes in SQL, one budget", () =>
    inOneWindow(async (user) => {
      await stack.sql("update public.rate_limits set max_requests = 30 where bucket = 'rest_writes'");
      const read = () => stack.fetch("/rest/v1/agents?limit=1", { token: user.token });
      for (let i = 0; i < 10; i++) assert.equal((await read()).status, 200);
      await eventually("the gateway told SQL of ten reads", async () => (await counted(user)) === 10);
      const write = (n: number) =>
        stack.fetch("/rest/v1/agents", {
          token: user.token,
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ name: `agent ${n}` }),
        });
      const first = await write(0);
      assert.equal(first.status, 201);
      assert.equal(first.headers.get("supabase-ratelimit-remaining"), "19", "ten reads and this write");
      for (let n = 1; n <= 19; n++) assert.equal((await write(n)).status, 201);
      const refused = await write(20);
      assert.equal(refused.status, 429);
      const body = (await refused.json()) as { code: string; details: string };
      assert.equal(body.code, "RATE_LIMIT_EXCEEDED");
      assert.equal(JSON.parse(body.details).limit_type, "supabase_queries");
      assert.ok(Number(refused.headers.get("retry-after")) >= 1);
      assert.equal(refused.headers.get("x-ratelimit-remaining"), "0");
      // The gateway's next answer from SQL brings the writes: reads are refused too, until the operator raises the limit.
      const late = await eventually("reads are refused", async () => {
        const answer = await read();
        return answer.status === 429 ? answer : undefined;
      });
      assert.equal(((await late.json()) as { code: string }).code, "RATE_LIMIT_EXCEEDED");
      assert.equal(late.headers.get("access-control-allow-origin"), "*");
      await stack.sql("update public.rate_limits set max_requests = 1000 where bucket = 'rest_writes'");
      await eventually("reads are answered again", async () => (await read()).status === 200);
      assert.equal((await write(21)).status, 201);
    }));

  test("auth: 30 requests an hour for an address, in Auth's own form", () =>
    inOneWindow(async (user) => {
      // The sign-up was one of the 30.
      const ask = () =>
        stack.fetch("/auth/v1/otp", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ email: user.email }),
        });
      for (let left = 28; left >= 0; left--) {
        const answer = await ask();
        assert.equal(answer.status, 200);
        assert.equal(answer.headers.get("supabase-auth-rate-limit"), String(left));
      }
      const refused = await ask();
      assert.equal(refused.status, 429);
      assert.equal(((await refused.json()) as { error_code: string }).error_code, "over_request_rate_limit");
      const { error } = await stack
        .client()
        .auth.signInWithPassword({ email: user.email, password: user.password });
      assert.equal(error?.code, "over_request_rate_limit");
      const { headers } = await api(stack, user, "GET", "/agents");
      assert.equal(headers.get("supabase-auth-rate-limit"), "0");
      await stack.createUser(); // another address is not concerned
    }, HOUR));

  test("a change or deletion without a filter is refused as hosted does", async () => {
    const user = await stack.createUser();
    for (const [method, verb] of [
      ["PATCH", "UPDATE"],
      ["DELETE", "DELETE"],
    ]) {
      for (const key of [stack.info.publishableKey, stack.info.secretKey]) {
        const answer = await stack.fetch("/rest/v1/agents?select=id", {
          method: method ?? "",
          key,
          ...(key === stack.info.secretKey ? {} : { token: user.token }),
          headers: { "content-type": "application/json" },
          body: method === "PATCH" ? '{"name":"x"}' : null,
        });
        assert.equal(answer.status, 400);
        assert.deepEqual(await answer.json(), {
          code: "21000",
          details: null,
          hint: null,
          message: `${verb} requires a WHERE clause`,
        });
      }
    }
  });
});

describe("health while parts are down", { skip: !canListProcesses }, () => {
  let user: TestUser;
  const read = async () => (await api(stack, user, "GET", "/health")).body;

  /** Asks until health is as wanted; gives the answer. */
  // biome-ignore lint/suspicious/noExplicitAny: bodies are judged field by field
  async function until(wanted: (health: any) => boolean): Promise<any> {
    let health: unknown;
    const look = async () => {
      health = await read();
      return wanted(health);
    };
    await eventually("health is as wanted", look).catch(() => assert.fail(JSON.stringify(health)));
    return health;
  }

  const pidOf = (part: string) =>
    tree(stack.process?.pid ?? 0).find(({ command }) => command.includes(part))?.pid ?? assert.fail(part);

  beforeAll(async () => {
    await stack.raiseRateLimits();
    user = await stack.createUser();
    await launched(stack, user, { resources: { memory: "128Mi", cpu: "50m" } });
    await until((health) => health.status === "HEALTHY");
  });

  test("the controller hangs: kubernetes is UNAVAILABLE, nothing else, and health still answers", async () => {
    const pid = pidOf("packages/controller/src/main.ts");
    process.kill(pid, "SIGSTOP"); // silent, and not started again: the supervisor sees a living process
    try {
      const { components, status } = await until(({ status }) => status === "DEGRADED");
      assert.equal(status, "DEGRADED");
      assert.equal(components.kubernetes.status, "UNAVAILABLE");
      assert.equal(components.supabase.status, "HEALTHY");
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await until((health) => health.status === "HEALTHY");
  });

  test("the edge functions hang: they alone are UNAVAILABLE, as the database tells", async () => {
    const pid = pidOf("supabase/functions/api/index.ts");
    process.kill(pid, "SIGSTOP");
    try {
      const seen = await eventually("the edge functions are UNAVAILABLE", async () => {
        const answer = await stack.fetch("/rest/v1/rpc/health_check", { token: user.token });
        const { supabase_health: seen } = (await answer.json()) as {
          supabase_health: Record<string, string>;
        };
        return seen.edge_functions === "UNAVAILABLE" ? seen : undefined;
      });
      assert.deepEqual([seen.database, seen.auth, seen.realtime], ["HEALTHY", "HEALTHY", "HEALTHY"]);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await until((health) => health.status === "HEALTHY");
  });

  test("whoever tells of the platform's parts falls silent: each is UNAVAILABLE", async () => {
    const client = new pg.Client({ connectionString: stack.info.dbUrl });
    await client.connect();
    try {
      // Readers pass, the pulse waits.
      await client.query("begin; lock table private.platform_parts in share row exclusive mode");
      const { components } = await until((health) => health.status === "DEGRADED");
      for (const part of ["auth", "storage", "realtime", "edge_functions"]) {
        assert.equal(components.supabase[part].status, "UNAVAILABLE", part);
      }
      assert.equal(components.supabase.database.status, "HEALTHY");
      assert.equal(components.kubernetes.status, "HEALTHY");
    } finally {
      await client.end();
    }
    await until((health) => health.status === "HEALTHY");
  });

  test("a table without row-level security shows in both health checks at once", async () => {
    await stack.sql("create table public.bare (id int)");
    const { components } = await read();
    assert.deepEqual(
      [components.supabase.database.status, components.supabase.database.rls_active],
      ["DEGRADED", false],
    );
    const checked = await stack.fetch("/rest/v1/rpc/check_rls_policies", { token: user.token });
    assert.equal(((await checked.json()) as { user_isolation: string }).user_isolation, "COMPROMISED");
    await stack.sql("drop table public.bare");
    await until((health) => health.status === "HEALTHY");
  });

  test("warm, /api/health costs less than four reads of agents", async () => {
    const timed = async (path: string) => {
      const began = performance.now();
      await api(stack, user, "GET", path);
      return performance.now() - began;
    };
    // In pairs: a test shares the machine with others.
    const ratios: number[] = [];
    for (let i = 0; i < 66; i++) ratios.push((await timed("/health")) / (await timed("/agents")));
    const median = ratios.sort((a, b) => a - b)[33] ?? 0;
    assert.ok(median < 4, `${median.toFixed(2)} times`);
  });
});
