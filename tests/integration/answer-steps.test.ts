// Steps of answers: who writes them, who reads them, what is cut, how long they stay; and what a runtime may ask for.
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { type Claimed, people, responder } from "../helpers/answering.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

const SECRET = "a secret of respond for these tests";
const MODEL = {
  kind: "model",
  name: "gpt-4o",
  status: "ok",
  milliseconds: 900,
  inputTokens: 10,
  outputTokens: 5,
};
const TOOL = {
  kind: "tool",
  name: "weather",
  status: "ok",
  milliseconds: 30,
  arguments: { city: "Ulm" },
  result: "HTTP 200\nsunny",
};

let db: TestDatabase;
let alice: string;
let bob: string;
const { query, agent, say, swarm } = people(
  () => db,
  () => alice,
);
const { claim, report, finish, fail } = responder(() => db);

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  await db.pool.query("select private.connect_functions('http://127.0.0.1:1/functions/v1', $1)", [SECRET]);
});
beforeEach(async () => {
  alice = await createUser(db);
  bob = await createUser(db);
  await db.pool.query("delete from private.reply_jobs");
});
afterAll(() => db.destroy());

const sql = async (text: string, values: unknown[] = []) => (await db.pool.query(text, values)).rows;
const credentialOf = (agentId: string) => {
  const key = createHmac("sha256", SECRET).update(`messages of ${agentId}`).digest("hex");
  return createHmac("sha256", key).update("runtime").digest("hex");
};
const runtime = (name: string, agentId: string, args: Record<string, unknown> = {}, credential?: string) =>
  rpc(db, anon, name, { agent_id: agentId, credential: credential ?? credentialOf(agentId), ...args });
const stepsOf = (messageId: string, as = alice) =>
  query("select * from public.answer_steps where message_id = $1 order by index", [messageId], as);
const asked = async (): Promise<{ bot: string; job: Claimed }> => {
  const bot = await agent("Bot");
  await say({ agent: bot });
  const [job] = await claim();
  return { bot, job };
};

