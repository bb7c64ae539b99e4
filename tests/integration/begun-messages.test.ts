// Messages that an agent begins itself: appended by its runtime, once, to its own conversations alone, within limits.
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { people, responder } from "../helpers/answering.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

const SECRET = "a secret of respond for these tests";

let db: TestDatabase;
let alice: string;
let bot: string;
let conversation: string;
const { agent, swarm, say, query } = people(
  () => db,
  () => alice,
);
const { claim, finish } = responder(() => db);

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  await db.pool.query("select private.connect_functions('http://127.0.0.1:1/functions/v1', $1)", [SECRET]);
});
beforeEach(async () => {
  await db.pool.query("update public.rate_limits set max_requests = 1000000");
  await db.pool.query("delete from private.reply_jobs");
  alice = await createUser(db);
  bot = await launch();
  conversation = (await say({ agent: bot }, "Remind me in an hour.")).conversation_id;
});
afterAll(() => db?.destroy());

async function launch(owner = alice): Promise<string> {
  const { body } = await rpc(db, user(owner), "launch_agent", {
    definition: { agentName: "Bot", character: { bio: "A bot." } },
  });
  const ready =
    "update private.agent_deployments set ready_replicas = 1, url = 'http://bot.test' where agent_id = $1";
  await db.pool.query(ready, [body.agentId]);
  return body.agentId;
}
const credentialOf = (agentId: string) => {
  const key = createHmac("sha256", SECRET).update(`messages of ${agentId}`).digest("hex");
  return createHmac("sha256", key).update("runtime").digest("hex");
};
const begin = (more: Record<string, unknown> = {}, caller = anon) => {
  const agentId = (more.agent_id as string | undefined) ?? bot;
  return rpc(db, caller, "runtime_begin_message", {
    agent_id: agentId,
    credential: credentialOf(agentId),
    id: randomUUID(),
    conversation_id: conversation,
    content: "It is time.",
    replica: "bot-1",
    ...more,
  });
};
const begun = (as = alice) =>
  query(
    "select * from public.messages where sender_kind = 'agent' and root_id is null order by created_at",
    [],
    as,
  );

describe("a message that an agent begins", () => {
  test("is a message of the agent that answers nothing, and asks nobody", async () => {
    const { body } = await begin();
    const [row, ...more] = await begun();
    assert.equal(more.length, 0);
    assert.deepEqual(
      [row.id, row.conversation_id, row.swarm_id, row.agent_id, row.sender_name, row.content, row.status],
      [body.messageId, conversation, null, bot, "Bot", "It is time.", "complete"],
    );
    assert.deepEqual([row.reply_to, row.root_id, row.turn, row.user_id], [null, null, 0, alice]);
    assert.equal((await claim()).length, 1, "the person's question alone waits for an answer");
  });

  test("is in the next answer's context, in the agent's conversations, and in its export", async () => {
    const [job] = await claim();
    await finish(job, "I will.");
    await begin();
    await say({ agent: bot, conversation }, "What time is it?");
    const [next] = await claim();
    assert.deepEqual(
      next.messages.map((m: { role: string; content: string }) => [m.role, m.content]),
      [
        ["user", "Remind me in an hour."],
        ["self", "I will."],
        ["self", "It is time."],
        ["user", "What time is it?"],
      ],
    );
    const rows = await query(
      "select role, content from public.agent_conversations where agent_id = $1 order by created_at, id",
      [bot],
    );
    assert.deepEqual(rows[2], { role: "assistant", content: "It is time." });
    const { body } = await rpc(db, user(alice), "export_agent", { agent_id: bot });
    assert.match(JSON.stringify(body.conversations), /It is time\./);
  });

  test("comes once, however often and by however many at once it is sent, also when it was deleted", async () => {
    const id = randomUUID();
    const sent = await Promise.all(Array.from({ length: 6 }, () => begin({ id })));
    assert.equal(new Set(sent.map(({ body }) => body.messageId)).size, 1);
    assert.equal((await begin({ id, content: "Other words." })).body.messageId, sent[0]?.body.messageId);
    assert.deepEqual(
      (await begun()).map(({ content }) => content),
      ["It is time."],
    );
    await query("delete from public.messages where sender_kind = 'agent'");
    await rpc(db, user(alice), "stop_agent", { agent_id: bot });
    assert.equal((await begin({ id })).body.messageId, sent[0]?.body.messageId);
    assert.equal((await begun()).length, 0);
  });

  test("of another agent with the same id is another one", async () => {
    const id = randomUUID();
    const other = await launch();
    const place = (await say({ agent: other })).conversation_id;
    const [one, two] = [await begin({ id }), await begin({ id, agent_id: other, conversation_id: place })];
    assert.notEqual(one.body.messageId, two.body.messageId);
    assert.equal((await begun()).length, 2);
  });

  test("goes into a swarm of the agent, where no other agent answers it", async () => {
    const second = await agent("Second");
    for (const reply_mode of ["all", "addressed", "rounds"]) {
      const team = await swarm([bot, second], { reply_mode });
      await begin({ conversation_id: team, content: "@Second, it is time." });
      const [row] = await query("select * from public.messages where swarm_id = $1", [team]);
      assert.deepEqual([row.conversation_id, row.agent_id], [null, bot]);
    }
    const { rows } = await db.pool.query("select from private.reply_jobs where swarm_id is not null");
    assert.equal(rows.length, 0);
  });
});

