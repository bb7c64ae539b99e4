// Swarms and messages: who is asked by which message, turns, what stays of a deleted agent, what others cannot do.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { codeOf, people, responder } from "../helpers/answering.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { createUnlimitedDatabase, createUser, rpc, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;
const { query, agent, swarm, say } = people(
  () => db,
  () => alice,
);
const { claim, finish, fail } = responder(() => db);

beforeAll(async () => {
  db = await createUnlimitedDatabase();
});
beforeEach(async () => {
  alice = await createUser(db);
  bob = await createUser(db);
  await db.pool.query("delete from private.reply_jobs");
});
afterAll(() => db.destroy());

/** Answers everything that is asked until nothing is; returns who spoke, in order. */
async function talk(
  words: (name: string, turn: number) => string = () => "ok",
  most = 100,
): Promise<string[]> {
  const spoken: string[] = [];
  for (;;) {
    const jobs = await claim();
    if (jobs.length === 0) return spoken;
    for (const job of jobs) {
      spoken.push(job.agent.name);
      await finish(job, words(job.agent.name, job.turn));
      if (spoken.length > most) throw new Error("the agents do not stop");
    }
  }
}

describe("who answers", () => {
  test("all: every agent of the swarm, once", async () => {
    const team = await swarm([await agent("A"), await agent("B"), await agent("C")]);
    await say({ swarm: team });
    assert.deepEqual((await talk()).sort(), ["A", "B", "C"]);
  });

  test("addressed: those named with an @, whatever the case; nobody when nobody is named", async () => {
    const team = await swarm(
      [await agent("Ann"), await agent("Bo"), await agent("Data Analyst"), await agent("Data")],
      {
        reply_mode: "addressed",
      },
    );
    for (const [content, expected] of [
      ["hello all", []],
      ["@Ann and @bo: what now?", ["Ann", "Bo"]],
      ["@Anna is not here; write to ann@Ann.example or x@bo", []],
      ["@data analyst, please", ["Data Analyst"]],
      ["@Data, please", ["Data"]],
      ["(@ANN)", ["Ann"]],
    ] as const) {
      await say({ swarm: team }, content);
      assert.deepEqual((await talk()).sort(), expected, content);
    }
  });

  test("rounds: one after the other, in order, max_turns times, each hearing the one before", async () => {
    const [a, b, c] = [await agent("A"), await agent("B"), await agent("C")];
    const team = await swarm([a, b, c], { reply_mode: "rounds", max_turns: 2 });
    await query("update public.swarm_agents set position = 9 where agent_id = $1", [a]);
    await say({ swarm: team }, "go");
    const [first] = await claim();
    assert.deepEqual(await claim(), [], "one at a time");
    await finish(first, "words of B");
    const [second] = await claim();
    assert.equal(second.messages.at(-1).content, "words of B");
    await finish(second);
    assert.deepEqual(await talk(), ["A", "B", "C", "A"]);
    const turns = await query(
      "select sender_name, turn from public.messages where sender_kind = 'agent' order by created_at",
    );
    assert.deepEqual(
      turns.map(({ turn }) => turn),
      [1, 1, 1, 2, 2, 2],
    );
  });

  test("rounds: one who fails for good does not stop the others", async () => {
    const team = await swarm([await agent("A"), await agent("B")], { reply_mode: "rounds", max_turns: 1 });
    await say({ swarm: team });
    await fail((await claim())[0], { code: "MODEL_REFUSED", message: "no" });
    assert.deepEqual(await talk(), ["B"]);
  });

  test("agents that address each other stop at the bound", async () => {
    for (const max_turns of [1, 2, 5]) {
      const team = await swarm([await agent("Ping"), await agent("Pong")], {
        reply_mode: "addressed",
        max_turns,
      });
      await say({ swarm: team }, "@Ping start");
      const spoken = await talk((name) =>
        name === "Ping" ? "@Pong your turn, and @Ping too" : "@Ping yours",
      );
      assert.deepEqual(
        spoken,
        Array.from({ length: max_turns }, (_, n) => (n % 2 === 0 ? "Ping" : "Pong")),
      );
    }
  });

  test("all agents addressing all others: at most agents × turns answers", async () => {
    const names = ["A", "B", "C", "D"];
    const team = await swarm(await Promise.all(names.map((name) => agent(name))), { max_turns: 3 });
    await say({ swarm: team });
    assert.equal((await talk(() => "@A @B @C @D")).length, 12);
  });

  test("nobody in an empty swarm; an agent that left is not asked", async () => {
    const a = await agent("A");
    const team = await swarm([a]);
    await query("delete from public.swarm_agents where agent_id = $1", [a]);
    await say({ swarm: team });
    assert.deepEqual(await talk(), []);
  });

  test("a deleted message is not answered any more", async () => {
    const a = await agent("A");
    const { id } = await say({ agent: a });
    const [job] = await claim();
    await query("delete from public.messages where id = $1", [id]);
    assert.deepEqual(await finish(job), { accepted: false });
    const [{ status }] = await query("select status from public.agents where id = $1", [a]);
    assert.equal(status, "idle", "nor does the agent go on thinking of it");
  });
});

