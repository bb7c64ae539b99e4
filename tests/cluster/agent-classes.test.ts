// Classes of users on a real API server: what their pods get, that nothing is left of a class that goes, what cannot be had.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { systemClock } from "../../packages/controller/src/clock.ts";
import type { Workload } from "../../packages/controller/src/cluster/cluster.ts";
import { Workloads } from "../../packages/controller/src/cluster/kubernetes/agent-workloads.ts";
import type { KubeApi } from "../../packages/controller/src/cluster/kubernetes/api.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { ClusterView } from "../../packages/controller/src/cluster/kubernetes/observe/view.ts";
import {
  FLEET,
  guardOf,
  manifestOptionsOf,
  workloadOf,
} from "../../packages/controller/src/cluster/kubernetes/testing.ts";
import { isComplete } from "../../packages/controller/src/cluster/rollout.ts";
import type { AgentClass } from "../../packages/controller/src/contract.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, type KubeObject, kubeClient, pathOf } from "../helpers/kube.ts";
import { type KubeFaults, startKubeFaults } from "../helpers/kube-faults.ts";
import { WRITES } from "../helpers/kube-requests.ts";
import { eventually } from "../helpers/processes.ts";

const CLASS: AgentClass = {
  name: "sandboxed",
  image: "registry.example/agent:sandboxed",
  runtimeClassName: "gvisor",
  priorityClassName: "agents-low",
  nodeSelector: { "kubernetes.io/os": "linux" },
  tolerations: [
    { key: "sandbox.gke.io/runtime", operator: "Equal", value: "gvisor", effect: "NoSchedule" },
    { operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 },
  ],
  affinity: {
    nodeAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 10, preference: { matchExpressions: [{ key: "pool", operator: "In", values: ["a"] }] } },
      ],
    },
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 1, podAffinityTerm: { topologyKey: "zone", labelSelector: { matchLabels: { a: "b" } } } },
      ],
    },
  },
  labels: { "example.com/tier": "untrusted" },
  annotations: { "example.com/note": "by class" },
  hostUsers: false,
  egress: { allowCidrs: ["203.0.113.0/24"], ports: [8443] },
  ephemeralStorageBytes: 4 * 1024 ** 3,
};