describe("refused is", () => {
  const refusal = async (more: Record<string, unknown>) => {
    const { status, body } = await begin(more);
    return [status, body.code];
  };

  test("a conversation of another agent, of another user, of nobody, and one that was deleted", async () => {
    const other = await agent("Other");
    const bob = await createUser(db);
    const bobs = await agent("Bot", {}, bob);
    const elsewhere = [
      (await say({ agent: other })).conversation_id,
      (await say({ agent: bobs }, "hello", bob)).conversation_id,
      await swarm([other]),
      randomUUID(),
    ];
    for (const id of elsewhere) assert.deepEqual(await refusal({ conversation_id: id }), [404, "NOT_FOUND"]);
    await query("delete from public.messages where conversation_id = $1", [conversation]);
    assert.deepEqual(await refusal({}), [404, "NOT_FOUND"]);
    assert.equal((await begun()).length + (await begun(bob)).length, 0);
  });

  test("a conversation with the id of another user's, also where both exist", async () => {
    const bob = await createUser(db);
    const bobs = await agent("Bot", {}, bob);
    await say({ agent: bobs, conversation }, "hello", bob);
    await begin();
    assert.deepEqual([(await begun()).length, (await begun(bob)).length], [1, 0]);
  });

  test("an agent that is stopped, deleted, or was never deployed", async () => {
    const definition = await agent("Definition");
    const place = (await say({ agent: definition })).conversation_id;
    const undeployed = await refusal({ agent_id: definition, conversation_id: place });
    assert.deepEqual(undeployed, [409, "CONFLICT"]);
    await rpc(db, user(alice), "stop_agent", { agent_id: bot });
    assert.deepEqual(await refusal({}), [409, "CONFLICT"]);
    await rpc(db, user(alice), "delete_agent", { agent_id: bot });
    assert.deepEqual(await refusal({}), [404, "AGENT_NOT_FOUND"]);
  });

  test("text that is blank or longer than a person's, and what has no id", async () => {
    for (const [more, field] of [
      [{ content: " \n" }, "content"],
      [{ content: "x".repeat(32769) }, "content"],
      [{ id: null }, "id"],
      [{ conversation_id: null }, "conversation_id"],
      [{ replica: "" }, "replica"],
    ] as const) {
      const { body } = await begin(more);
      assert.equal(body.code, "VALIDATION_ERROR");
      assert.deepEqual(Object.keys(JSON.parse(body.details)), [field]);
    }
    assert.equal((await begin({ content: "x".repeat(32768) })).status, 200);
  });

  test("one more than an agent may begin in a minute or a day, by agent", async () => {
    for (const bucket of ["begun_messages", "begun_messages_day"]) {
      const limit = (most: number) =>
        db.pool.query("update public.rate_limits set max_requests = $1 where bucket = $2", [most, bucket]);
      await db.pool.query("delete from private.begun_messages");
      await limit(2);
      for (const status of [200, 200, 429]) assert.equal((await begin()).status, status, bucket);
      const { body } = await begin();
      assert.equal(body.code, "RATE_LIMIT_EXCEEDED");
      const { limit_type, retryAfterSeconds } = JSON.parse(body.details);
      assert.ok(limit_type === bucket && retryAfterSeconds >= 1);
      const other = await launch();
      const place = (await say({ agent: other })).conversation_id;
      assert.equal((await begin({ agent_id: other, conversation_id: place })).status, 200);
      await limit(0);
      assert.equal((await begin({ agent_id: other, conversation_id: place })).status, 429);
      await limit(1_000_000);
    }
  });

  test("what would follow a budget or a cap that is used up; one that only notifies is no obstacle", async () => {
    const put = (action: string) =>
      rpc(db, user(alice), "put_budget", {
        budget: { scope: "agent", agentId: bot, period: "day", limitMicros: 0, action },
      });
    await put("pause");
    assert.deepEqual(await refusal({}), [402, "BUDGET_EXHAUSTED"]);
    await put("notify");
    assert.equal((await begin()).status, 200);
    await db.pool.query("update public.quotas set max_tokens_per_day = 0 where user_id = $1", [alice]);
    assert.deepEqual(await refusal({}), [429, "RESOURCE_LIMIT_EXCEEDED"]);
    const { rows } = await db.pool.query("select from private.reservations where agent_id = $1", [bot]);
    assert.equal(rows.length, 0, "nothing stays reserved for it");
  });

  test("one beyond the quota of rows, which an answer passes", async () => {
    await db.pool.query("update private.row_counts set rows = 200000 where user_id = $1", [alice]);
    assert.deepEqual(await refusal({}), [429, "RESOURCE_LIMIT_EXCEEDED"]);
    const [job] = await claim();
    assert.equal((await finish(job)).accepted, true);
  });

  test("a forged, another agent's and a missing credential; users and the service as callers", async () => {
    const other = await agent("Other");
    for (const credential of ["", "0".repeat(64), credentialOf(other), null]) {
      assert.deepEqual(await refusal({ credential }), [403, "INSUFFICIENT_PERMISSIONS"]);
    }
    for (const caller of [user(alice), user(await createUser(db)), service]) {
      assert.equal((await begin({}, caller)).status, 403);
    }
    assert.equal((await begun()).length, 0);
  });
});

test("of what services begin, the replica with the platforms sends; the others are told that it does", async () => {
  assert.ok((await begin({ by_service: true })).body.messageId);
  assert.deepEqual((await begin({ by_service: true, replica: "bot-2" })).body, { messageId: null });
  assert.ok(
    (await begin({ replica: "bot-2" })).body.messageId,
    "what belongs to its own conversations it sends",
  );
  await db.pool.query("update private.platform_leases set expires_at = now()");
  assert.ok((await begin({ by_service: true, replica: "bot-2" })).body.messageId);
  assert.equal((await begun()).length, 3);
});

test("the ids of what was begun are kept for two days", async () => {
  const [old, fresh] = [randomUUID(), randomUUID()];
  await begin({ id: old });
  await begin({ id: fresh });
  const age = "update private.begun_messages set begun_at = now() - interval '49 hours' where id = $1";
  await db.pool.query(age, [old]);
  await db.pool.query("select private.delete_begun_messages()");
  const { rows } = await db.pool.query("select id from private.begun_messages where agent_id = $1", [bot]);
  assert.deepEqual(rows, [{ id: fresh }]);
});
