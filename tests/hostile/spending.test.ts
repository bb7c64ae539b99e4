// H5: nobody spends more than a cap or a budget leaves, by no door and however many ask at once; what a killed runtime or a
// caller who hung up used is counted; nobody reserves or settles for an agent that is not theirs. A stack of its own, because
// the provider stub's address stands in its environment.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, test } from "vitest";
import { launched } from "../helpers/agents.ts";
import { eventually } from "../helpers/processes.ts";
import { echo, type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { canListProcesses, replicas } from "../helpers/replicas.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

/** What the stub says that each call used. */
const PER_CALL = 18;

let stub: ProviderStub;
let stack: TestStack;
let alice: TestUser;
let bob: TestUser;
let agentId: string;

const api = async (path: string, method = "GET", body?: unknown, user = alice) => {
  const response = await stack.fetch(`/api${path}`, {
    method,
    token: user.token,
    ...(body !== undefined && {
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: a JSON body whose shape the test asserts
  return { status: response.status, body: (await response.json()) as any };
};
const say = async (text: string, more: Record<string, unknown> = {}, signal?: AbortSignal) => {
  const { status, body } = await stack.agentFetch(agentId, "/message", {
    method: "POST",
    token: alice.token,
    body: JSON.stringify({ text, ...more }),
    ...(signal !== undefined && { signal }),
  });
  return { status, body: JSON.parse(body) };
};
const cap = (tokens: number | null) =>
  stack.sql("update public.agents set max_tokens_per_day = $2 where id = $1", [agentId, tokens]);
const counted = async () => {
  const [row] = await stack.sql<{ tokens: number; answers: number }>(
    `select coalesce(sum(input_tokens + output_tokens), 0)::int as tokens, coalesce(sum(answers), 0)::int as answers
     from public.usage_daily where agent_id = $1`,
    [agentId],
  );
  return row ?? { tokens: 0, answers: 0 };
};
const open = async () =>
  (
    await stack.sql("select id from private.reservations where agent_id = $1 and closed_at is null", [
      agentId,
    ])
  ).length;
const quiet = () => eventually("everything is settled", async () => (await open()) === 0);

beforeAll(async () => {
  stub = await startProviderStub();
  stack = await startTestStack({ env: stub.environment });
  await stack.raiseRateLimits();
  [alice, bob] = await Promise.all([stack.createUser(), stack.createUser()]);
  agentId = await launched(stack, alice, {
    agentName: "Spender",
    model: "gpt-4o",
    settings: { max_tokens: 300 },
  });
});
beforeEach(async () => {
  await cap(null);
  await stack.sql("delete from public.budgets");
  await stack.sql("delete from private.reservations");
  await stack.sql("delete from public.usage_daily");
  stub.answer = echo;
  stub.requests.length = 0;
});
afterAll(async () => {
  await stack.stop();
  await stub.close();
});

test("a cap of 1,000 tokens holds at the agent's address, however many ask at once", async () => {
  await cap(1_000);
  const statuses = new Map<number, number>();
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      for (let n = 0; n < 20; n++) {
        const { status } = await say("spend");
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    }),
  );
  await quiet();
  const { tokens, answers } = await counted();
  assert.ok(tokens <= 1_000, `${tokens} tokens were counted`);
  assert.ok(stub.requests.length * PER_CALL <= 1_000, `the provider was asked ${stub.requests.length} times`);
  assert.deepEqual([tokens, answers], [stub.requests.length * PER_CALL, statuses.get(200)], "each once");
  assert.ok((statuses.get(429) ?? 0) > 100, JSON.stringify([...statuses]));
});

test("a budget refuses with 402 at the address, holds back what is asked by rows, and both go on when it is raised", async () => {
  const put = (limitMicros: number) =>
    api("/budgets", "PUT", { scope: "user", period: "month", limitMicros, action: "pause" });
  const made = await put(100);
  assert.equal(made.status, 200, JSON.stringify(made.body));
  const refused = await say("spend");
  assert.deepEqual([refused.status, refused.body.error.code], [402, "BUDGET_EXHAUSTED"]);
  const { data, error } = await alice.client
    .from("messages")
    .insert({ to_agent_id: agentId, content: "later" })
    .select("id")
    .single();
  assert.equal(error, null);
  const answer = async () =>
    (await alice.client.from("messages").select("status, content").eq("reply_to", data?.id)).data?.[0];
  await eventually(
    "it waits for the budget",
    async () =>
      (await stack.sql("select from private.reply_jobs where last_error like 'BUDGET_EXHAUSTED%'")).length ===
      1,
  );
  assert.equal(await answer(), undefined);
  assert.equal(stub.requests.length, 0);
  const reached = await stack.sql(
    "select from public.agent_events where agent_id = $1 and event_type = 'BUDGET_REACHED'",
    [agentId],
  );
  assert.equal(reached.length, 1, "told once, by whichever door");

  assert.equal((await put(10_000_000)).body.id, made.body.id);
  assert.equal((await eventually("the answer", answer)).status, "complete");
  assert.equal((await say("spend")).status, 200);
  await quiet();
  const { body } = await api("/usage?groupBy=agent,source");
  assert.deepEqual(
    body.items.map((item: Record<string, unknown>) => [
      item.agentId,
      item.source,
      item.answers,
      item.inputTokens,
    ]),
    [
      [agentId, "address", 1, 11],
      [agentId, "message", 1, 11],
    ],
  );
  assert.equal(
    body.total.costMicros,
    2 * (28 + 70),
    "11 in at $2.50 and 7 out at $10 a million, each rounded up",
  );
});

test("another user has neither the budget nor the usage, and cannot limit the agent", async () => {
  const { body } = await api("/budgets", "PUT", {
    scope: "user",
    period: "day",
    limitMicros: 5,
    action: "pause",
  });
  assert.equal((await api(`/budgets/${body.id}`, "DELETE", undefined, bob)).status, 404);
  const theirs = { scope: "agent", agentId, period: "day", limitMicros: 0, action: "pause" };
  assert.equal((await api("/budgets", "PUT", theirs, bob)).status, 404);
  assert.deepEqual((await api("/budgets", "GET", undefined, bob)).body, {
    budgets: [],
    total: 0,
    nextCursor: null,
  });
  const rows = await bob.client.from("budgets").select();
  assert.deepEqual(rows.data, []);
  assert.ok((await alice.client.from("budgets").update({ limit_micros: 1e9 }).eq("id", body.id)).error);
  assert.ok((await alice.client.from("usage_daily").delete().eq("agent_id", agentId)).error);
  assert.ok(
    (await alice.client.from("model_prices").update({ input_micros_per_million: 0 }).eq("model", "gpt-4o"))
      .error,
  );
  assert.equal((await fetch(`${stack.info.apiUrl}/api/budgets`)).status, 401);
});

test("nobody reserves or settles for an agent without its runtime's credential", async () => {
  const { status } = await say("spend");
  assert.equal(status, 200);
  await quiet();
  const [one] = await stack.sql<{ id: string }>("select id from private.reservations where agent_id = $1", [
    agentId,
  ]);
  const call = { id: randomUUID(), source: "address", inputTokens: 1, outputTokens: 1, leaseSeconds: 60 };
  const before = await counted();
  for (const [token, expected] of [
    [undefined, 403],
    [bob.token, 403],
    [alice.token, 403],
  ] as const) {
    for (const [name, args] of [
      ["reserve_model_call", { call }],
      ["settle_model_calls", { settled: [{ id: one?.id, inputTokens: 0, outputTokens: 0 }] }],
    ] as const) {
      const response = await stack.fetch(`/rest/v1/rpc/${name}`, {
        method: "POST",
        ...(token !== undefined && { token }),
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ agent_id: agentId, credential: "0".repeat(64), ...args }),
      });
      assert.equal(response.status, token === undefined ? expected : response.status);
      assert.ok(response.status >= 401 && response.status <= 404, `${name}: ${response.status}`);
    }
  }
  assert.deepEqual(await counted(), before);
  const forged = await say("spend", {
    reservation: { id: randomUUID(), inputTokens: 1e6, outputTokens: 1e6 },
  });
  assert.deepEqual([forged.status, forged.body.error.code], [403, "FORBIDDEN"]);
});

test("a caller who hangs up pays for what was begun", async () => {
  const gate = Promise.withResolvers<void>();
  stub.answer = async (asked) => {
    await gate.promise;
    return await echo(asked);
  };
  const gone = new AbortController();
  const asking = say("a question of some length", {}, gone.signal).catch(() => undefined);
  await eventually("the provider is asked", () => stub.requests.length === 1);
  gone.abort();
  await asking;
  const { tokens, answers } = await eventually("it is counted", async () => {
    const now = await counted();
    return now.tokens > 0 ? now : undefined;
  });
  gate.resolve();
  assert.ok(tokens > 10, `${tokens}`);
  assert.equal(answers, 0);
});

test("a runtime killed while its provider answers loses nothing and doubles nothing", {
  skip: !canListProcesses,
}, async () => {
  const gate = Promise.withResolvers<void>();
  stub.answer = async (asked) => {
    await gate.promise;
    return await echo(asked);
  };
  const asking = say("never answered").catch(() => undefined);
  await eventually("the provider is asked", () => stub.requests.length === 1);
  const victim = replicas(stack.process?.pid ?? 0).find((replica) => replica.agentId === agentId);
  assert.ok(victim);
  process.kill(victim.pid, "SIGKILL");
  gate.resolve();
  await asking;
  const [held] = await stack.sql<{ tokens: number; leases: number }>(
    `select sum(input_tokens + output_tokens)::int as tokens, count(*)::int as leases from private.reservations
     where agent_id = $1 and closed_at is null`,
    [agentId],
  );
  assert.ok(held !== undefined && held.leases >= 1);
  assert.equal((await counted()).tokens, 0, "nothing is counted while the lease runs");
  await stack.sql(
    "update private.reservations set lease_expires_at = now() - interval '1 second' where agent_id = $1",
    [agentId],
  );
  stub.answer = echo;
  await eventually("it is counted in full, once", async () => (await counted()).tokens >= held.tokens);
  assert.equal((await counted()).tokens, held.tokens);
  await eventually(
    "the next replica answers",
    async () => (await say("hello").catch(() => ({ status: 0 }))).status === 200,
  );
});

test("where the project cannot reserve, no model is called", async () => {
  await stack.sql(
    "revoke execute on function public.reserve_model_call(text, text, jsonb, jsonb, jsonb) from anon",
  );
  try {
    // What was reserved ahead may still be used: it is counted.
    await eventually("the door closes", async () => (await say("spend")).status === 503);
    const before = stub.requests.length;
    const { status, body } = await say("spend");
    assert.deepEqual([status, body.error.code], [503, "SUPABASE_CONNECTION_ERROR"]);
    assert.equal(stub.requests.length, before);
  } finally {
    await stack.sql(
      "grant execute on function public.reserve_model_call(text, text, jsonb, jsonb, jsonb) to anon",
    );
  }
  await eventually("and opens again", async () => (await say("spend")).status === 200);
});
