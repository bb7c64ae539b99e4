// Sleep and wake beside every other change of an agent, in both orders: one transaction is open while the other waits for it.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { people, responder } from "../helpers/answering.ts";
import type { RpcAnswer, TestDatabase } from "../helpers/database.ts";
import { createUnlimitedDatabase, createUser, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
const { say } = people(
  () => db,
  () => alice,
);
const { claim } = responder(() => db);

beforeAll(async () => {
  db = await createUnlimitedDatabase();
});
beforeEach(async () => {
  alice = await createUser(db);
  await db.pool.query("delete from private.reply_jobs");
});
afterAll(() => db.destroy());

type Call = () => Promise<unknown>;

const verb = (name: string, args: Record<string, unknown>) => rpc(db, user(alice), name, args);
const call = async (name: string, args: Record<string, unknown>) => (await rpc(db, service, name, args)).body;
const row = async (id: string) =>
  (await db.pool.query("select * from private.agent_deployments where agent_id = $1", [id])).rows[0];
const wakes = async (id: string) => {
  const { rows } = await db.pool.query(
    "select from public.agent_events where agent_id = $1 and from_phase in ('SLEEPING', 'ASLEEP') and to_phase = 'WAKING'",
    [id],
  );
  return rows.length;
};
const wake = (id: string) => () => call("wake_deployment", { agent_id: id });

async function deployed(): Promise<string> {
  const { body } = await verb("launch_agent", {
    definition: { agentName: "bot", idle: { afterSeconds: 60 } },
  });
  await settle(db, body.agentId);
  // A second revision, so that there is one to go back to.
  await verb("update_agent", { agent_id: body.agentId, changes: { system_prompt: "Be brief." } });
  await settle(db, body.agentId, ["DEPLOYED"]);
  return body.agentId;
}

async function asleep(): Promise<string> {
  const id = await deployed();
  await verb("sleep_agent", { agent_id: id });
  await settle(db, id, ["ASLEEP"]);
  return id;
}

/** Calls the first, then the second, which waits for it, and lets the first's transaction end then. */
async function inOrder<T>(id: string, first: Call, second: () => Promise<T>): Promise<T> {
  const gate = await db.superuser.connect();
  try {
    // What comes first has the agent's row before the second asks for it.
    await gate.query("begin");
    await gate.query("select from public.agents where id = $1 for update", [id]);
    const waiting = async (count: number) => {
      for (;;) {
        const { rows } = await db.superuser.query(
          "select from pg_sleep(0.01), pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        );
        if (rows.length >= count) return;
      }
    };
    const one = first();
    await waiting(1);
    const two = second();
    await waiting(2);
    await gate.query("commit");
    const [, answer] = await Promise.all([one, two]);
    return answer;
  } finally {
    await gate.query("rollback");
    gate.release();
  }
}

describe("a change of a sleeper beside its wake", () => {
  interface Change {
    name: string;
    args?: Record<string, unknown>;
    /** Phase, desired state and wakes: the change first; the wake first. */
    before: [answer: string, phase: string, wakes: number];
    after: [status: number, phase: string, wakes: number];
  }
  const CHANGES: Change[] = [
    { name: "stop_agent", before: ["CONFLICT", "STOPPING", 0], after: [202, "STOPPING", 1] },
    { name: "delete_agent", before: ["AGENT_NOT_FOUND", "DELETING", 0], after: [202, "DELETING", 1] },
    {
      name: "scale_agent",
      args: { scale: { replicas: 3 } },
      before: ["waking", "WAKING", 1],
      after: [202, "WAKING", 1],
    },
    {
      name: "update_agent",
      args: { changes: { system_prompt: "Be kind." } },
      before: ["waking", "WAKING", 1],
      after: [202, "WAKING", 1],
    },
    {
      name: "rollback_agent",
      args: { revision: 1 },
      before: ["waking", "WAKING", 1],
      after: [202, "WAKING", 1],
    },
    { name: "restart_agent", before: ["waking", "WAKING", 1], after: [202, "WAKING", 1] },
    { name: "wake_agent", before: ["waking", "WAKING", 1], after: [202, "WAKING", 1] },
    { name: "sleep_agent", before: ["waking", "WAKING", 1], after: [409, "WAKING", 1] },
  ];
  const settled = async (id: string) => {
    const { observed_generation, phase, target_replicas, revision } = await row(id);
    return { phase, target_replicas, revision, seen: observed_generation };
  };

  for (const { name, args = {}, before, after } of CHANGES) {
    test(`${name}, then a request`, async () => {
      const id = await asleep();
      const change = () => verb(name, { agent_id: id, ...args });
      const answer = await inOrder(id, change, wake(id));
      assert.deepEqual([answer.code ?? answer.state, (await settled(id)).phase, await wakes(id)], before);
      if (name === "scale_agent") assert.equal((await settled(id)).target_replicas, 3);
      if (name === "rollback_agent") assert.equal((await settled(id)).revision, 3);
    });
    test(`a request, then ${name}`, async () => {
      const id = await asleep();
      const answer = await inOrder<RpcAnswer>(id, wake(id), () => verb(name, { agent_id: id, ...args }));
      assert.deepEqual([answer.status, (await settled(id)).phase, await wakes(id)], after);
      if (name === "scale_agent") assert.equal((await settled(id)).target_replicas, 3);
    });
  }

  test("its row is deleted, then a request", async () => {
    const id = await asleep();
    const remove = () =>
      db.asUser(alice, (client) => client.query("delete from public.agents where id = $1", [id]));
    assert.equal((await inOrder(id, remove, wake(id))).code, "AGENT_NOT_FOUND");
    assert.deepEqual([(await row(id)).desired, await wakes(id)], ["absent", 0]);
  });

  test("its controller says ASLEEP, beside a request: the report of an earlier generation is none", async () => {
    const report = async (id: string) => {
      const { generation, lease_token } = await row(id);
      return () =>
        call("report_deployment", {
          agent_id: id,
          generation,
          lease_token,
          report: { phase: "ASLEEP", currentReplicas: 0, readyReplicas: 0 },
        });
    };
    const falling = async () => {
      const id = await deployed();
      await verb("sleep_agent", { agent_id: id });
      await call("claim_deployments", { worker: "test-worker", max_count: 500 });
      return id;
    };
    const first = await falling();
    const late = await inOrder(first, wake(first), await report(first));
    assert.deepEqual([late.accepted, late.reason], [false, "stale_generation"]);
    const second = await falling();
    assert.equal((await inOrder(second, await report(second), wake(second))).state, "waking");
    for (const id of [first, second]) assert.equal((await row(id)).phase, "WAKING");
  });
});

describe("falling asleep of an idle agent, beside", () => {
  const idle = async (id: string) => {
    const { generation, lease_token } = await row(id);
    return () => call("sleep_deployment", { agent_id: id, generation, lease_token });
  };

  test("a message: the first one counts, and the message is answered either way", async () => {
    const first = await deployed();
    assert.deepEqual(await inOrder(first, () => say({ agent: first }), await idle(first)), {
      asleep: false,
      reason: "ANSWER_OPEN",
    });
    const second = await deployed();
    await inOrder(second, await idle(second), () => say({ agent: second }));
    assert.equal((await row(second)).desired, "asleep");
    await claim();
    assert.deepEqual([(await row(second)).phase, await wakes(second)], ["WAKING", 1]);
  });

  for (const [name, args] of [
    ["stop_agent", {}],
    ["scale_agent", { scale: { replicas: 2 } }],
    ["restart_agent", {}],
    ["sleep_agent", {}],
    ["update_agent", { changes: { idle: null } }],
  ] as const) {
    test(`${name}: the verb first, and it does not fall asleep by that`, async () => {
      const id = await deployed();
      const answer = await inOrder(id, () => verb(name, { agent_id: id, ...args }), await idle(id));
      assert.equal(answer.asleep, false);
      assert.ok(["BUSY", "OFF"].includes(answer.reason), answer.reason);
    });
    test(`${name}: asleep first, and the verb counts`, async () => {
      const id = await deployed();
      const { status } = await inOrder<RpcAnswer>(id, await idle(id), () =>
        verb(name, { agent_id: id, ...args }),
      );
      assert.equal(status, 202);
      const expected = { stop_agent: "stopped", restart_agent: "running" }[name as string] ?? "asleep";
      assert.equal((await row(id)).desired, expected);
    });
  }

  test("a wake that nobody needs changes nothing", async () => {
    const id = await deployed();
    const { generation } = await row(id);
    assert.equal((await wake(id)()).state, "awake");
    assert.equal((await row(id)).generation, generation);
  });
});

test("an owner may put an agent to sleep while a change of it is in flight", async () => {
  for (const [name, args, phase] of [
    ["update_agent", { changes: { idle: { afterSeconds: 90 } } }, "SCALING"],
    ["scale_agent", { scale: { replicas: 2 } }, "SCALING"],
    ["update_agent", { changes: { system_prompt: "Be kind." } }, "UPDATING"],
    ["restart_agent", {}, "RESTARTING"],
  ] as const) {
    const id = await deployed();
    await verb(name, { agent_id: id, ...args });
    assert.equal((await row(id)).phase, phase);
    const { body, status } = await verb("sleep_agent", { agent_id: id });
    assert.deepEqual([status, body.status], [202, "SLEEPING"], phase);
    await settle(db, id, ["ASLEEP"]);
  }
  const busy = await deployed();
  await verb("scale_agent", { agent_id: busy, scale: { replicas: 2 } });
  await say({ agent: busy });
  assert.equal((await verb("sleep_agent", { agent_id: busy })).status, 409, "not with an open answer");
});
