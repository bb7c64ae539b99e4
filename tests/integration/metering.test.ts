// Metering on a real Postgres: reserve and settle, caps and budgets under concurrency, leases, prices, who may call what.
import assert from "node:assert/strict";
import { createHmac, randomInt, randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { codeOf, people, responder } from "../helpers/answering.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

const SECRET = "a secret of respond for these tests";

let db: TestDatabase;
let alice: string;
const { agent: anyAgent, say } = people(
  () => db,
  () => alice,
);
/** On a model whose price these tests know. */
const agent: typeof anyAgent = (name, more, as) => anyAgent(name, { model: "gpt-4o", ...more }, as);
const { claim, finish, fail } = responder(() => db);

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  await db.pool.query("select private.connect_functions('http://127.0.0.1:1/functions/v1', $1)", [SECRET]);
});
beforeEach(async () => {
  alice = await createUser(db);
  await db.pool.query("delete from private.reply_jobs");
});
afterAll(() => db.destroy());

const sql = async (text: string, values: unknown[] = []) => (await db.pool.query(text, values)).rows;

/** What the runtime of an agent proves itself with. */
const credentialOf = (agentId: string) => {
  const key = createHmac("sha256", SECRET).update(`messages of ${agentId}`).digest("hex");
  return createHmac("sha256", key).update("runtime").digest("hex");
};
interface Call {
  id?: string;
  source?: string;
  model?: string;
  inputTokens?: number;
  outputTokens?: number;
  leaseSeconds?: number;
  spare?: boolean;
  parent?: string;
}
const reserve = async (agentId: string, call: Call = {}, settled: unknown[] = []) =>
  rpc(db, anon, "reserve_model_call", {
    agent_id: agentId,
    credential: credentialOf(agentId),
    call: {
      id: randomUUID(),
      source: "address",
      inputTokens: 100,
      outputTokens: 100,
      leaseSeconds: 60,
      ...call,
    },
    settled,
  });
const settle = async (agentId: string, ...settled: unknown[]) =>
  rpc(db, anon, "settle_model_calls", {
    agent_id: agentId,
    credential: credentialOf(agentId),
    settled,
  });
const usage = (of = alice) =>
  sql(
    `select source, model, answers, input_tokens::int as input, cached_input_tokens::int as cached,
       output_tokens::int as output, cost_micros::int as cost from public.usage_daily where user_id = $1 order by source, model`,
    [of],
  );
const cap = (tokens: number) =>
  sql("update public.quotas set max_tokens_per_day = $2 where user_id = $1", [alice, tokens]);
const lapse = () =>
  sql("update private.reservations set lease_expires_at = now() - interval '1 second' where user_id = $1", [
    alice,
  ]);
const events = async (agentId: string) =>
  (
    await sql(
      "select event_type from public.agent_events where agent_id = $1 and event_type like 'BUDGET%' order by seq",
      [agentId],
    )
  ).map((row) => row.event_type);
const budget = (body: Record<string, unknown>, as = alice) =>
  rpc(db, user(as), "put_budget", { budget: { scope: "user", period: "day", action: "pause", ...body } });