const why = await whyNoCluster();
describe("classes of users on a real cluster", { skip: why !== undefined }, () => {
  let cluster: TestCluster;
  let kube: KubeClient;
  let faults: KubeFaults;
  let api: KubeApi;
  let view: ClusterView;
  let workloads: Workloads;
  /** The class of the user now, as the database tells it. */
  let now: AgentClass | null = CLASS;
  const base = workloadOf({ userId: "classed", agentId: "agent-c", replicas: 2 });
  const namespace = "agents-classed";

  beforeAll(async () => {
    cluster = await startCluster();
    kube = kubeClient(cluster);
    const made = await Promise.all([
      kube.call("POST", "/apis/node.k8s.io/v1/runtimeclasses", {
        apiVersion: "node.k8s.io/v1",
        kind: "RuntimeClass",
        metadata: { name: "gvisor" },
        handler: "runsc",
        scheduling: { tolerations: [{ key: "by-runtime-class", operator: "Exists" }] },
      }),
      kube.call("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", {
        apiVersion: "scheduling.k8s.io/v1",
        kind: "PriorityClass",
        metadata: { name: "agents-low" },
        value: -10,
      }),
    ]);
    for (const { status, text } of made) assert.equal(status, 201, text);
    faults = await startKubeFaults(cluster);
    api = await createClient({ kubeconfig: faults.kubeconfig });
    view = new ClusterView({
      api,
      installation: "test",
      namespacePrefix: "agents-",
      clock: systemClock,
      random: Math.random,
      log: silentLog,
      resyncSeconds: 600,
    });
    await view.start();
    workloads = controller();
  });
  afterAll(async () => {
    await workloads?.stop();
    await view?.stop();
    await api?.close();
    await faults?.close();
    kube?.close();
    await cluster?.stop();
  });

  function controller(): Workloads {
    return new Workloads(api, view, {
      ...manifestOptionsOf({ graceMs: 1000 }),
      clock: systemClock,
      random: Math.random,
      log: silentLog,
      resyncSeconds: 600,
      responsible: () => true,
      classOf: () => now,
      guard: guardOf(),
      gone: async () => ({ agents: [], users: [], known: { agents: [], users: [] }, fleet: FLEET }),
    });
  }

  const apply = async (agentClass: AgentClass | null): Promise<Workload> => {
    now = agentClass;
    const workload = { ...base, class: agentClass };
    await workloads.apply(workload);
    return workload;
  };
  const pods = async () =>
    (await kube.list("Pod", namespace)).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  /** All pods are ready, and as this says. */
  const pod = (what: string, is: (pod: KubeObject) => boolean) =>
    eventually(what, async () => {
      const seen = workloads.get(base.agentId);
      const all = await pods();
      const complete = seen !== undefined && isComplete(base.replicas, base.template, seen.replicas);
      return complete && all.length === base.replicas && all.every(is) ? all[0] : undefined;
    });

  test("pods have what the class says, and what the cluster makes of it", async () => {
    await apply(CLASS);
    const { metadata, spec } = (await pod("two pods of the class", () => true)) as KubeObject;
    assert.equal(spec.runtimeClassName, "gvisor");
    assert.equal(spec.priority, -10);
    assert.equal(spec.hostUsers, false);
    assert.deepEqual(spec.nodeSelector, CLASS.nodeSelector);
    assert.deepEqual(spec.affinity, CLASS.affinity);
    const keys = spec.tolerations.map(({ key }: { key?: string }) => key);
    assert.ok(keys.includes("sandbox.gke.io/runtime"), String(keys));
    assert.ok(keys.includes("by-runtime-class"), "the RuntimeClass's own are added by the cluster");
    assert.equal(spec.containers[0].image, CLASS.image);
    assert.equal(spec.containers[0].resources.limits["ephemeral-storage"], String(4 * 1024 ** 3));
    assert.equal(metadata.labels?.["example.com/tier"], "untrusted");
    assert.equal(metadata.annotations?.["example.com/note"], "by class");
    const policy = await kube.get("NetworkPolicy", namespace, "allow-egress");
    assert.deepEqual(policy?.spec.egress[0].to, [{ ipBlock: { cidr: "203.0.113.0/24" } }]);
  });

  test("what is as the class says is not drift, and is never written again", async () => {
    assert.equal(workloads.get(base.agentId)?.drift, undefined);
    faults.reset();
    await apply(CLASS);
    const again = controller();
    await again.apply({ ...base, class: CLASS });
    assert.deepEqual(
      faults.requests
        .filter(({ verb }) => WRITES.includes(verb))
        .map(({ verb, resource }) => `${verb} ${resource}`),
      [],
    );
    await again.stop();
  });

  test("the namespace enforces Pod Security: a pod of the class with the host's network is refused", async () => {
    const user = await kube.get("Namespace", undefined, namespace);
    assert.equal(user?.metadata.labels?.["pod-security.kubernetes.io/enforce"], "restricted");
    const [one] = await pods();
    const { nodeName: _, priority: _p, ...spec } = one?.spec ?? {};
    const open = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "open", namespace },
      spec: { ...spec, hostUsers: true, hostNetwork: true },
    };
    const answer = await kube.call("POST", `${pathOf("Pod", namespace)}?dryRun=All`, open);
    assert.equal(answer.status, 403, answer.text);
  });

  test("another class is noticed, applied without a new generation, and leaves nothing of the first", async () => {
    now = { name: "plain", labels: { "example.com/other": "1" } };
    const seen = workloads.get(base.agentId);
    assert.deepEqual(
      [seen?.generation, seen?.drift],
      [-1, undefined],
      "to be applied, and nobody's meddling",
    );
    await apply(now);
    const { metadata, spec } = (await pod(
      "two pods without the class",
      ({ spec }) => spec.runtimeClassName === undefined,
    )) as KubeObject;
    for (const field of ["affinity", "nodeSelector", "hostUsers", "priorityClassName"])
      assert.equal(spec[field], undefined, field);
    assert.equal(metadata.labels?.["example.com/tier"], undefined);
    assert.equal(metadata.labels?.["example.com/other"], "1");
    assert.equal(metadata.annotations?.["example.com/note"], undefined);
    const policy = await kube.get("NetworkPolicy", namespace, "allow-egress");
    assert.notDeepEqual(policy?.spec.egress[0].to, [{ ipBlock: { cidr: "203.0.113.0/24" } }]);
  });

  test("a RuntimeClass that the cluster does not have: the old pods serve on, and it says which", async () => {
    // As a rollout brings it.
    const platform = {
      id: "0123456789abcdef",
      image: "registry.example/agent:1",
      class: { runtimeClassName: "kata" },
    };
    await workloads.apply({ ...base, class: now, platform });
    const blocked = await eventually("it says why", () => workloads.get(base.agentId)?.blocked);
    assert.match(blocked.message, /RuntimeClass.*kata.*not found/i);
    assert.equal((await pods()).length, base.replicas);
    assert.equal(
      workloads.get(base.agentId)?.replicas.filter(({ state }) => state === "ready").length,
      base.replicas,
    );
    await apply(null);
    await pod("two pods as before", ({ spec }) => spec.runtimeClassName === undefined);
  });
});