describe("a deleted agent", () => {
  for (const [how, remove] of [
    ["DELETE /rest/v1/agents", (id: string) => query("delete from public.agents where id = $1", [id])],
    [
      "DELETE /api/agents of a deployed one",
      async (id: string) => {
        await rpc(db, user(alice), "deploy_agent", { agent_id: id });
        await settle(db, id);
        await rpc(db, user(alice), "delete_agent", { agent_id: id });
      },
    ],
  ] as const) {
    test(`leaves swarms and tools; its messages stay, the sender marked deleted (${how})`, async () => {
      const [gone, stays] = [await agent("Gone"), await agent("Stays")];
      const team = await swarm([gone, stays]);
      const [tool] = await query("select id from public.tools where name = 'calculator'");
      await query("insert into public.agent_tools (agent_id, tool_id) values ($1, $2)", [gone, tool.id]);
      await say({ swarm: team });
      await talk((name) => `I am ${name}`);
      await say({ agent: gone }, "only to you");
      await talk(() => "only from me");
      await say({ swarm: team }, "an unanswered one");
      await remove(gone);
      assert.deepEqual(
        (await query("select agent_id from public.swarm_agents where swarm_id = $1", [team])).length,
        1,
      );
      assert.deepEqual(await query("select from public.agent_tools where agent_id = $1", [gone]), []);
      assert.deepEqual(await query("select from public.agent_conversations where agent_id = $1", [gone]), []);
      const said = await query(
        "select agent_id, sender_name, sender_deleted, content from public.messages where sender_kind = 'agent' order by content",
      );
      assert.deepEqual(said, [
        { agent_id: null, sender_name: "Gone", sender_deleted: true, content: "I am Gone" },
        { agent_id: stays, sender_name: "Stays", sender_deleted: false, content: "I am Stays" },
        { agent_id: null, sender_name: "Gone", sender_deleted: true, content: "only from me" },
      ]);
      assert.deepEqual(await talk(), ["Stays"], "what was open for it is gone");
    });
  }

  test("goes with its account, messages and all", async () => {
    const a = await agent("A");
    await say({ swarm: await swarm([a]) });
    await talk();
    await db.pool.query("delete from auth.users where id = $1", [alice]);
    const { rows } = await db.pool.query("select from public.messages where user_id = $1", [alice]);
    assert.deepEqual(rows, []);
  });
});