describe("a reservation", () => {
  test("counts what was used, once, with the price of its moment", async () => {
    const bot = await agent("Bot");
    const { body } = await reserve(bot);
    assert.deepEqual([body.inputTokens, body.outputTokens], [100, 100]);
    await sql(
      `insert into public.model_prices (framework, model, input_micros_per_million, output_micros_per_million, cached_input_micros_per_million)
       values ('openai', 'gpt-4o', 99000000, 99000000, 99000000)`,
    );
    try {
      const used = { id: body.id, inputTokens: 80, cachedInputTokens: 40, outputTokens: 20, answered: true };
      assert.equal((await settle(bot, used)).body.settled, 1);
      assert.equal((await settle(bot, used)).body.settled, 0, "the second settle changes nothing");
      assert.equal((await settle(bot, { ...used, outputTokens: 1 })).body.settled, 0);
      // 40 at $2.50, 40 cached at $1.25, 20 of output at $10 a million.
      const row = { source: "address", model: "gpt-4o", answers: 1, input: 80, cached: 40, output: 20 };
      assert.deepEqual(await usage(), [{ ...row, cost: 350 }]);
      const next = (await reserve(bot)).body;
      await settle(bot, { id: next.id, inputTokens: 1, outputTokens: 0 });
      assert.equal((await usage())[0].cost, 350 + 99, "the next call costs the new price");
    } finally {
      await sql("delete from public.model_prices where input_micros_per_million = 99000000");
    }
  });

  test("of the same id is the same, and of a closed one is refused", async () => {
    const bot = await agent("Bot");
    const id = randomUUID();
    await reserve(bot, { id });
    assert.equal((await reserve(bot, { id })).body.id, id);
    assert.equal((await sql("select from private.reservations where user_id = $1", [alice])).length, 1);
    await settle(bot, { id, unused: true });
    assert.deepEqual(await usage(), []);
    const again = await reserve(bot, { id });
    assert.deepEqual([again.status, again.body.code], [409, "CONFLICT"]);
  });

  test("whose lease is over counts in full: by the next reserve, or by the sweep; a late settle changes nothing", async () => {
    const bot = await agent("Bot");
    const first = (await reserve(bot)).body;
    await lapse();
    await reserve(bot, { inputTokens: 1, outputTokens: 1 });
    assert.deepEqual(
      (await usage()).map((row) => [row.input, row.output]),
      [[100, 100]],
    );
    assert.equal((await settle(bot, { id: first.id, inputTokens: 1, outputTokens: 1 })).body.settled, 0);
    await lapse();
    await sql("select private.sweep_reservations()");
    await sql("select private.sweep_reservations()");
    assert.deepEqual(
      (await usage()).map((row) => [row.input, row.output]),
      [[101, 101]],
    );
  });

  test("counts to the day it was made, whatever the clock of who settles", async () => {
    const bot = await agent("Bot");
    const { body } = await reserve(bot);
    await sql("update private.reservations set day = day - 1 where id = $1", [body.id]);
    await cap(210);
    assert.equal((await reserve(bot)).body.outputTokens, 100, "yesterday's call is not of today's cap");
    await settle(bot, { id: body.id, inputTokens: 10, outputTokens: 10, at: "2001-01-01T00:00:00Z" });
    const [row] = await sql(
      "select day = (now() at time zone 'UTC')::date - 1 as yesterday from public.usage_daily where user_id = $1",
      [alice],
    );
    assert.equal(row.yesterday, true);
  });

  test("gets less output where a cap leaves less, waits for calls under way, and is refused when it is used up", async () => {
    const bot = await agent("Bot");
    await cap(1000);
    const first = (await reserve(bot, { inputTokens: 200, outputTokens: 4096 })).body;
    assert.equal(first.outputTokens, 800);
    const beside = await reserve(bot, { inputTokens: 200, outputTokens: 4096 });
    assert.deepEqual([beside.status, beside.headers["retry-after"]], [429, "1"]);
    await settle(bot, { id: first.id, inputTokens: 150, outputTokens: 250 });
    const second = (await reserve(bot, { inputTokens: 200, outputTokens: 4096 })).body;
    assert.equal(second.outputTokens, 400);
    await settle(bot, { id: second.id, inputTokens: 200, outputTokens: 400 });
    const third = await reserve(bot, { inputTokens: 1, outputTokens: 1 });
    assert.deepEqual([third.status, third.body.code], [429, "RESOURCE_LIMIT_EXCEEDED"]);
    assert.match(third.body.message, /The daily limit of 1000 tokens is used up/);
    assert.ok(Number(third.headers["retry-after"]) <= 86400);
  });

  test("that is spare is granted only far from every limit", async () => {
    const bot = await agent("Bot");
    await cap(1000);
    assert.equal((await reserve(bot, { spare: true })).status, 200);
    assert.equal((await reserve(bot, { spare: true, outputTokens: 300 })).status, 429);
    await cap(100000);
    assert.equal((await budget({ limitMicros: 3000 })).status, 200);
    // 100 tokens in and 100 out cost 1250.
    assert.equal((await reserve(bot, { spare: true })).status, 402);
    assert.equal((await reserve(bot)).status, 200);
  });
});

