// What a list of agents says of each of them, and where its pages end.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import type { TestDatabase } from "../helpers/database.ts";
import { createUnlimitedDatabase, createUser, rpc, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
});
beforeEach(async () => {
  alice = await createUser(db);
});
afterAll(() => db.destroy());

const list = async (args: Record<string, unknown> = {}) =>
  (await rpc(db, user(alice), "list_agents", args)).body;
const define = (count: number) =>
  db.pool.query(
    "insert into public.agents (user_id, name) select $1, 'agent ' || n from generate_series(1, $2) n",
    [alice, count],
  );
const shows = (id: string, status: string) =>
  db.pool.query("update public.agents set status = $2 where id = $1", [id, status]);

describe("the status in a list", () => {
  test("is the phase of a deployed agent while it answers, found by both", async () => {
    const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot" } });
    await settle(db, body.agentId);
    for (const activity of ["thinking", "responding"]) {
      await shows(body.agentId, activity);
      assert.equal((await list()).agents[0].status, "DEPLOYED");
      for (const status of [activity, "DEPLOYED"]) assert.equal((await list({ status })).total, 1);
      assert.equal((await list({ status: "idle" })).total, 0);
    }
  });

  test("is the activity of a definition", async () => {
    await define(1);
    const [{ agentId }] = (await list()).agents;
    for (const activity of ["idle", "thinking", "responding", "error"]) {
      await shows(agentId, activity);
      assert.equal((await list()).agents[0].status, activity.toUpperCase());
      assert.equal((await list({ status: activity })).total, 1);
    }
  });
});

describe("a page", () => {
  test("that holds the last agent has no next, whether or not it is full", async () => {
    await define(3);
    for (const limit of [3, 4]) {
      const { agents, total, nextCursor } = await list({ limit });
      assert.deepEqual([agents.length, total, nextCursor], [3, 3, null]);
    }
    const first = await list({ limit: 2 });
    assert.deepEqual([first.agents.length, first.total], [2, 3]);
    const second = await list({ limit: 2, after: first.nextCursor });
    assert.deepEqual([second.agents.length, second.total, second.nextCursor], [1, 3, null]);
    const names = [...first.agents, ...second.agents].map(({ agentId }) => agentId);
    assert.equal(new Set(names).size, 3, "agents of one moment are in one order");
  });

  test("is empty for a user without agents, and past the last one", async () => {
    const empty = await list();
    assert.deepEqual([empty.agents, empty.total, empty.nextCursor], [[], 0, null]);
    await define(1);
    const past = await list({ offset: 1 });
    assert.deepEqual([past.agents, past.total, past.nextCursor], [[], 1, null]);
  });

  test("of a filter ends where the filter's agents end", async () => {
    await define(3);
    const [{ agentId }] = (await list()).agents;
    await shows(agentId, "error");
    const { agents, total, nextCursor } = await list({ status: "error", limit: 1 });
    assert.deepEqual([agents.length, total, nextCursor], [1, 1, null]);
  });
});

test("a connection remembers that the tables are guarded, and looks again in time", async () => {
  await define(1);
  const guard = (how: string) =>
    db.superuser.query(`alter table public.agent_metrics ${how} row level security`);
  try {
    await db.asUser(alice, async (client) => {
      const integrated = async () => {
        const { rows } = await client.query("select public.list_agents() as body");
        return rows[0].body.agents[0].supabase_integration;
      };
      assert.equal(await integrated(), true);
      await guard("disable");
      assert.equal(await integrated(), true, "remembered");
      await client.query("select set_config('launchpad.agent_tables_sound_until', '1', false)");
      assert.equal(await integrated(), false, "its time is over");
      assert.equal(await integrated(), false, "what is not sound is not remembered");
      await guard("enable");
      assert.equal(await integrated(), true);
    });
  } finally {
    await guard("enable");
  }
});
