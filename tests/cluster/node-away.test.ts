// A node that is cut off while the API server is down, and comes back later: agents are shown as they are, and nothing is deleted or
// made twice.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import { api } from "../helpers/agents.ts";
import { whyNoCluster } from "../helpers/cluster.ts";
import { WRITES } from "../helpers/kube-requests.ts";
import { type KubeStack, startKubeStack } from "../helpers/kube-stack.ts";
import { eventually } from "../helpers/processes.ts";
import type { TestUser } from "../helpers/stack.ts";

const why = await whyNoCluster();
const PATIENCE = 90_000;
const KINDS = ["Deployment", "ReplicaSet", "Pod", "Service", "Secret", "ConfigMap", "ServiceAccount"];

describe("a node that comes back", { skip: why !== undefined }, () => {
  let system: KubeStack;
  let user: TestUser;

  beforeAll(async () => {
    system = await startKubeStack({
      cluster: {
        images: {},
        nodes: [
          { name: "node-a", zone: "a" },
          { name: "node-b", zone: "b" },
        ],
        // A node beats every ten seconds.
        controllerManagerFlags: ["--node-monitor-grace-period=15s"],
      },
    });
    user = await system.stack.createUser();
  });
  afterAll(async () => {
    await system?.stop();
  });

  const row = async (agentId: string) => {
    const [found] = await system.stack.sql(
      `select phase, generation = observed_generation as settled, ready_replicas as ready
       from private.agent_deployments where agent_id = $1`,
      [agentId],
    );
    return found;
  };
  const readyIs = (agentId: string, ready: number) =>
    eventually(
      `${agentId} is told with ${ready} ready replicas`,
      async () => {
        const found = await row(agentId);
        return found?.phase === "DEPLOYED" && found.settled && found.ready === ready;
      },
      PATIENCE,
    );
  const nodeIs = (name: string, status: string) =>
    system.kube.until(
      "Node",
      undefined,
      name,
      `${name} is Ready=${status}`,
      (node) =>
        node?.status?.conditions?.find(({ type }: { type: string }) => type === "Ready")?.status === status,
      PATIENCE,
    );
  const objects = async (agentId: string) =>
    (await Promise.all(KINDS.map((kind) => system.objectsOf(kind, agentId))))
      .flat()
      .map(({ kind, metadata }) => `${kind ?? ""} ${metadata.namespace}/${metadata.name} ${metadata.uid}`)
      .sort();

  it("after the API server was down: its agent shows 1 of 2 ready, then 2; nothing is made twice", async () => {
    const launch = async () => {
      const { status, body } = await api(system.stack, user, "POST", "/agents", {
        agentName: "pretended",
        resources: { memory: "128Mi", cpu: "50m", replicas: 2 },
      });
      assert.equal(status, 201, JSON.stringify(body));
      await readyIs(body.agentId, 2);
      return body.agentId as string;
    };
    // Spread over the zones: one replica on each node.
    const agentId = await launch();
    const pods = await system.podsOf(agentId);
    assert.deepEqual(pods.map(({ spec }) => spec.nodeName).sort(), ["node-a", "node-b"]);
    const before = await objects(agentId);
    const events = async () =>
      Number(
        (await system.stack.sql("select count(*) from public.agent_events where agent_id = $1", [agentId]))[0]
          ?.count,
      );
    const told = await events();

    await system.cluster.setAway(["node-a"]);
    system.faults.reset();
    await system.cluster.component("kube-apiserver", "kill");
    try {
      await eventually("the controller has noticed", () => system.faults.requests.length > 5, PATIENCE);
    } finally {
      await system.cluster.component("kube-apiserver", "start");
    }
    await eventually(
      "the API server is ready",
      () =>
        system.kube.call("GET", "/readyz").then(
          ({ status }) => status === 200,
          () => false,
        ),
      PATIENCE,
    );
    system.faults.reset();
    await nodeIs("node-a", "Unknown");
    await readyIs(agentId, 1);
    assert.deepEqual(await objects(agentId), before, "nothing is made in its place");

    await system.cluster.setAway([]);
    await nodeIs("node-a", "True");
    await readyIs(agentId, 2);
    assert.deepEqual(await objects(agentId), before);
    const { body } = await api(system.stack, user, "GET", `/agents/${agentId}/status`);
    assert.equal(body.status, "DEPLOYED");
    assert.equal(system.faults.count({ verb: WRITES }), 0, "the controller wrote nothing");
    assert.equal(await events(), told, "its owner is told of no change that was none");
    // Both are whole: the agent's next change reaches them.
    await api(system.stack, user, "POST", `/agents/${agentId}/scale`, { replicas: 3 });
    await readyIs(agentId, 3);
    assert.equal((await system.podsOf(agentId)).length, 3);
  });
});