describe("a runtime", () => {
  test("without its agent's credential is refused, and learns nothing of which agents exist", async () => {
    const bot = await agent("Bot");
    const bob = await createUser(db);
    const bobs = await agent("Bob's", {}, bob);
    const call = { id: randomUUID(), source: "address", inputTokens: 1, outputTokens: 1, leaseSeconds: 60 };
    const answers = [];
    for (const [agent_id, credential] of [
      [bot, credentialOf(bobs)],
      [bot, "0".repeat(64)],
      [bot, null],
      ["no-such-agent", credentialOf("no-such-agent")],
      ["no-such-agent", "0".repeat(64)],
    ]) {
      for (const name of ["reserve_model_call", "settle_model_calls"]) {
        const more = name === "reserve_model_call" ? { call } : {};
        const { status, body } = await rpc(db, anon, name, { agent_id, credential, settled: [], ...more });
        answers.push(JSON.stringify([status, body.code, body.message]));
      }
    }
    assert.equal(new Set(answers).size, 1);
    assert.match(answers[0] ?? "", /403,"INSUFFICIENT_PERMISSIONS"/);
    assert.deepEqual(
      await sql("select from private.reservations where user_id = any ($1)", [[alice, bob]]),
      [],
    );
  });

  test("cannot settle another agent's reservation, nor continue its answer", async () => {
    const bot = await agent("Bot");
    const bob = await createUser(db);
    const bobs = await agent("Bob's", {}, bob);
    const { body } = await reserve(bot);
    assert.equal((await settle(bobs, { id: body.id, inputTokens: 0, outputTokens: 0 })).body.settled, 0);
    assert.equal((await reserve(bobs, { id: body.id })).status, 409);
    await reserve(bobs, { parent: body.id });
    assert.deepEqual(
      await sql("select from private.reservations where job_id is not null and user_id = $1", [bob]),
      [],
    );
  });

  test("is told which field is wrong; a count below nothing is nothing", async () => {
    const bot = await agent("Bot");
    const wrong = await reserve(
      bot,
      { id: "x", source: "elsewhere", inputTokens: -1, leaseSeconds: 99999 },
      [],
    );
    assert.equal(wrong.status, 400);
    const bad = await reserve(bot, { source: "elsewhere", inputTokens: -1, leaseSeconds: 99999 });
    assert.deepEqual(Object.keys(JSON.parse(bad.body.details)).sort(), [
      "call.inputTokens",
      "call.leaseSeconds",
      "call.source",
    ]);
    const { body } = await reserve(bot);
    assert.equal((await settle(bot, { id: body.id, inputTokens: -5, outputTokens: "many" })).body.settled, 1);
    assert.deepEqual(await usage(), []);
  });

  test("that names a cheaper model pays the price of its agent's own", async () => {
    const bot = await agent("Bot", { model: "gpt-4o" });
    const { body } = await reserve(bot, { model: "gpt-4.1-nano" });
    await settle(bot, { id: body.id, inputTokens: 100, outputTokens: 0 });
    assert.deepEqual([(await usage())[0].model, (await usage())[0].cost], ["gpt-4.1-nano", 250]);
  });

  test("that says its answer cost nothing is counted by the words of question and answer", async () => {
    const bot = await agent("Bot");
    await say({ agent: bot }, "x".repeat(800));
    const [job] = await claim();
    await settle(bot, { id: job.reservation.id, inputTokens: 0, outputTokens: 0 });
    await finish(job, "y".repeat(1600), { settled: [] });
    const [row] = await usage();
    assert.deepEqual([row.answers, row.input, row.output], [1, 100, 200]);
  });

  test("that settles after its answer is stored cannot go below those words; one that never does pays all", async () => {
    const bot = await agent("Bot");
    await say({ agent: bot }, "x".repeat(800));
    const [job] = await claim();
    await finish(job, "y".repeat(1600), { settled: [] });
    await settle(bot, { id: job.reservation.id, unused: true });
    assert.deepEqual(
      (await usage()).map((row) => [row.answers, row.input, row.output]),
      [[1, 100, 200]],
    );

    await say({ agent: bot, conversation: randomUUID() }, "again");
    const [second] = await claim();
    await finish(second, "yes", { settled: [] });
    const [{ soon }] = await sql(
      "select lease_expires_at <= now() + interval '1 minute' as soon from private.reservations where id = $1",
      [second.reservation.id],
    );
    assert.equal(soon, true);
    await lapse();
    await sql("select private.sweep_reservations()");
    assert.equal((await usage())[0].output, 200 + second.reservation.outputTokens);
  });
});

