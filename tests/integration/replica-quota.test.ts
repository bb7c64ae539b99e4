// The quota of replicas, CPU and memory: what may come to run counts, and whoever has too much may take less.
import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { createUser, liftRateLimits, rpc, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;

beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
});
afterAll(() => db.destroy());

interface Refusal {
  quota: string;
  limit: number;
  requested: number;
}

/** A user with a quota, and what that user may ask for. */
async function person(quota: Record<string, number> = {}) {
  const id = await createUser(db);
  const limit = (change: Record<string, number>) =>
    db.pool.query(
      `update public.quotas set ${Object.keys(change)
        .map((name, index) => `${name} = $${index + 2}`)
        .join()} where user_id = $1`,
      [id, ...Object.values(change)],
    );
  if (Object.keys(quota).length > 0) await limit(quota);
  const call = (name: string, args: Record<string, unknown>) => rpc(db, user(id), name, args);
  return {
    limit,
    launch: async (definition: Record<string, unknown>) => {
      const answer = await call("launch_agent", { definition: { agentName: "bot", ...definition } });
      if (answer.status === 201) await settle(db, answer.body.agentId);
      return answer;
    },
    scale: (agent_id: string, scale: Record<string, unknown>) => call("scale_agent", { agent_id, scale }),
    update: (agent_id: string, changes: Record<string, unknown>) =>
      call("update_agent", { agent_id, changes }),
    call,
  };
}

const refusal = ({ status, body }: { status: number; body: { details: string } }): Refusal => {
  assert.equal(status, 429, JSON.stringify(body));
  return JSON.parse(body.details);
};

test("an autoscaler's most counts, however few replicas there are now", async () => {
  const { launch, scale } = await person({ max_replicas: 10 });
  const { body } = await launch({ resources: { replicas: 2 } });
  const over = await scale(body.agentId, {
    replicas: 2,
    scaling_policy: { min_replicas: 1, max_replicas: 11 },
  });
  assert.deepEqual(refusal(over), { quota: "max_replicas", limit: 10, requested: 11 });
  const fits = { replicas: 2, scaling_policy: { min_replicas: 1, max_replicas: 10 } };
  assert.equal((await scale(body.agentId, fits)).status, 202);
  // Another agent of the same user finds no room, another user's does.
  assert.equal(refusal(await launch({ resources: { replicas: 1 } })).requested, 11);
  assert.equal((await (await person()).launch({ resources: { replicas: 1 } })).status, 201);
});

test("after the quota was lowered, taking less and taking as much passes, taking more does not", async () => {
  const { call, launch, limit, scale, update } = await person({ max_replicas: 20 });
  const [one, two] = [
    (await launch({ resources: { replicas: 8 } })).body.agentId,
    (await launch({ resources: { replicas: 4 } })).body.agentId,
  ];
  await limit({ max_replicas: 5 });
  // Still over it, but less than before.
  assert.equal((await scale(one, { replicas: 6 })).status, 202);
  await settle(db, one, ["DEPLOYED"]);
  // A leaked key is changed at once, whatever the quota.
  assert.equal(
    (await update(one, { environment: { OPENAI_API_KEY: "sk-new-and-long-enough" } })).status,
    202,
  );
  await settle(db, one, ["DEPLOYED"]);
  assert.equal((await call("restart_agent", { agent_id: two })).status, 202);
  await settle(db, two, ["DEPLOYED"]);
  assert.deepEqual(refusal(await scale(one, { replicas: 7 })), {
    quota: "max_replicas",
    limit: 5,
    requested: 11,
  });
  // What was stopped is not had: to start it again is more.
  assert.equal((await call("stop_agent", { agent_id: two })).status, 202);
  await settle(db, two, ["STOPPED"]);
  assert.equal(refusal(await call("start_agent", { agent_id: two })).requested, 10);
  assert.equal((await scale(one, { replicas: 1 })).status, 202);
  await settle(db, one, ["DEPLOYED"]);
  assert.equal((await call("start_agent", { agent_id: two })).status, 202);
});

test("more memory or CPU for an agent is refused over the quota, less is not", async () => {
  const { launch, limit, update } = await person();
  const resources = { replicas: 2, cpu: "1", memory: "1Gi" };
  const { body } = await launch({ resources });
  await limit({ max_cpu: 1000, max_memory: 1024 ** 3 });
  const change = (cpu: string, memory: string) => update(body.agentId, { resources: { cpu, memory } });
  assert.deepEqual(refusal(await change("1500m", "512Mi")).quota, "max_cpu");
  assert.deepEqual(refusal(await change("500m", "2Gi")).quota, "max_memory");
  assert.equal((await change("750m", "768Mi")).status, 202);
});

test("two changes at once do not pass the quota together", async () => {
  const { launch, scale } = await person({ max_replicas: 10 });
  const ids = await Promise.all(
    [1, 2].map(async () => (await launch({ resources: { replicas: 1 } })).body.agentId),
  );
  const answers = await Promise.all(ids.map((id) => scale(id, { replicas: 8 })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [202, 429]);
});