describe("steps of an answer", () => {
  test("are kept with the answer, in order, and read by its owner alone", async () => {
    const { bot, job } = await asked();
    await report(job, "", 0, [MODEL, TOOL]);
    await finish(job, "It is sunny", {
      steps: [{ ...MODEL, cachedInputTokens: 3, startedAt: Date.now() - 500 }],
    });
    const steps = await stepsOf(job.jobId);
    assert.deepEqual(
      steps.map((s) => [
        s.index,
        s.kind,
        s.name,
        s.status,
        s.milliseconds,
        s.input_tokens,
        s.cached_input_tokens,
      ]),
      [
        [1, "model", "gpt-4o", "ok", 900, 10, null],
        [2, "tool", "weather", "ok", 30, null, null],
        [3, "model", "gpt-4o", "ok", 900, 10, 3],
      ],
    );
    assert.deepEqual([steps[1].arguments, steps[1].result], [{ city: "Ulm" }, "HTTP 200\nsunny"]);
    assert.deepEqual([steps[0].agent_id, steps[0].user_id, steps[0].message_id], [bot, alice, job.jobId]);
    const late = Date.now() - new Date(steps[2].started_at).getTime();
    assert.ok(late >= 400 && late < 30_000, `began ${late} ms ago`);
    assert.deepEqual(await stepsOf(job.jobId, bob), []);
    await assert.rejects(
      db.as(anon, (client) => client.query("select from public.answer_steps")),
      { code: "42501" },
    );
    for (const text of [
      "insert into public.answer_steps (message_id) values (gen_random_uuid())",
      "update public.answer_steps set name = 'x'",
      "delete from public.answer_steps",
    ])
      await assert.rejects(query(text), { code: "42501" });
  });

  test("that are reported again, by whomever, are there once", async () => {
    const { bot, job } = await asked();
    const [tool, model] = [
      { ...TOOL, id: randomUUID() },
      { ...MODEL, id: randomUUID() },
    ];
    await report(job, "", 0, [tool]);
    await report(job, "", 0, [tool, model]);
    const answers = [{ messageId: job.jobId, steps: [{ ...tool, id: tool.id.toUpperCase() }, model] }];
    assert.equal((await runtime("settle_model_calls", bot, { settled: [], steps: answers })).body.kept, 0);
    await finish(job, "ok", { steps: [model, tool, { ...MODEL, name: "last", id: randomUUID() }] });
    assert.deepEqual(
      (await stepsOf(job.jobId)).map(({ index, name }) => [index, name]),
      [
        [1, "weather"],
        [2, "gpt-4o"],
        [3, "last"],
      ],
    );
    const told = await sql(
      "select from realtime.messages where event = 'reply.step' and payload ->> 'messageId' = $1",
      [job.jobId],
    );
    assert.equal(told.length, 3, "the channel hears of each once");
    const { job: next } = await asked();
    await finish(next, "ok", { steps: [tool, tool, { ...TOOL, id: "7" }, { ...TOOL, id: {} }, TOOL, TOOL] });
    assert.equal(
      (await stepsOf(next.jobId)).length,
      5,
      "another answer's; without an id each is another one",
    );
  });

  test("cannot be kept out by another user who reports their id first", async () => {
    const { job } = await asked();
    const his = await agent("His", {}, bob);
    const step = { ...TOOL, id: randomUUID() };
    const free = randomUUID();
    const first = { settled: [], steps: [{ messageId: free, steps: [step] }] };
    assert.equal((await runtime("settle_model_calls", his, first)).body.kept, 1);
    assert.equal((await runtime("settle_model_calls", job.agent.id, first)).body.kept, 1);
    const forged = await runtime("settle_model_calls", job.agent.id, first, credentialOf(his));
    assert.ok(forged.status >= 400, `${forged.status}`);
    assert.equal((await stepsOf(free)).length, 1);
  });

  test("of a failed attempt stay beside those of the next", async () => {
    const { job } = await asked();
    const error = { code: "MODEL_UNAVAILABLE", message: "openai is failing (503)." };
    await fail(job, {
      code: "MODEL_UNAVAILABLE",
      message: "x",
      retryable: true,
      steps: [{ ...MODEL, status: "error", error }],
    });
    await sql("update private.reply_jobs set next_attempt_at = now()");
    const [again] = await claim();
    await finish(again, "ok", { steps: [MODEL] });
    const steps = await stepsOf(job.jobId);
    assert.deepEqual(
      steps.map((s) => [s.index, s.status, s.error]),
      [
        [1, "error", error],
        [2, "ok", null],
      ],
    );
  });

  test("are told on the channel where the answer is told", async () => {
    for (const inSwarm of [false, true]) {
      const bot = await agent("Bot");
      const team = inSwarm ? await swarm([bot]) : undefined;
      const question = await say(team ? { swarm: team } : { agent: bot });
      const [job] = await claim();
      await report(job, "", 0, [TOOL]);
      const [row] = await sql(
        "select topic, private, payload from realtime.messages where event = 'reply.step' and payload ->> 'messageId' = $1",
        [job.jobId],
      );
      assert.deepEqual([row.topic, row.private], [team ? `swarm:${team}` : `agent:${bot}`, true]);
      const { index, kind, name, status, agentId } = row.payload;
      assert.deepEqual([row.payload.replyTo, row.payload.attempt], [question.id, 1]);
      assert.deepEqual([index, kind, name, status, agentId], [1, "tool", "weather", "ok", bot]);
    }
  });

  test("with odd or endless contents are cut, and never cost the answer", async () => {
    const { job } = await asked();
    const long = "ä\u{1F600}".repeat(20_000);
    const odd = [
      { kind: "nonsense", status: 7, milliseconds: -5, startedAt: 9e15, name: long },
      { ...TOOL, arguments: { text: long }, result: long, error: { code: long, message: long } },
      { ...MODEL, inputTokens: "many", outputTokens: 1e300, milliseconds: 1e300, startedAt: -1e15 },
      "no step",
      null,
      { ...TOOL, arguments: "none", error: "none" },
    ];
    assert.equal((await finish(job, "ok", { steps: odd })).accepted, true);
    const steps = await stepsOf(job.jobId);
    assert.deepEqual(
      steps.map((s) => [s.index, s.kind, s.status]),
      [
        [1, "tool", "error"],
        [2, "tool", "ok"],
        [3, "model", "ok"],
        [4, "tool", "ok"],
      ],
    );
    for (const step of steps) {
      assert.ok(Buffer.byteLength(JSON.stringify(step)) < 12_000);
      assert.ok(new Date(step.started_at).getTime() <= Date.now() + 1000);
    }
    assert.ok(Buffer.byteLength(steps[1].result) <= 4_100);
    const { job: huge } = await asked();
    await finish(huge, "ok", { steps: [{ ...TOOL, result: "x".repeat(1_000_000) }] });
    assert.ok((await stepsOf(huge.jobId))[0].result.length <= 4_100);
    const { job: other } = await asked();
    assert.equal((await finish(other, "ok", { steps: { not: "a list" } })).accepted, true);
    const { job: third } = await asked();
    await finish(third, "ok", { steps: Array.from({ length: 300 }, () => TOOL) });
    assert.equal((await stepsOf(third.jobId)).length, 200);
  });

  test("go with the message, with an answer that never comes, with the agent, and after 30 days", async () => {
    const { job } = await asked();
    await finish(job, "ok", { steps: [TOOL] });
    await query("delete from public.messages where id = $1", [job.jobId]);
    assert.deepEqual(await stepsOf(job.jobId), []);
    const { job: open } = await asked();
    await report(open, "", 0, [TOOL]);
    await query("delete from public.messages where user_id = $1", [alice]);
    assert.deepEqual(await stepsOf(open.jobId), []);
    const { job: old } = await asked();
    await finish(old, "ok", { steps: [TOOL, TOOL] });
    await sql(
      "update public.answer_steps set started_at = now() - interval '31 days' where message_id = $1 and index = 1",
      [old.jobId],
    );
    await sql("select private.delete_expired()");
    assert.deepEqual(
      (await stepsOf(old.jobId)).map((s) => s.index),
      [2],
    );
    await sql("delete from public.agents where user_id = $1", [alice]);
    assert.deepEqual(await stepsOf(old.jobId), []);
  });

  test("beyond the user's quota push out the oldest", async () => {
    const { job } = await asked();
    const [quota] = await sql("select max_rows from public.row_quotas where relation = 'answer_steps'");
    try {
      await sql("update public.row_quotas set max_rows = 3 where relation = 'answer_steps'");
      await finish(job, "ok", { steps: [TOOL, TOOL, TOOL, TOOL] });
      assert.equal((await stepsOf(job.jobId)).length, 0);
      const { job: next } = await asked();
      await finish(next, "ok", { steps: [TOOL] });
      assert.equal((await stepsOf(next.jobId)).length, 1);
    } finally {
      await sql("update public.row_quotas set max_rows = $1 where relation = 'answer_steps'", [
        quota.max_rows,
      ]);
    }
  });

  test("of a refused tool leave one event in ten minutes, without arguments", async () => {
    const { bot, job } = await asked();
    const error = { code: "TOOL_NOT_ALLOWED", message: "10.0.0.1 is not a public address." };
    const refused = { ...TOOL, status: "refused", error };
    await finish(job, "no", { steps: [refused, refused, { ...refused, name: "other" }] });
    const rows = await query(
      "select message, details from public.agent_events where agent_id = $1 and event_type = 'TOOL_REFUSED' order by seq",
      [bot],
    );
    assert.deepEqual(
      rows.map((row) => row.details.tool),
      ["weather", "other"],
    );
    assert.deepEqual(rows[0].details, {
      tool: "weather",
      code: "TOOL_NOT_ALLOWED",
      messageId: job.jobId,
      milliseconds: 30,
    });
    assert.match(rows[0].message, /weather was refused: 10\.0\.0\.1 is not a public address/);
  });
});