describe("an answer of respond", () => {
  test("is reserved by its claim; a worker that dies pays its reservation, and the next attempt its own", async () => {
    const bot = await agent("Bot", { settings: { max_tokens: 500 } });
    await say({ agent: bot });
    const [lost] = await claim();
    assert.equal(lost.reservation.outputTokens, 500);
    await sql(
      "update private.reply_jobs set lease_expires_at = now() - interval '1 second' where state = 'running'",
    );
    const [job] = await claim();
    assert.notEqual(job.reservation.id, lost.reservation.id);
    assert.equal((await finish(lost)).accepted, false);
    await finish(job);
    await finish(job);
    const [row] = await usage();
    assert.deepEqual(row, {
      source: "message",
      model: "gpt-4o",
      answers: 1,
      input: lost.reservation.inputTokens + 10,
      cached: 0,
      output: 505,
      cost: row.cost,
    });
    assert.deepEqual(
      await sql("select from private.reservations where user_id = $1 and closed_at is null", [alice]),
      [],
    );
  });

  test("of several calls settles each", async () => {
    const bot = await agent("Bot");
    await say({ agent: bot });
    const [job] = await claim();
    const next = await reserve(bot, { source: "message", parent: job.reservation.id }, [
      { id: job.reservation.id, inputTokens: 50, outputTokens: 5 },
    ]);
    await finish(job, "ok", {
      settled: [{ id: next.body.id, inputTokens: 60, outputTokens: 6, cachedInputTokens: 9 }],
    });
    assert.deepEqual(
      (await usage()).map((row) => [row.answers, row.input, row.cached, row.output]),
      [[1, 110, 9, 11]],
    );
  });

  test("that is deleted on the way counts in full within a minute", async () => {
    const bot = await agent("Bot", { settings: { max_tokens: 10 } });
    const { id } = await say({ agent: bot });
    const [job] = await claim();
    await sql("delete from public.messages where id = $1", [id]);
    await lapse();
    await sql("select private.sweep_reservations()");
    assert.deepEqual(
      (await usage()).map((row) => row.output),
      [10],
    );
    assert.equal((await finish(job)).accepted, false);
  });

  test("in eight claims at the same moment stays within the cap", async () => {
    const bots = await Promise.all(
      ["A", "B", "C", "D"].map((name) => agent(name, { settings: { max_tokens: 100 } })),
    );
    await cap(321 * 3);
    for (const bot of [...bots, ...bots, ...bots]) await say({ agent: bot });
    const jobs = (await Promise.all(Array.from({ length: 8 }, () => claim({ max_count: 3 })))).flat();
    assert.equal(jobs.length, 3);
    const [{ held }] = await sql(
      "select sum(input_tokens + output_tokens)::int as held from private.reservations where user_id = $1",
      [alice],
    );
    assert.equal(held, 321 * 3);
  });
});

