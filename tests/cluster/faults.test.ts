// The whole system on Kubernetes while things fail: every intent is kept, nothing is doubled, nothing stalls.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, it } from "vitest";
import { LABELS } from "../../packages/controller/src/cluster/kubernetes/names.ts";
import { seededRandom } from "../../packages/controller/src/testing/simulated-clock.ts";
import { api, lastSeq, launched, reached } from "../helpers/agents.ts";
import { whyNoCluster } from "../helpers/cluster.ts";
import { WRITES } from "../helpers/kube-requests.ts";
import { heartbeats, type KubeStack, startKubeStack } from "../helpers/kube-stack.ts";
import { eventually } from "../helpers/processes.ts";
import type { TestUser } from "../helpers/stack.ts";

const why = await whyNoCluster();
const PATIENCE = 60_000;

describe("faults of and around the cluster", { skip: why !== undefined }, () => {
  let system: KubeStack;
  let user: TestUser;

  beforeAll(async () => {
    // Every agent is pretended: what fails here are the parts around them.
    system = await startKubeStack({
      cluster: { images: {} },
      // Secrets and ConfigMaps are not watched: what happens to them is seen at the next comparison.
      env: { LAUNCHPAD_RESYNC_SECONDS: "3" },
    });
    user = await system.stack.createUser();
    await system.stack.sql("update public.quotas set max_agents = 1000, max_replicas = 5000");
  });
  afterAll(async () => {
    await system?.stop();
  });
  afterEach(async () => {
    system?.faults.clear();
    await system?.cluster.setEtcdDelay(0);
  });

  const call = (method: string, path: string, body?: unknown, caller = user) =>
    api(system.stack, caller, method, path, body);
  const launch = async (replicas = 1, caller = user): Promise<string> => {
    const { status, body } = await call(
      "POST",
      "/agents",
      { agentName: "pretended", resources: { memory: "128Mi", cpu: "50m", replicas } },
      caller,
    );
    assert.equal(status, 201, JSON.stringify(body));
    return body.agentId;
  };

  /** The row says that what is wanted is there, and the cluster has exactly that. */
  async function settled(agentId: string, replicas: number): Promise<void> {
    let last: unknown;
    await eventually(
      `${agentId} has ${replicas} replicas`,
      async () => {
        const [row] = await system.stack.sql(
          `select phase, generation = observed_generation as settled, ready_replicas as ready
           from private.agent_deployments where agent_id = $1`,
          [agentId],
        );
        const [deployments, pods] = await Promise.all([
          system.objectsOf("Deployment", agentId),
          system.podsOf(agentId),
        ]);
        last = { row, deployments: deployments.length, pods: pods.length };
        return (
          row?.phase === "DEPLOYED" &&
          row.settled &&
          row.ready === replicas &&
          deployments.length === 1 &&
          pods.length === replicas &&
          pods.every((pod) => pod.status.containerStatuses?.[0]?.ready)
        );
      },
      PATIENCE,
    ).catch((error: Error) => {
      throw new Error(`${error.message}; it is ${JSON.stringify(last)}`);
    });
  }
  const gone = (agentId: string) =>
    eventually(
      `nothing of ${agentId} is left`,
      async () => {
        for (const kind of ["Deployment", "Pod", "Service", "Secret", "ConfigMap", "ServiceAccount"])
          if ((await system.objectsOf(kind, agentId)).length > 0) return false;
        return true;
      },
      PATIENCE,
    );
  const apiServerReady = () =>
    eventually(
      "the API server is ready",
      () =>
        system.kube.call("GET", "/readyz").then(
          ({ status }) => status === 200,
          () => false,
        ),
      PATIENCE,
    );

  it("the controller is killed before and after each kind of write: nothing is lost or doubled", async () => {
    const resources = ["namespaces", "secrets", "configmaps", "deployments", "services"];
    for (const resource of resources) {
      for (const when of ["before", "after"] as const) {
        // A user of its own, so that the namespace is made each time.
        const owner = await system.stack.createUser();
        let hits = 0;
        const remove = system.faults.add({
          match: { verb: WRITES, resource },
          times: 1,
          effect: when === "before" ? { kind: "reset" } : { kind: "answerLost" },
          onHit: () => {
            hits += 1;
            process.kill(system.controller().pid, "SIGKILL");
          },
        });
        const agentId = await launch(1, owner);
        await settled(agentId, 1);
        remove();
        assert.equal(hits, 1, `the controller was killed ${when} its write of ${resource}`);
        await call("DELETE", `/agents/${agentId}`, undefined, owner);
      }
    }
  });

  it("the API server is down: work waits and is done when it is back", async () => {
    const agentId = await launched(system.stack, user);
    const pods = (await system.podsOf(agentId)).map((pod) => pod.metadata.uid);
    await system.cluster.component("kube-apiserver", "kill");
    let late = "";
    try {
      await call("POST", `/agents/${agentId}/scale`, { replicas: 3 });
      late = await launch();
      system.faults.reset();
      await eventually("the controller asked in vain", () => system.faults.count() >= 3);
    } finally {
      await system.cluster.component("kube-apiserver", "start");
      await apiServerReady();
    }
    await settled(agentId, 3);
    await settled(late, 1);
    const now = (await system.podsOf(agentId)).map((pod) => pod.metadata.uid);
    assert.ok(pods.every((uid) => now.includes(uid)));
  });

  it("the API server hangs: calls end, and work goes on when it answers again", async () => {
    const agentId = await launched(system.stack, user);
    await system.cluster.component("kube-apiserver", "freeze");
    try {
      await call("POST", `/agents/${agentId}/scale`, { replicas: 2 });
      // Longer than a lease: the controller keeps it without the cluster.
      await heartbeats(system.stack, { controllers: 1, times: 5 });
    } finally {
      await system.cluster.component("kube-apiserver", "thaw");
    }
    await settled(agentId, 2);
  });

  it("etcd is slow: a launch takes longer and succeeds", async () => {
    await system.cluster.setEtcdDelay(250);
    const agentId = await launch(2);
    await settled(agentId, 2);
  });

  it("storms of 409, 429, 500, 503, resets and lost answers: every agent arrives, each once", async () => {
    const random = seededRandom(20_260_601);
    const effects = [
      { kind: "status", status: 409 },
      { kind: "status", status: 429, retryAfterSeconds: 1 },
      { kind: "status", status: 500 },
      { kind: "status", status: 503 },
      { kind: "reset" },
      { kind: "answerLost" },
    ] as const;
    let hits = 0;
    for (const effect of effects)
      system.faults.add({
        match: { verb: [...WRITES, "get", "list"] },
        effect,
        when: () => random() < 0.05,
        onHit: () => {
          hits += 1;
        },
      });
    const agents = await Promise.all(Array.from({ length: 12 }, () => launch()));
    await Promise.all(agents.slice(0, 4).map((id) => call("POST", `/agents/${id}/scale`, { replicas: 2 })));
    await Promise.all(agents.slice(8).map((id) => call("DELETE", `/agents/${id}`)));
    for (const id of agents.slice(0, 4)) await settled(id, 2);
    for (const id of agents.slice(4, 8)) await settled(id, 1);
    for (const id of agents.slice(8)) await gone(id);
    assert.ok(hits > 20, `${hits} requests were hit`);
  });

  it("watches that break, expire or fall silent do not hide what happens", async () => {
    const agentId = await launched(system.stack, user);
    const crashOnce = async () => {
      const seq = await lastSeq(system.stack, agentId);
      await call("POST", `/agents/${agentId}/restart`);
      await reached(system.stack, agentId, "DEPLOYED", seq);
    };
    assert.ok(system.faults.cutWatches() > 0);
    await crashOnce();
    assert.ok(system.faults.expireWatches() > 0);
    await crashOnce();
    const remove = system.faults.add({
      match: { verb: ["watch", "list"] },
      effect: { kind: "status", status: 410 },
      times: 10,
    });
    system.faults.cutWatches();
    await crashOnce();
    remove();
    await settled(agentId, 1);
  });

  it("an object that someone edits is put back, and an event says so", async () => {
    const agentId = await launched(system.stack, user);
    const [deployment] = await system.objectsOf("Deployment", agentId);
    const namespace = deployment?.metadata.namespace;
    const seq = await lastSeq(system.stack, agentId);
    await system.kube.patch("Deployment", namespace, agentId, { spec: { replicas: 5 } });
    await system.kube.until(
      "Deployment",
      namespace,
      agentId,
      "one replica again",
      (d) => d?.spec.replicas === 1,
      PATIENCE,
    );
    await settled(agentId, 1);
    const told = await eventually(
      "an event tells",
      async () => {
        const events = await system.stack.sql(
          "select event_type, message from public.agent_events where agent_id = $1 and seq > $2",
          [agentId, seq],
        );
        return events.length > 0 ? events : undefined;
      },
      PATIENCE,
    );
    assert.match(JSON.stringify(told), /changed|replicas|by hand|put back/i);
  });

  it("objects that someone deletes are made again", async () => {
    const agentId = await launched(system.stack, user);
    const namespace = system.namespaceOf(user.id);
    for (const kind of ["Deployment", "Service", "Secret", "ConfigMap", "ServiceAccount", "NetworkPolicy"]) {
      const before =
        kind === "NetworkPolicy"
          ? await system.kube.list(kind, namespace)
          : await system.objectsOf(kind, agentId);
      assert.ok(before.length > 0, kind);
      for (const object of before) await system.kube.delete(kind, namespace, object.metadata.name);
      for (const object of before)
        await system.kube.until(
          kind,
          namespace,
          object.metadata.name,
          "made again",
          (now) => now !== undefined && now.metadata.uid !== object.metadata.uid,
          PATIENCE,
        );
    }
    await settled(agentId, 1);
  });

  it("a whole namespace that someone deletes is made again with its agents", async () => {
    const owner = await system.stack.createUser();
    const agentId = await launched(system.stack, owner);
    await system.kube.delete("Namespace", undefined, system.namespaceOf(owner.id));
    await eventually(
      "the old pods are gone",
      async () => (await system.podsOf(agentId)).length === 0,
      PATIENCE,
    );
    await settled(agentId, 1);
  });

  describe("a namespace stuck in Terminating", () => {
    let owner: TestUser;
    let first: string;
    let second: string;
    const namespace = () => system.namespaceOf(owner.id);

    beforeAll(async () => {
      owner = await system.stack.createUser();
      first = await launched(system.stack, owner);
      await system.kube.apply({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "stuck", namespace: namespace(), finalizers: ["example.com/never"] },
      });
      await system.kube.delete("Namespace", undefined, namespace());
      second = await launch(1, owner);
    });

    it("is told in the status of the agent that waits for it", async () => {
      await eventually("the status says why it waits", async () => {
        const { body } = await call("GET", `/agents/${second}/status`, undefined, owner);
        return /terminating|being deleted/i.test(JSON.stringify(body));
      });
    });

    it("leaves the agent that ran there FAILED with that reason, and 0 replicas", async () => {
      await eventually(
        "the status says what is left",
        async () => {
          const { body } = await call("GET", `/agents/${first}/status`, undefined, owner);
          return body.status === "FAILED" && /NamespaceTerminating/.test(JSON.stringify(body));
        },
        PATIENCE,
      );
    });

    it("does not hold up other users; when it goes at last, its agents are deployed", async () => {
      await settled(await launch(), 1);
      await system.kube.patch("ConfigMap", namespace(), "stuck", { metadata: { finalizers: [] } });
      await settled(second, 1);
      await settled(first, 1);
    });
  });

  it("a controller that was paused writes nothing stale when it goes on beside another one", async () => {
    const agentId = await launched(system.stack, user);
    const paused = system.controller().pid;
    const other = await secondController();
    try {
      process.kill(paused, "SIGSTOP");
      await call("PUT", `/agents/${agentId}`, { character: { bio: "Newer" } });
      await call("POST", `/agents/${agentId}/scale`, { replicas: 2 });
      await settled(agentId, 2);
      const [before] = await system.objectsOf("Deployment", agentId);
      process.kill(paused, "SIGCONT");
      // Both work now; what the first one held when it was stopped is old.
      await heartbeats(system.stack, { controllers: 2, times: 3 });
      await settled(agentId, 2);
      const [now] = await system.objectsOf("Deployment", agentId);
      assert.deepEqual(now?.spec.template, before?.spec.template);
      assert.equal(now?.metadata.labels[LABELS.agent], agentId);
    } finally {
      process.kill(paused, "SIGCONT");
      await other.stop();
    }
    await settled(agentId, 2);
  });

  /** Another controller of the same database and cluster, with its own state directory. */
  async function secondController(): Promise<{ stop(): Promise<void> }> {
    const { pid, command } = system.controller();
    const environment = Object.fromEntries(
      readFileSync(`/proc/${pid}/environ`, "utf8")
        .split("\0")
        .filter((line) => line.includes("="))
        .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
    const folder = await mkdtemp(join(tmpdir(), "launchpad-second-"));
    const [program = "", ...args] = command.split(" ");
    const child = spawn(program, args, {
      env: {
        ...environment,
        LAUNCHPAD_STATE_DIR: folder,
        LAUNCHPAD_PORT: "0",
        LAUNCHPAD_INGRESS_PORT: "0",
        LAUNCHPAD_REMOVE_AT_END: "false",
      },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const closed = once(child, "close");
    await once(child.stdout, "data");
    child.stdout.resume();
    return {
      stop: async () => {
        child.kill("SIGTERM");
        await closed;
        await rm(folder, { recursive: true, force: true });
      },
    };
  }
});
