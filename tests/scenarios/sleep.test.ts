// Sleep and wake on the whole stack: an idle agent falls asleep, a message wakes it and is answered, working ones stay awake.
import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { api, launched, reached } from "../helpers/agents.ts";
import { eventually } from "../helpers/processes.ts";
import { echo, type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stub: ProviderStub;
let stack: TestStack;
let owner: TestUser;

beforeAll(async () => {
  stub = await startProviderStub();
  stack = await startTestStack({ env: { ...stub.environment, LAUNCHPAD_METRICS_SECONDS: "1" } });
  await stack.raiseRateLimits();
  owner = await stack.createUser();
  // Nobody waits a minute here: the bound itself is tested in tests/integration/sleep.test.ts.
  await stack.sql("alter table public.agents drop constraint agents_idle_bounds");
});
afterAll(async () => {
  await owner.client.removeAllChannels();
  await stack.stop();
  await stub.close();
});

const definition = { resources: { memory: "128Mi", cpu: "50m" }, framework: "openai" };
const status = async (agentId: string) => (await api(stack, owner, "GET", `/agents/${agentId}/status`)).body;
const seqOf = async (agentId: string, phase: string) => {
  const rows = await stack.sql<{ seq: number }>(
    "select seq::integer from public.agent_events where agent_id = $1 and to_phase = $2 order by seq desc limit 1",
    [agentId, phase],
  );
  return rows[0]?.seq ?? 0;
};

/** Lets an agent sleep after so many idle seconds, fewer than a definition may say. */
async function sleepAfter(agentId: string, seconds: number): Promise<void> {
  const before = await seqOf(agentId, "DEPLOYED");
  await stack.sql("alter table public.agents disable trigger _200_validate");
  await stack.sql("update public.agents set idle = $2 where id = $1", [agentId, { afterSeconds: seconds }]);
  await stack.sql("alter table public.agents enable trigger _200_validate");
  await reached(stack, agentId, "DEPLOYED", before);
}

test("an idle agent falls asleep; a message wakes it and is answered", async () => {
  const agentId = await launched(stack, owner, definition);
  await sleepAfter(agentId, 1);
  await reached(stack, agentId, "ASLEEP");
  const asleep = await status(agentId);
  assert.deepEqual([asleep.status, asleep.sleep.reason], ["ASLEEP", "IDLE"]);
  assert.equal(asleep.health.kubernetes.replicas, 0);

  const { data, error } = await owner.client
    .from("messages")
    .insert({ to_agent_id: agentId, content: "are you there?" })
    .select()
    .single();
  assert.equal(error, null);
  let answer: { status: string; content: string } | undefined;
  await eventually("the message is answered", async () => {
    const rows = await stack.sql<{ status: string; content: string }>(
      "select status, content from public.messages where reply_to = $1",
      [data.id],
    );
    answer = rows[0];
    return answer !== undefined;
  });
  assert.deepEqual([answer?.status, answer?.content], ["complete", 'You said "are you there?" (message 1)']);
  const woken = await status(agentId);
  assert.equal(woken.sleep.wakes24h, 1);
  assert.ok(woken.sleep.lastWakeMs > 0, "the last wake's time is shown");
  await reached(stack, agentId, "ASLEEP", await seqOf(agentId, "WAKING"));
});

test("an agent with a request under way stays awake, and sleeps when it is answered", async () => {
  const begun = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  stub.answer = async (asked) => {
    begun.resolve();
    await goOn.promise;
    return await echo(asked);
  };
  const agentId = await launched(stack, owner, definition);
  const answering = stack.agentFetch(agentId, "/message", {
    method: "POST",
    token: owner.token,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ text: "take your time" }),
  });
  await begun.promise;
  await sleepAfter(agentId, 1);
  // Each sample of its replica is one more look at whether it is idle.
  const sampled = async () => {
    const [row] = await stack.sql<{ count: number }>(
      "select count(*)::integer from public.agent_metrics where agent_id = $1",
      [agentId],
    );
    return row?.count ?? 0;
  };
  const before = await sampled();
  await eventually("it was sampled three times", async () => (await sampled()) >= before + 3);
  assert.equal((await status(agentId)).status, "DEPLOYED");
  goOn.resolve();
  assert.equal((await answering).status, 200);
  await reached(stack, agentId, "ASLEEP");
  stub.answer = echo;
});