describe("a budget", () => {
  test("holds answers back, tells it once, and raising it resumes them", async () => {
    const bot = await agent("Bot", { settings: { max_tokens: 300 } });
    // One answer reserves about 221 in and 300 out: $0.003553.
    const made = await budget({ limitMicros: 4000 });
    assert.equal(made.status, 200);
    assert.deepEqual(
      [made.body.spentMicros, made.body.reservedMicros, made.body.warnAt, made.body.agentId],
      [0, 0, 0.8, null],
    );
    const first = await say({ agent: bot });
    const [job] = await claim();
    await finish(job, "ok", { inputTokens: 200, outputTokens: 290 });
    assert.deepEqual(await events(bot), ["BUDGET_WARNING"], "3400 of 4000");
    const waiting = await say({ agent: bot });
    assert.deepEqual(await claim(), []);
    assert.deepEqual(await claim(), []);
    assert.deepEqual(await events(bot), ["BUDGET_WARNING", "BUDGET_REACHED"]);
    const [state] = await sql(
      "select state, attempts, next_attempt_at > now() as later from private.reply_jobs where message_id = $1",
      [waiting.id],
    );
    assert.deepEqual(state, { state: "waiting", attempts: 0, later: true });
    assert.equal((await sql("select from public.messages where reply_to = $1", [waiting.id])).length, 0);
    const { body: list } = await rpc(db, user(alice), "list_budgets");
    assert.deepEqual([list.total, list.budgets[0].spentMicros, list.budgets[0].reached], [1, 3400, true]);

    const raised = await budget({ limitMicros: 100000 });
    assert.equal(raised.body.id, made.body.id);
    assert.equal((await claim()).length, 1, "the answer goes on at once");
    assert.ok(first);
  });

  test("of an agent refuses its address alone with 402 and says when it begins again", async () => {
    const [poor, rich] = [await agent("Poor"), await agent("Rich")];
    await budget({ scope: "agent", agentId: poor, period: "month", limitMicros: 0 });
    const refused = await reserve(poor);
    assert.deepEqual([refused.status, refused.body.code], [402, "BUDGET_EXHAUSTED"]);
    assert.match(JSON.parse(refused.body.details).resumesAt, /^\d{4}-\d\d-01T00:00:00\.000Z$/);
    assert.equal((await reserve(rich)).status, 200);
  });

  test("that only notifies lets calls through and tells it once", async () => {
    const bot = await agent("Bot");
    await budget({ limitMicros: 100, action: "notify" });
    for (let n = 0; n < 3; n++) {
      const { body } = await reserve(bot);
      await settle(bot, { id: body.id, inputTokens: 100, outputTokens: 100 });
    }
    assert.deepEqual(await events(bot), ["BUDGET_REACHED"]);
  });

  test("turns with its period", async () => {
    const bot = await agent("Bot");
    await budget({ limitMicros: 1250 });
    const { body } = await reserve(bot);
    await settle(bot, { id: body.id, inputTokens: 100, outputTokens: 100 });
    assert.equal((await reserve(bot)).status, 402);
    await sql("update public.usage_daily set day = day - 1 where user_id = $1", [alice]);
    await sql(
      "update public.budgets set warned_for = warned_for - 1, reached_for = reached_for - 1 where user_id = $1",
      [alice],
    );
    assert.equal((await reserve(bot)).status, 200);
  });

  test("of a model without a price is a 422 with the statement that adds one, when set and when called", async () => {
    await sql(
      "insert into public.models (framework, name) values ('openai', 'unpriced') on conflict do nothing",
    );
    const bot = await agent("Bot", { model: "unpriced" });
    const refused = await budget({ limitMicros: 1000 });
    assert.deepEqual([refused.status, refused.body.code], [422, "MODEL_PRICE_MISSING"]);
    assert.equal((await reserve(bot)).status, 200, "without a budget it needs no price");
    await sql("update public.agents set model = 'gpt-4o' where id = $1", [bot]);
    await budget({ limitMicros: 1000000 });
    await sql("update public.agents set model = 'unpriced' where id = $1", [bot]);
    const called = await reserve(bot);
    assert.deepEqual([called.status, called.body.code], [422, "MODEL_PRICE_MISSING"]);
    const { statement } = JSON.parse(called.body.details);
    await sql(statement);
    assert.equal((await reserve(bot)).status, 200);
    await sql("delete from public.model_prices where model = 'unpriced'");
  });

  test("is nobody else's: another user's agent and budget are as absent as none", async () => {
    const bot = await agent("Bot");
    const bob = await createUser(db);
    const { body } = await budget({ limitMicros: 1 });
    const foreign = await budget({ scope: "agent", agentId: bot, limitMicros: 1 }, bob);
    const absent = await budget({ scope: "agent", agentId: "none", limitMicros: 1 }, bob);
    assert.deepEqual([foreign.status, absent.status, foreign.body.code], [404, 404, "AGENT_NOT_FOUND"]);
    for (const budget_id of [body.id, randomUUID(), "x"]) {
      const gone = await rpc(db, user(bob), "delete_budget", { budget_id });
      assert.deepEqual([gone.status, gone.body.code], [404, "NOT_FOUND"]);
    }
    assert.equal((await rpc(db, user(bob), "list_budgets")).body.total, 0);
    assert.equal((await rpc(db, anon, "list_budgets")).status, 403);
    const read = await db.as(user(bob), (client) => client.query("select from public.budgets"));
    assert.equal(read.rowCount, 0);
    assert.deepEqual((await rpc(db, user(alice), "delete_budget", { budget_id: body.id })).body, {
      id: body.id,
      deleted: true,
    });
  });

  test("names every wrong field", async () => {
    const { status, body } = await budget({
      scope: "agent",
      period: "year",
      limitMicros: 1.5,
      warnAt: 2,
      action: "x",
      y: 1,
    });
    assert.equal(status, 400);
    assert.deepEqual(Object.keys(JSON.parse(body.details)).sort(), [
      "action",
      "agentId",
      "limitMicros",
      "period",
      "warnAt",
      "y",
    ]);
  });
});

