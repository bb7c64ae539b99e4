// The whole system on Kubernetes: the embedded stack, its controller, a real control plane, real agents.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import { LABELS } from "../../packages/controller/src/cluster/kubernetes/names.ts";
import { api, lastSeq, launched, reached } from "../helpers/agents.ts";
import { whyNoCluster } from "../helpers/cluster.ts";
import type { KubeObject } from "../helpers/kube.ts";
import { WRITES } from "../helpers/kube-requests.ts";
import { heartbeats, type KubeStack, startKubeStack } from "../helpers/kube-stack.ts";
import { eventually } from "../helpers/processes.ts";
import type { TestUser } from "../helpers/stack.ts";

const why = await whyNoCluster();
const KINDS = [
  "Deployment",
  "ReplicaSet",
  "Pod",
  "Service",
  "Secret",
  "ConfigMap",
  "ServiceAccount",
  "HorizontalPodAutoscaler",
  "PodDisruptionBudget",
  "Ingress",
  "NetworkPolicy",
];

describe("agents on Kubernetes", { skip: why !== undefined }, () => {
  let system: KubeStack;
  /** Her agents are processes; everybody else's are pretended. */
  let alice: TestUser;
  let bob: TestUser;
  let others: KubeObject[] = [];

  beforeAll(async () => {
    system = await startKubeStack();
    [alice, bob] = await Promise.all([system.stack.createUser(), system.stack.createUser()]);
    await rules();
  });
  afterAll(async () => {
    await system?.stop();
  });

  /** Gives the pretended agents behaviours, in place of those before. */
  async function rules(...more: KubeObject[]): Promise<void> {
    others = more;
    await system.cluster.setRules([{ selector: `${LABELS.user}!=${alice.id}`, pretend: true }, ...others]);
  }
  const call = (user: TestUser, method: string, path: string, body?: unknown) =>
    api(system.stack, user, method, path, body);
  const status = async (user: TestUser, agentId: string) =>
    (await call(user, "GET", `/agents/${agentId}/status`)).body;
  /** Does something to an agent and waits for the phase that follows from it. */
  async function change(
    user: TestUser,
    agentId: string,
    phase: string,
    method: string,
    path: string,
    body?: unknown,
  ): Promise<void> {
    const seq = await lastSeq(system.stack, agentId);
    const answer = await call(user, method, `/agents/${agentId}${path}`, body);
    assert.ok(answer.status < 300, JSON.stringify(answer.body));
    await reached(system.stack, agentId, phase, seq);
  }
  const names = (objects: KubeObject[]) => objects.map((object) => object.metadata.name).sort();

  describe("one agent, as a process", () => {
    let agentId: string;

    it("is launched and answers", async () => {
      agentId = await launched(system.stack, alice, { environment: { GREETING: "a-secret-greeting" } });
      const { health, url } = await status(alice, agentId);
      assert.equal(health.kubernetes.readyReplicas, 1);
      assert.ok(url.includes(agentId));
      const answer = await eventually("the gateway reaches it", async () => {
        const found = await system.stack.agentFetch(agentId, "/health", { token: alice.token });
        return found.status === 200 ? found : undefined;
      });
      assert.equal(JSON.parse(answer.body).agentId, agentId);
      const message = await system.stack.agentFetch(agentId, "/message", {
        method: "POST",
        token: alice.token,
        body: JSON.stringify({ text: "hello" }),
      });
      assert.equal(JSON.parse(message.body).error.code, "MODEL_UNCONFIGURED");
    });

    it("lives in a namespace that bounds and isolates its user", async () => {
      const namespace = system.namespaceOf(alice.id);
      const found = await system.kube.get("Namespace", undefined, namespace);
      assert.equal(found?.metadata.labels["pod-security.kubernetes.io/enforce"], "restricted");
      assert.equal((await system.kube.list("ResourceQuota", namespace)).length, 1);
      assert.equal((await system.kube.list("LimitRange", namespace)).length, 1);
      const policies = await system.kube.list("NetworkPolicy", namespace);
      assert.ok(policies.some((policy) => policy.spec.policyTypes.includes("Egress")));
    });

    it("keeps its secrets in the Secret alone", async () => {
      for (const kind of KINDS.filter((kind) => kind !== "Secret"))
        assert.doesNotMatch(JSON.stringify(await system.objectsOf(kind, agentId)), /a-secret-greeting/, kind);
      const held = Object.assign({}, ...(await system.objectsOf("Secret", agentId)).map(({ data }) => data));
      assert.equal(held.GREETING, Buffer.from("a-secret-greeting").toString("base64"));
      assert.ok(held.AGENT_MESSAGE_KEY, "by which it knows whose history of a conversation to believe");
      const [pod] = await system.podsOf(agentId);
      assert.equal(pod?.spec.automountServiceAccountToken, false);
    });

    it("has its logs and its figures in the database", async () => {
      const log = await eventually("a line of the runtime", async () => {
        const { body } = await call(alice, "GET", `/agents/${agentId}/logs?lines=50`);
        return body.logs.find((line: { message: string }) => line.message === "listening");
      });
      assert.equal(log.metadata.pod, names(await system.podsOf(agentId))[0]);
      const metrics = await eventually("a sample with memory", async () => {
        const { body } = await call(alice, "GET", `/agents/${agentId}/metrics`);
        return body.metrics?.memory?.usage > 30_000_000 ? body.metrics : undefined;
      });
      assert.ok(metrics.memory.usage < 256 * 1024 * 1024);
    });

    it("is scaled without replacing what runs", async () => {
      const before = names(await system.podsOf(agentId));
      await change(alice, agentId, "DEPLOYED", "POST", "/scale", { replicas: 2 });
      const after = names(await system.podsOf(agentId));
      assert.equal(after.length, 2);
      assert.ok(before.every((name) => after.includes(name)));
      assert.equal((await status(alice, agentId)).health.kubernetes.readyReplicas, 2);
    });

    it("is updated without a gap", async () => {
      const before = names(await system.podsOf(agentId));
      let done = false;
      const asked: number[] = [];
      const asking = (async () => {
        while (!done) asked.push((await system.stack.agentFetch(agentId, "/ready")).status);
      })();
      await change(alice, agentId, "DEPLOYED", "PUT", "", { character: { bio: "Another one" } });
      done = true;
      await asking;
      assert.ok(asked.length > 5);
      assert.deepEqual(new Set(asked), new Set([200]));
      const after = names(await system.podsOf(agentId));
      assert.ok(!after.some((name) => before.includes(name)), `${before} and ${after} share a pod`);
      assert.equal((await system.objectsOf("Secret", agentId)).length <= 2, true);
    });

    it("is restarted: every pod is a new one", async () => {
      const before = names(await system.podsOf(agentId));
      await change(alice, agentId, "DEPLOYED", "POST", "/restart");
      const after = names(await system.podsOf(agentId));
      assert.equal(after.length, 2);
      assert.ok(!after.some((name) => before.includes(name)));
    });

    it("goes back to an earlier revision", async () => {
      await change(alice, agentId, "DEPLOYED", "POST", "/rollback", { revision: 1 });
      const config = (await system.objectsOf("ConfigMap", agentId)).map((map) => JSON.stringify(map.data));
      assert.ok(config.some((data) => !data.includes("Another one")));
      const [pod] = await system.podsOf(agentId);
      const path = `/api/v1/namespaces/${pod?.metadata.namespace}/pods/${pod?.metadata.name}:8080/proxy/health`;
      assert.deepEqual((await system.kube.call("GET", path)).body, { status: "ok" });
    });

    it("is stopped, and started again", async () => {
      await change(alice, agentId, "STOPPED", "POST", "/stop");
      assert.deepEqual(await system.podsOf(agentId), []);
      await change(alice, agentId, "DEPLOYED", "POST", "/start");
      assert.equal((await system.podsOf(agentId)).length, 2);
    });

    it("is deleted with everything of it; then its user's namespace goes too", async () => {
      await change(alice, agentId, "DELETED", "DELETE", "");
      for (const kind of KINDS) {
        await eventually(
          `no ${kind} is left`,
          async () => (await system.objectsOf(kind, agentId)).length === 0,
        );
      }
    });
  });

  describe("failures say what to do", () => {
    const failures: [name: string, rule: KubeObject, reason: RegExp, message: RegExp][] = [
      ["an image that cannot be pulled", { behaviour: "image-pull-backoff" }, /^ImagePull/, /agent-runtime/],
      ["a crash loop", { behaviour: "crash-loop" }, /CRASH/i, /the agent crashed: boom/],
      ["a missing plugin", { behaviour: "exit-78" }, /^PLUGIN_NOT_FOUND$/, /@example\/missing/],
      ["out of memory", { behaviour: "oom-killed" }, /^OOMKilled$/, /memory/i],
      ["a probe that never succeeds", { behaviour: "never-ready" }, /^ProbeFailing$/, /ready|503/i],
    ];
    /** Those that are not mended yet, by their names. All begin at once: some fail only when their time to get ready is over. */
    const failing = new Map<string, { user: TestUser; agentId: string; rule: KubeObject }>();
    beforeAll(async () => {
      for (const [name, rule] of failures) {
        const user = await system.stack.createUser();
        failing.set(name, { user, agentId: "", rule: { selector: `${LABELS.user}=${user.id}`, ...rule } });
      }
      await rules(...Array.from(failing.values(), ({ rule }) => rule));
      for (const one of failing.values()) {
        const { body } = await call(one.user, "POST", "/agents", {
          agentName: "failing",
          resources: { memory: "256Mi", cpu: "100m" },
        });
        one.agentId = body.agentId;
      }
    });

    for (const [name, , reason, message] of failures) {
      it(`${name} fails the launch; when it is mended, a restart deploys`, async () => {
        const { user, agentId } = failing.get(name) ?? assert.fail(name);
        await reached(system.stack, agentId, "FAILED");
        const failed = await status(user, agentId);
        assert.equal(failed.status, "FAILED");
        assert.match(failed.reason, reason);
        assert.match(failed.message, message);
        failing.delete(name);
        await rules(...Array.from(failing.values(), ({ rule }) => rule));
        await change(user, agentId, "DEPLOYED", "POST", "/restart");
        await change(user, agentId, "DELETED", "DELETE", "");
      });
    }

    it("a pod that fits on no node", async () => {
      const user = await system.stack.createUser();
      await system.stack.sql("update public.quotas set max_cpu = 1e9, max_memory = 1e15 where user_id = $1", [
        user.id,
      ]);
      const cordon = async (unschedulable: boolean) => {
        for (const node of await system.kube.list("Node"))
          await system.kube.patch("Node", undefined, node.metadata.name, { spec: { unschedulable } });
      };
      await cordon(true);
      try {
        const { body } = await call(user, "POST", "/agents", { agentName: "nowhere" });
        await reached(system.stack, body.agentId, "FAILED");
        const failed = await status(user, body.agentId);
        assert.match(
          `${failed.reason} ${failed.message}`,
          /UNSCHEDULABLE|unschedulable|nodes are available/i,
        );
      } finally {
        await cordon(false);
      }
    });

    it("a failed update leaves the last complete one running", async () => {
      const user = await system.stack.createUser();
      const agentId = await launched(system.stack, user);
      const before = names(await system.podsOf(agentId));
      await rules(
        { selector: `${LABELS.user}=${user.id}`, behaviour: "crash-loop" },
        ...before.map((pod) => ({ pod, behaviour: "run" })),
      );
      await change(user, agentId, "FAILED", "PUT", "", { character: { bio: "Worse" } });
      await eventually("only the earlier pods are left", async () => {
        const now = await system.podsOf(agentId);
        return JSON.stringify(names(now)) === JSON.stringify(before);
      });
      const [pod] = await system.podsOf(agentId);
      assert.equal(pod?.status.containerStatuses[0].ready, true);
      const { body } = await call(user, "GET", `/agents/${agentId}/status`);
      assert.match(body.reason, /CRASH/i);
      await rules();
    });
  });

  it("a scaling policy is an HPA that acts on what the pods use", async () => {
    const agentId = await launched(system.stack, bob);
    await change(bob, agentId, "DEPLOYED", "POST", "/scale", {
      replicas: 1,
      scaling_policy: { min_replicas: 1, max_replicas: 3, target_cpu: 50 },
    });
    assert.equal((await system.objectsOf("HorizontalPodAutoscaler", agentId)).length, 1);
    await rules({ selector: `${LABELS.agent}=${agentId}`, cpu: "90m" });
    await eventually(
      "three replicas are ready and reported",
      async () => (await status(bob, agentId)).health.kubernetes.readyReplicas === 3,
    );
    await rules();
  });

  it("a cluster at rest is not written to", async () => {
    await launched(system.stack, bob);
    // What the launch and the tests before set off is over when nothing is written for two seconds.
    await eventually(
      "the writes end",
      async () => {
        system.faults.reset();
        await heartbeats(system.stack, { controllers: 1, times: 1 });
        return system.faults.count({ verb: WRITES }) === 0;
      },
      60_000,
    );
    system.faults.reset();
    await heartbeats(system.stack, { controllers: 1, times: 3 });
    assert.deepEqual(
      system.faults.requests.filter((r) => WRITES.includes(r.verb)).map((r) => `${r.verb} ${r.resource}`),
      [],
    );
    assert.ok(system.faults.connections <= 1, `${system.faults.connections} connections opened at rest`);
  });
});
