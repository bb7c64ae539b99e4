// Refusals of a real API server that end: a policy engine that errs for a while, and a quota that somebody else put in a namespace.
import assert from "node:assert/strict";
import { afterAll, afterEach, beforeAll, describe, it } from "vitest";
import { LABELS } from "../../packages/controller/src/cluster/kubernetes/names.ts";
import { api } from "../helpers/agents.ts";
import { whyNoCluster } from "../helpers/cluster.ts";
import { deployment, type KubeObject, pathOf } from "../helpers/kube.ts";
import { type KubeStack, startKubeStack } from "../helpers/kube-stack.ts";
import { eventually } from "../helpers/processes.ts";
import type { TestUser } from "../helpers/stack.ts";

const why = await whyNoCluster();
const PATIENCE = 120_000;
const WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const ENGINE = "policy-engine";
const KINDS = ["Deployment", "ReplicaSet", "Pod", "Service", "Secret", "ConfigMap", "ServiceAccount"];

/** A policy engine that nothing answers for: the API server refuses what it should judge. */
const engine = {
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "ValidatingWebhookConfiguration",
  metadata: { name: ENGINE },
  webhooks: [
    {
      name: "deployments.policy.example.com",
      clientConfig: { url: "https://127.0.0.1:1/" },
      rules: [{ apiGroups: ["apps"], apiVersions: ["v1"], operations: ["*"], resources: ["deployments"] }],
      namespaceSelector: { matchExpressions: [{ key: LABELS.installation, operator: "Exists" }] },
      failurePolicy: "Fail",
      sideEffects: "None",
      timeoutSeconds: 2,
      admissionReviewVersions: ["v1"],
    },
  ],
};