describe("usage", () => {
  test("is grouped as asked, with totals of all; another user sees nothing of it", async () => {
    const [one, two] = [await agent("One"), await agent("Two", { model: "gpt-6-luna" })];
    for (const [bot, source] of [
      [one, "address"],
      [one, "a2a"],
      [two, "address"],
    ] as const) {
      const { body } = await reserve(bot, { source });
      await settle(bot, { id: body.id, inputTokens: 10, outputTokens: 10, answered: true });
    }
    const get = async (args: Record<string, unknown>, as = alice) =>
      (await rpc(db, user(as), "get_usage", args)).body;
    const byModel = await get({ group_by: "model,source" });
    assert.deepEqual(
      byModel.items.map((item: Record<string, unknown>) => [
        item.model,
        item.source,
        item.answers,
        item.inputTokens,
        item.day,
      ]),
      [
        ["gpt-4o", "a2a", 1, 10, undefined],
        ["gpt-4o", "address", 1, 10, undefined],
        ["gpt-6-luna", "address", 1, 10, undefined],
      ],
    );
    assert.deepEqual(
      [byModel.count, byModel.total.answers, byModel.total.costMicros, byModel.currency],
      [3, 3, 256, "USD"],
    );
    const page = await get({ group_by: "day,agent", limit: 1, offset: 1 });
    assert.deepEqual([page.items.length, page.count, page.total.inputTokens], [1, 2, 30]);
    assert.equal((await get({ from: "2001-01-01", to: "2001-01-31" })).count, 0);
    assert.deepEqual((await get({}, await createUser(db))).items, []);
    for (const [args, field] of [
      [{ from: "yesterday" }, "from"],
      [{ from: "2026-02-31" }, "from"],
      [{ from: "2026-02-02", to: "2026-02-01" }, "from"],
      [{ from: "2020-01-01" }, "from"],
      [{ group_by: "day,hour" }, "groupBy"],
      [{ limit: 0 }, "limit"],
    ] as const) {
      const wrong = await rpc(db, user(alice), "get_usage", args);
      assert.deepEqual([wrong.status, Object.keys(JSON.parse(wrong.body.details))], [400, [field]]);
    }
  });
});