describe("a runtime", () => {
  const tell = async (agentId: string, steps: unknown, settled: unknown = []) =>
    (await runtime("settle_model_calls", agentId, { settled, steps })).body;

  test("adds steps to its own agent's answers, of several in one call", async () => {
    const { bot, job } = await asked();
    const free = randomUUID();
    const answers = [
      { messageId: free, steps: [TOOL] },
      { messageId: job.jobId, steps: [MODEL, TOOL] },
    ];
    assert.deepEqual(await tell(bot, answers), { settled: 0, kept: 3 });
    assert.deepEqual(
      (await stepsOf(job.jobId)).map(({ index, kind }) => [index, kind]),
      [
        [1, "model"],
        [2, "tool"],
      ],
    );
    assert.equal((await stepsOf(free)).length, 1, "at the agent's address no message is kept, the trace is");
    assert.equal((await stepsOf(free, bob)).length, 0);
  });

  test("adds none to another agent's answers, and none of another form; what calls used counts all the same", async () => {
    const { bot, job } = await asked();
    const free = randomUUID();
    await tell(bot, [{ messageId: free, steps: [TOOL] }]);
    const other = await agent("Other");
    const his = await agent("His", {}, bob);
    for (const liar of [other, his]) {
      assert.deepEqual(await tell(liar, [{ messageId: job.jobId, steps: [TOOL] }]), { settled: 0, kept: 0 });
    }
    // An id that only steps know is no way into somebody else's trace.
    await tell(his, [{ messageId: free, steps: [TOOL] }]);
    assert.equal((await stepsOf(free)).length, 1);
    const settled = [{ id: job.reservation.id, inputTokens: 3, outputTokens: 2 }];
    const odd = [null, {}, [null], [7], [{}], [{ messageId: "x", steps: [TOOL] }]];
    for (const steps of [...odd, [{ messageId: free, steps: {} }], [{ messageId: free, steps: [7, null] }]]) {
      assert.deepEqual(await tell(bot, steps), { settled: 0, kept: 0 }, JSON.stringify(steps));
    }
    assert.deepEqual(await tell(bot, odd.at(-1), settled), { settled: 1, kept: 0 });
  });

  test("adds at most 200 steps in one call", async () => {
    const { bot } = await asked();
    const answers = Array.from({ length: 300 }, () => ({ messageId: randomUUID(), steps: [TOOL] }));
    assert.deepEqual(await tell(bot, answers), { settled: 0, kept: 200 });
  });

  test("adds steps with a reservation, granted or refused", async () => {
    const { bot, job } = await asked();
    const steps = [{ messageId: job.jobId, steps: [TOOL] }];
    const call = { source: "address", model: "gpt-4o", inputTokens: 1, outputTokens: 1, leaseSeconds: 60 };
    const reserve = (outputTokens: number) =>
      runtime("reserve_model_call", bot, {
        call: { ...call, id: randomUUID(), outputTokens },
        settled: [],
        steps,
      });
    assert.equal((await reserve(1)).status, 200);
    await rpc(db, user(alice), "put_budget", {
      budget: { scope: "user", period: "day", limitMicros: 1, action: "pause" },
    });
    const refused = await reserve(1_000_000);
    assert.deepEqual([refused.status, refused.body.code], [402, "BUDGET_EXHAUSTED"]);
    assert.equal((await stepsOf(job.jobId)).length, 2);
  });

  test("reads its agent's tools without secrets, and one call's secret", async () => {
    const bot = await agent("Bot");
    const other = await agent("Other");
    await rpc(db, user(alice), "set_user_secret", { name: "WEATHER_KEY", value: "s3cret-value" });
    const [tool] = await query(
      `insert into public.tools (name, description, implementation)
       values ('weather', 'Tells it', '{"type": "http", "url": "https://api.example.com/"}') returning id`,
    );
    await query("insert into public.agent_tools (agent_id, tool_id, configuration) values ($1, $2, $3)", [
      bot,
      tool.id,
      JSON.stringify({ api_key_ref: "WEATHER_KEY" }),
    ]);
    const { body } = await runtime("runtime_tools", bot);
    assert.deepEqual(
      body.tools.map((t: { id: string; name: string }) => [t.id, t.name]),
      [[tool.id, "weather"]],
    );
    assert.ok(!JSON.stringify(body).includes("s3cret"));
    const ask = (id = bot, credential?: string) =>
      runtime("runtime_tool_secret", id, { tool_id: tool.id }, credential);
    assert.deepEqual((await ask()).body, { secret: "s3cret-value" });
    assert.equal((await ask(other)).status, 404, "another agent of the same owner does not have the tool");
    await rpc(db, user(alice), "remove_user_secret", { name: "WEATHER_KEY" });
    assert.deepEqual((await ask()).body, { secret: null });
    await query("update public.agent_tools set enabled = false where agent_id = $1", [bot]);
    assert.equal((await ask()).status, 404);
    assert.deepEqual((await runtime("runtime_tools", bot)).body, {
      tools: [],
      knowledge: false,
      meaning: false,
    });
  });

  test("searches conversations of its own agent alone", async () => {
    const bot = await agent("Bot");
    const other = await agent("Other");
    const { conversation_id } = await say({ agent: bot }, "the word is heliotrope");
    const search = async (id: string) =>
      (await runtime("runtime_search", id, { conversation_id, query: "heliotrope" })).body;
    assert.equal((await search(bot))[0].text, "the word is heliotrope");
    assert.equal(await search(other), null);
    assert.equal(await search(await agent("His", {}, bob)), null);
  });

  test("is refused with a wrong credential, and so are users", async () => {
    const { bot, job } = await asked();
    const tool_id = randomUUID();
    const steps = [{ messageId: job.jobId, steps: [TOOL] }];
    for (const credential of ["", "0".repeat(64), credentialOf("agent-other")]) {
      const { status, body } = await runtime("settle_model_calls", bot, { settled: [], steps }, credential);
      assert.deepEqual([status, body.code], [403, "INSUFFICIENT_PERMISSIONS"]);
    }
    assert.equal((await stepsOf(job.jobId)).length, 0);
    for (const [name, args] of Object.entries({
      runtime_tools: {},
      runtime_tool_secret: { tool_id },
      runtime_plugin_secret: { plugin: "mcp:https://mcp.example.com/" },
      runtime_search: { conversation_id: randomUUID(), query: "x" },
    })) {
      for (const credential of ["", "0".repeat(64), credentialOf("agent-other")]) {
        const { status, body } = await runtime(name, bot, args, credential);
        assert.deepEqual([status, body.code], [403, "INSUFFICIENT_PERMISSIONS"], name);
      }
      for (const role of [user(alice), service]) {
        const { status } = await rpc(db, role, name, {
          agent_id: bot,
          credential: credentialOf(bot),
          ...args,
        });
        assert.equal(status, 403, name);
      }
    }
  });
});