describe("refusals that end", { skip: why !== undefined }, () => {
  let system: KubeStack;

  beforeAll(async () => {
    // Every agent is pretended, and a rollout has all the time it needs: only the refusal keeps it.
    system = await startKubeStack({ cluster: { images: {} }, env: { LAUNCHPAD_READY_SECONDS: "600" } });
  });
  afterAll(async () => {
    await system?.stop();
  });
  const removeEngine = () => system?.kube.call("DELETE", `${WEBHOOKS}/${ENGINE}`);
  afterEach(removeEngine);

  const status = async (owner: TestUser, agentId: string) =>
    (await api(system.stack, owner, "GET", `/agents/${agentId}/status`)).body;

  /** What is wanted is in place: the row, the Deployment and its pods agree. */
  const deployed = (agentId: string, generation: number, replicas: number) =>
    eventually(
      `${agentId} is DEPLOYED in generation ${generation} with ${replicas} replicas`,
      async () => {
        const [row] = await system.stack.sql(
          `select phase, observed_generation::int as generation, ready_replicas as ready
           from private.agent_deployments where agent_id = $1`,
          [agentId],
        );
        return (
          row?.phase === "DEPLOYED" &&
          row.generation === generation &&
          row.ready === replicas &&
          (await system.podsOf(agentId)).filter(isReady).length === replicas
        );
      },
      PATIENCE,
    );
  const launch = async (owner: TestUser, replicas: number): Promise<string> => {
    const { status, body } = await api(system.stack, owner, "POST", "/agents", {
      agentName: "pretended",
      resources: { memory: "128Mi", cpu: "50m", replicas },
    });
    assert.equal(status, 201, JSON.stringify(body));
    await deployed(body.agentId, 1, replicas);
    return body.agentId;
  };
  const isReady = ({ status }: KubeObject) => status.containerStatuses?.[0]?.ready === true;
  const uids = async (agentId: string, kinds = KINDS) =>
    (await Promise.all(kinds.map((kind) => system.objectsOf(kind, agentId))))
      .flat()
      .map(({ metadata }) => `${metadata.name} ${metadata.uid}`)
      .sort();
  const phases = async (agentId: string) => {
    const events = await system.stack.sql<{ phase: string }>(
      "select to_phase as phase from public.agent_events where agent_id = $1 and to_phase is not null order by seq",
      [agentId],
    );
    return events.map(({ phase }) => phase);
  };

  it("a policy engine errs for a while: no agent is FAILED, each says why, all are DEPLOYED after", async () => {
    const owners = [await system.stack.createUser(), await system.stack.createUser()];
    const agents = await Promise.all(
      owners.map(async (owner) => ({ owner, agentId: await launch(owner, 2) })),
    );
    const before = await Promise.all(agents.map(({ agentId }) => uids(agentId, ["Pod"])));
    const made = await system.kube.call("POST", WEBHOOKS, engine);
    assert.equal(made.status, 201, made.text);
    for (const { owner } of agents) {
      const namespace = system.namespaceOf(owner.id);
      const path = `${pathOf("Deployment", namespace)}?dryRun=All`;
      const ask = async () => {
        const answer = await system.kube.call("POST", path, deployment(namespace, "asked"));
        return answer.status >= 300 ? answer : undefined;
      };
      const refused = await eventually("the engine is asked, and errs", ask, PATIENCE);
      assert.equal(refused.status, 500, refused.text);
      assert.match(refused.body.message, /failed calling webhook/);
    }

    system.faults.reset();
    for (const { owner, agentId } of agents) {
      const change = { character: { bio: "Newer" } };
      assert.ok((await api(system.stack, owner, "PUT", `/agents/${agentId}`, change)).status < 300);
    }
    for (const [index, { owner, agentId }] of agents.entries()) {
      await eventually(
        `${agentId} was refused twice`,
        () => system.faults.count({ verb: "apply", resource: "deployments", name: agentId }) >= 2,
        PATIENCE,
      );
      const told = await eventually(
        "its status says why it waits",
        async () => {
          const now = await status(owner, agentId);
          return /failed calling webhook/.test(now.message) ? now : undefined;
        },
        PATIENCE,
      );
      assert.equal(told.reason, "RETRYING");
      assert.notEqual(told.status, "FAILED");
      assert.deepEqual(await uids(agentId, ["Pod"]), before[index]);
      assert.ok((await system.podsOf(agentId)).every(isReady), "its replicas serve");
      assert.equal(told.health.kubernetes.readyReplicas, 2);
    }

    await removeEngine();
    for (const { owner, agentId } of agents) {
      await eventually(
        "one replica at least serves until the new ones are there",
        async () => {
          assert.ok((await system.podsOf(agentId)).some(isReady), `no replica of ${agentId} serves`);
          return (await status(owner, agentId)).status === "DEPLOYED";
        },
        PATIENCE,
      );
      await deployed(agentId, 2, 2);
      assert.ok(!(await phases(agentId)).includes("FAILED"));
      const { reason, message } = await status(owner, agentId);
      assert.deepEqual([reason, message], [null, null], "what kept it is told no more");
    }
  });

  it("a tighter quota of somebody else: the reason is told, nothing is deleted, DEPLOYED when it goes", async () => {
    const owner = await system.stack.createUser();
    const agentId = await launch(owner, 1);
    const namespace = system.namespaceOf(owner.id);
    const quota = { name: "somebody-elses", namespace };
    const spec = { hard: { pods: "1" } };
    await system.kube.apply({ apiVersion: "v1", kind: "ResourceQuota", metadata: quota, spec });
    const counted = (it: KubeObject | undefined) => it?.status?.used?.pods === "1";
    await system.kube.until("ResourceQuota", namespace, quota.name, "it is in force", counted, PATIENCE);
    const before = await uids(agentId);
    system.faults.reset();

    const scale = await api(system.stack, owner, "POST", `/agents/${agentId}/scale`, { replicas: 2 });
    assert.ok(scale.status < 300, JSON.stringify(scale.body));
    const told = await eventually(
      "the status says why the replica is missing",
      async () => {
        const now = await status(owner, agentId);
        const why = now.conditions.find(({ type }: { type: string }) => type === "ReplicaFailure");
        return why?.reason === "QuotaExceeded" ? { ...now, why } : undefined;
      },
      PATIENCE,
    );
    assert.match(
      told.why.message,
      /^The quota \S+ of the namespace is used up: 1 of 1 pods are used, 1 more is asked for/,
    );
    assert.equal(told.status, "SCALING");
    assert.equal(told.health.kubernetes.readyReplicas, 1);
    assert.deepEqual(await uids(agentId), before);
    assert.ok(counted(await system.kube.get("ResourceQuota", namespace, quota.name)), "it is left alone");

    await system.kube.delete("ResourceQuota", namespace, quota.name);
    await deployed(agentId, 2, 2);
    const now = await uids(agentId);
    for (const one of before) assert.ok(now.includes(one), `${one} is left`);
    assert.equal(system.faults.count({ verb: ["delete", "deletecollection"], namespace }), 0);
    assert.ok(!(await phases(agentId)).includes("FAILED"));
  });
});