describe("under concurrency", () => {
  test("no cap and no budget is passed, not by one token, and nothing is lost or doubled", async () => {
    const bots = await Promise.all(
      ["A", "B", "C"].map((name) => agent(name, name === "A" ? { max_tokens_per_day: 9_001 } : {})),
    );
    const [first = "", second = ""] = bots;
    await cap(40_003);
    await budget({ limitMicros: 170_017, period: "month" });
    await budget({ scope: "agent", agentId: second, limitMicros: 50_011 });
    const clients = await Promise.all(
      Array.from({ length: 24 }, async () => {
        const client = new pg.Client({ connectionString: db.url("postgres") });
        await client.connect();
        return client;
      }),
    );
    const spent = new Map<string, { input: number; output: number }>();
    const counted = { input: 0, output: 0 };
    const add = (input: number, output: number) => {
      counted.input += input;
      counted.output += output;
    };
    const outcomes = { granted: 0, refused: 0, expired: 0 };
    const limits = async () =>
      (
        await sql(
          `with held as (
             select agent_id, input_tokens + output_tokens as tokens, cost_micros from public.usage_daily where user_id = $1
             union all select agent_id, input_tokens + output_tokens, cost_micros from private.reservations
             where user_id = $1 and closed_at is null)
           select coalesce(sum(tokens), 0)::int as tokens, coalesce(sum(cost_micros), 0)::int as cost,
             coalesce(sum(tokens) filter (where agent_id = $2), 0)::int as first,
             coalesce(sum(cost_micros) filter (where agent_id = $3), 0)::int as second from held`,
          [alice, first, second],
        )
      )[0];
    let working = true;
    const watch = (async () => {
      while (working) {
        const now = await limits();
        assert.ok(
          now.tokens <= 40_003 && now.cost <= 170_017 && now.first <= 9_001 && now.second <= 50_011,
          JSON.stringify(now),
        );
      }
    })();
    try {
      await Promise.all(
        clients.map(async (client) => {
          for (let round = 0; round < 25; round++) {
            const bot = bots[randomInt(bots.length)];
            const id = randomUUID();
            const [input, output] = [randomInt(1, 600), randomInt(0, 900)];
            const lease = randomInt(10) === 0 ? 0 : 60;
            const { rows } = await client.query(
              "select private.reserve($1, $2, 'address', null, $3, $4, $5) as r",
              [id, bot, input, output, lease],
            );
            const { r } = rows[0];
            if (r.id === undefined) {
              outcomes.refused++;
              assert.match(r.code, /^(RESOURCE_LIMIT_EXCEEDED|BUDGET_EXHAUSTED)$/);
              continue;
            }
            outcomes.granted++;
            if (lease === 0) {
              outcomes.expired++;
              add(r.inputTokens, r.outputTokens);
              continue; // a worker that dies: nobody settles it
            }
            const used = { input: randomInt(r.inputTokens + 1), output: randomInt(r.outputTokens + 1) };
            spent.set(id, used);
            add(used.input, used.output);
            const item = JSON.stringify([{ id, inputTokens: used.input, outputTokens: used.output }]);
            // Twice, from two connections: it counts once.
            await Promise.all([
              client.query("select private.settle($1, $2)", [bot, item]),
              ...(randomInt(4) === 0 ? [sql("select private.settle($1, $2)", [bot, item])] : []),
            ]);
          }
        }),
      );
    } finally {
      working = false;
      await Promise.all(clients.map((client) => client.end()));
    }
    await watch;
    await sql("select private.sweep_reservations()");
    const rows = await usage();
    const sum = (of: "input" | "output") => rows.reduce((total, row) => total + row[of], 0);
    assert.deepEqual({ input: sum("input"), output: sum("output") }, counted);
    assert.ok(
      outcomes.granted > 30 && outcomes.refused > 30 && outcomes.expired > 0,
      JSON.stringify(outcomes),
    );
  });

  test("another isolation than read committed is refused, because it would not see what others reserved", async () => {
    const bot = await agent("Bot");
    const client = await db.pool.connect();
    try {
      await client.query("begin isolation level repeatable read");
      await assert.rejects(
        client.query("select private.reserve(gen_random_uuid(), $1, 'address', null, 1, 1, 60)", [bot]),
        /needs read committed/,
      );
    } finally {
      await client.query("rollback");
      client.release();
    }
  });
});

test("a failed attempt's use is counted, and retries keep within the cap", async () => {
  const bot = await agent("Bot", { settings: { max_tokens: 50 } });
  await say({ agent: bot });
  const [job] = await claim();
  await fail(job, {
    code: "MODEL_UNAVAILABLE",
    message: "x",
    retryable: true,
    settled: [{ id: job.reservation.id, unused: true }],
  });
  assert.deepEqual(await usage(), []);
  assert.equal((await codeOf(agent("Bad", { max_tokens_per_day: -1 }))).code, "VALIDATION_ERROR");
  assert.equal((await rpc(db, service, "list_budgets")).status, 403);
});
