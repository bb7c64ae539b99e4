// A request to an agent that sleeps on Kubernetes, through the whole system: it is held, a pod starts, and the pod answers.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, launched, reached } from "../helpers/agents.ts";
import { whyNoCluster } from "../helpers/cluster.ts";
import { type KubeStack, startKubeStack } from "../helpers/kube-stack.ts";
import type { TestUser } from "../helpers/stack.ts";

const why = await whyNoCluster();

describe("a sleeping agent on Kubernetes", { skip: why !== undefined }, () => {
  let system: KubeStack;
  let user: TestUser;

  beforeAll(async () => {
    system = await startKubeStack();
    user = await system.stack.createUser();
  });
  afterAll(async () => {
    await system?.stop();
  });

  test("two hundred requests are held while its pod starts, and answered by it; its objects stay meanwhile", async () => {
    const agentId = await launched(system.stack, user);
    const pods = () => system.objectsOf("Pod", agentId);
    const { status } = await api(system.stack, user, "POST", `/agents/${agentId}/sleep`);
    assert.equal(status, 202);
    await reached(system.stack, agentId, "ASLEEP");
    assert.equal((await pods()).length, 0);
    const [deployment] = await system.objectsOf("Deployment", agentId);
    assert.deepEqual(
      [deployment?.spec.replicas, deployment?.metadata.annotations["agent-launchpad.dev/asleep"]],
      [0, "true"],
    );
    for (const kind of ["Service", "Secret", "ConfigMap", "ServiceAccount"]) {
      assert.equal((await system.objectsOf(kind, agentId)).length, 1, kind);
    }

    const answers = await Promise.all(
      Array.from({ length: 200 }, async () => {
        const answer = await fetch(`${system.stack.info.apiUrl}/agents/${agentId}/`, {
          headers: { authorization: `Bearer ${user.token}` },
        });
        return { status: answer.status, text: await answer.text() };
      }),
    );
    assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200], answers[0]?.text);
    await reached(system.stack, agentId, "DEPLOYED");
    const [awake] = await system.objectsOf("Deployment", agentId);
    assert.deepEqual(
      [awake?.spec.replicas, awake?.metadata.annotations["agent-launchpad.dev/asleep"]],
      [1, undefined],
    );
    const events = await system.stack.sql(
      "select from public.agent_events where agent_id = $1 and to_phase = 'WAKING'",
      [agentId],
    );
    assert.equal(events.length, 1);
  });
});