describe("bad input", () => {
  test("every wrong field of a swarm is named", async () => {
    const { code, details } = await codeOf(
      query("insert into public.swarms (name, reply_mode, max_turns) values ('', 'shout', 21)"),
    );
    assert.equal(code, "VALIDATION_ERROR");
    assert.deepEqual(Object.keys(details).sort(), ["max_turns", "name", "reply_mode"]);
  });

  test("a message needs content and one place to go, and cannot pose as an agent's", async () => {
    const a = await agent("A");
    const bad = async (columns: string, values: string, params: unknown[] = []) =>
      await codeOf(query(`insert into public.messages (${columns}) values (${values})`, params));
    assert.deepEqual((await bad("content", "''")).details, {
      content: "Content is required",
      swarm_id: "Name either swarm_id or to_agent_id",
    });
    assert.ok((await bad("content, to_agent_id", "$1, $2", ["x".repeat(32_769), a])).details.content);
    assert.ok((await bad("content, to_agent_id, agent_id", "'I am A', $1, $1", [a])).details.agent_id);
    await query("insert into public.messages (content, to_agent_id, agent_id) values ('fine', $1, null)", [
      a,
    ]);
    for (const column of [
      "status",
      "sender_kind",
      "sender_name",
      "root_id",
      "turn",
      "reply_to",
      "id",
      "created_at",
    ]) {
      await assert.rejects(
        query(`insert into public.messages (content, to_agent_id, ${column}) values ('x', $1, default)`, [a]),
        { code: "42501" },
      );
    }
  });

  test("another user's swarms and agents are as absent as none", async () => {
    const theirs = await agent("Theirs", {}, bob);
    const [{ id: their_swarm }] = await query(
      "insert into public.swarms (name) values ('x') returning id",
      [],
      bob,
    );
    const mine = await swarm([]);
    assert.equal((await codeOf(say({ swarm: their_swarm }))).code, "NOT_FOUND");
    assert.equal((await codeOf(say({ agent: theirs }))).code, "AGENT_NOT_FOUND");
    const join = (s: string, a: string) =>
      codeOf(query("insert into public.swarm_agents (swarm_id, agent_id) values ($1, $2)", [s, a]));
    assert.equal((await join(mine, theirs)).code, "AGENT_NOT_FOUND");
    assert.equal((await join(their_swarm, await agent("Mine"))).code, "NOT_FOUND");
    const never = "00000000-0000-4000-8000-000000000000";
    const { message } = await codeOf(say({ swarm: never }));
    assert.equal(message, (await codeOf(say({ swarm: their_swarm }))).message);
  });

  test("a message cannot be rewritten", async () => {
    await say({ agent: await agent("A") });
    await assert.rejects(query("update public.messages set content = 'other'"), { code: "42501" });
  });

  test("without agents:write nothing is written", async () => {
    const team = await swarm([await agent("A")]);
    await db.pool.query(
      "delete from public.user_permissions where user_id = $1 and permission = 'agents:write'",
      [alice],
    );
    assert.equal((await codeOf(say({ swarm: team }))).code, "PERMISSION_DENIED");
    assert.equal((await codeOf(query("delete from public.swarms"))).code, "PERMISSION_DENIED");
  });

  test("a swarm takes at most twenty agents", async () => {
    const team = await swarm(await Promise.all(Array.from({ length: 20 }, (_, n) => agent(`A${n}`))));
    const one = await agent("More");
    const { code } = await codeOf(
      query("insert into public.swarm_agents (swarm_id, agent_id) values ($1, $2)", [team, one]),
    );
    assert.equal(code, "RESOURCE_LIMIT_EXCEEDED");
  });
});

describe("the channel swarm:<id>", () => {
  const listens = async (who: string, topic: string) =>
    (
      await db.as(user(who), async (client) => {
        await client.query("select set_config('realtime.topic', $1, true)", [topic]);
        const seen = await client.query<{ topic: string }>("select topic from realtime.messages");
        assert.ok(
          seen.rows.every((row) => row.topic === topic),
          "no other channel's messages",
        );
        return seen;
      })
    ).rowCount !== 0;

  test("is its owner's alone", async () => {
    const team = await swarm([await agent("A")]);
    await say({ swarm: team });
    await talk();
    assert.equal(await listens(alice, `swarm:${team}`), true);
    assert.equal(await listens(bob, `swarm:${team}`), false);
  });
});
