// A class from the operator's command to the pods: a project, a controller and a real API server.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, type KubeObject, kubeClient } from "../helpers/kube.ts";
import { type Fleet, startFleet } from "../helpers/kube-controllers.ts";
import { type KubeFaults, startKubeFaults } from "../helpers/kube-faults.ts";
import { eventually } from "../helpers/processes.ts";
import type { TestUser } from "../helpers/stack.ts";

const why = await whyNoCluster();
describe("classes of users, from the command line to the pods", { skip: why !== undefined }, () => {
  let cluster: TestCluster;
  let kube: KubeClient;
  let faults: KubeFaults;
  let fleet: Fleet;
  let alice: TestUser;
  let bob: TestUser;

  beforeAll(async () => {
    cluster = await startCluster({ backoffMs: 300, maxBackoffMs: 1000 });
    kube = kubeClient(cluster);
    const made = await kube.call("POST", "/apis/node.k8s.io/v1/runtimeclasses", {
      apiVersion: "node.k8s.io/v1",
      kind: "RuntimeClass",
      metadata: { name: "gvisor" },
      handler: "runsc",
    });
    assert.equal(made.status, 201, made.text);
    faults = await startKubeFaults(cluster);
    fleet = await startFleet(faults.kubeconfig, {
      LAUNCHPAD_AGENT_IMAGE: "registry.example/agent:1",
      LAUNCHPAD_READY_SECONDS: "8",
      LAUNCHPAD_ROLLOUT_SOAK_SECONDS: "1",
    });
    [alice, bob] = [await fleet.stack.createUser(), await fleet.stack.createUser()];
    await fleet.start();
    for (const user of [alice, alice, bob]) {
      const { error } = await user.client.rpc("launch_agent", { definition: { agentName: "bot" } });
      assert.equal(error, null);
    }
    await ready(alice, 2, () => true);
    await ready(bob, 1, () => true);
  });
  afterAll(async () => {
    await fleet?.stop();
    await faults?.close();
    kube?.close();
    await cluster?.stop();
  });

  const isReady = ({ metadata, status }: KubeObject) =>
    metadata.deletionTimestamp === undefined &&
    status?.conditions?.some((one: Record<string, string>) => one.type === "Ready" && one.status === "True");
  const pods = async (user: TestUser) => (await kube.list("Pod", `agents-${user.id}`)).filter(isReady);
  const ready = (user: TestUser, count: number, is: (pod: KubeObject) => boolean) =>
    eventually(
      `${count} pods as wanted`,
      async () => {
        const all = await pods(user);
        return all.length === count && all.every(is);
      },
      90_000,
    );
  const operate = async (...args: string[]) => {
    const { code, json, stderr } = await fleet.operate(...args);
    assert.equal(code, 0, stderr);
    return json;
  };

  it("a user who gets a class: their pods are in the sandbox, others' stay as they are", async () => {
    const before = (await pods(bob)).map(({ metadata }) => metadata.uid);
    await operate("classes", "set", "sandboxed", "--runtime-class", "gvisor");
    await operate("class", alice.email, "sandboxed");
    await ready(alice, 2, ({ spec }) => spec.runtimeClassName === "gvisor");
    assert.deepEqual(
      (await pods(bob)).map(({ metadata }) => metadata.uid),
      before,
    );
    const rows = await fleet.stack.sql(
      `select distinct phase, generation::int from private.agent_deployments where user_id = '${alice.id}'`,
    );
    assert.deepEqual(
      rows,
      [{ phase: "DEPLOYED", generation: 1 }],
      "no generation, and no phase but DEPLOYED",
    );
  });

  it("an image of a class that cannot be pulled stops after one agent; all serve on; undo puts it right", async () => {
    await operate("classes", "set", "sandboxed", "--image", "registry.example/agent:image-pull-backoff");
    const halted = await eventually(
      "it is halted",
      async () => {
        const now = await operate("rollout", "status");
        return now?.state === "halted" ? now : undefined;
      },
      90_000,
    );
    assert.match(halted.problem, /image-pull-backoff/);
    const old = await pods(alice);
    assert.equal(old.length, 2);
    assert.ok(old.every(({ spec }) => spec.containers[0].image === "registry.example/agent:1"));
    const waiting = (await kube.list("Pod", `agents-${alice.id}`)).filter((one) => !isReady(one));
    assert.equal(waiting.length, 1, "one agent alone has tried it");
    await operate("rollout", "undo");
    await eventually("only what served is left", async () => {
      const all = await kube.list("Pod", `agents-${alice.id}`);
      return all.length === 2 && all.every(isReady);
    });
  });

  it("a better image of the class reaches all of its users, and nobody else", async () => {
    await operate("classes", "set", "sandboxed", "--image", "registry.example/agent:own");
    await ready(alice, 2, ({ spec }) => spec.containers[0].image === "registry.example/agent:own");
    await ready(bob, 1, ({ spec }) => spec.containers[0].image === "registry.example/agent:1");
  });
});
