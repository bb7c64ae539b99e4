// What the controller writes, against a real API server: admission, server-side apply, drift, removal, number of calls.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type Clock, systemClock } from "../../packages/controller/src/clock.ts";
import type { Workload } from "../../packages/controller/src/cluster/cluster.ts";
import { Workloads } from "../../packages/controller/src/cluster/kubernetes/agent-workloads.ts";
import type {
  KubeApi,
  KubeObject as Manifest,
} from "../../packages/controller/src/cluster/kubernetes/api.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { closePools, createPools } from "../../packages/controller/src/cluster/kubernetes/connection.ts";
import { workloadManifests } from "../../packages/controller/src/cluster/kubernetes/manifests/agent-manifests.ts";
import { Reflector } from "../../packages/controller/src/cluster/kubernetes/observe/reflector.ts";
import { ClusterView } from "../../packages/controller/src/cluster/kubernetes/observe/view.ts";
import type { ManifestOptions } from "../../packages/controller/src/cluster/kubernetes/options.ts";
import {
  FLEET,
  guardOf,
  manifestOptionsOf,
  workloadOf,
} from "../../packages/controller/src/cluster/kubernetes/testing.ts";
import { isComplete } from "../../packages/controller/src/cluster/rollout.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { specOf } from "../../packages/controller/src/testing/memory-database.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, kubeClient, pathOf } from "../helpers/kube.ts";
import { type KubeFaults, startKubeFaults } from "../helpers/kube-faults.ts";
import { eventually } from "../helpers/processes.ts";
import { startTcpProxy } from "../helpers/tcp-proxy.ts";

const why = await whyNoCluster();
const TEMPLATES = ["a".repeat(16), "b".repeat(16), "c".repeat(16)] as const;
const POLICY = { min_replicas: 2, max_replicas: 5, target_cpu: 70 };

describe("what is written to a real cluster", { skip: why !== undefined }, () => {
  let cluster: TestCluster;
  let kube: KubeClient;
  let faults: KubeFaults;
  let api: KubeApi;
  let view: ClusterView;
  let workloads: Workloads;
  const made: Workloads[] = [];
  let gone: { agents: string[]; users: string[] } = { agents: [], users: [] };

  /** A controller that knows nothing yet. */
  function controller(
    options: Partial<ManifestOptions> = {},
    resyncSeconds = 2,
    clock: Clock = systemClock,
  ): Workloads {
    const one = new Workloads(api, view, {
      ...manifestOptionsOf({ graceMs: 1000, ...options }),
      clock,
      random: Math.random,
      log: silentLog,
      resyncSeconds,
      responsible: (agentId) => !gone.agents.includes(agentId),
      guard: guardOf(),
      gone: async () => ({ ...gone, known: { agents: [], users: [] }, fleet: FLEET }),
    });
    made.push(one);
    return one;
  }

  beforeAll(async () => {
    cluster = await startCluster();
    kube = kubeClient(cluster);
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
    for (const one of made) await one.stop();
    await view?.stop();
    await api?.close();
    await faults?.close();
    kube?.close();
    await cluster?.stop();
  });

  const isUp = (agentId: string, workload: Workload, of = workloads) =>
    eventually(`${agentId} is up`, () => {
      const seen = of.get(agentId);
      return seen !== undefined && isComplete(workload.replicas, workload.template, seen.replicas)
        ? seen
        : undefined;
    });
  /** Writes since the last reset, as `apply deployments`. */
  const writes = () =>
    faults.requests
      .filter(({ verb }) => !["get", "list", "watch"].includes(verb))
      .map(({ verb, resource }) => `${verb} ${resource}`)
      .sort();

  const variants: [string, Partial<Workload>, Partial<ManifestOptions>][] = [
    [
      "by Ingress, scaled by itself",
      { spec: specOf({ scalingPolicy: POLICY }) },
      { ingressTlsSecret: "tls" },
    ],
    ["a name that begins with a digit, no quota", { agentId: "0-agent", quota: null }, { expose: "none" }],
    [
      "networks and ports of its own, pull secrets, a role",
      {},
      {
        egress: {
          allowCidrs: ["10.20.0.0/16", "0.0.0.0/0", "2000::/3"],
          exceptCidrs: ["140.82.0.0/16", "2606:4700::/32"],
          allowPrivate: true,
          ports: [443, 5432],
        },
        ingressCidrs: ["10.1.0.0/16", "fd00::/64"],
        imagePullSecrets: ["registry"],
        tenantRole: { clusterRole: "agent-launchpad-tenant", serviceAccount: "controller" },
      },
    ],
  ];
  for (const [what, part, options] of variants) {
    test(`every object is admitted under Pod Security restricted: ${what}`, async () => {
      const userId = `dry-${variants.findIndex(([name]) => name === what)}`;
      const manifests = workloadManifests(workloadOf({ ...part, userId }), manifestOptionsOf(options));
      const { user, anchor, before: first, beside, deployment, after: last } = manifests;
      await api.apply(user.namespace);
      const objects = [...user.access, ...user.bounds, anchor, ...first, ...beside, deployment, ...last];
      for (const object of objects) {
        const answer = await api.apply(object, { dryRun: true });
        assert.equal(answer.metadata.name, object.metadata.name);
      }
      // The Deployment's pods are judged when they are made: the same pod on its own, with what it needs.
      for (const object of first) await api.apply(object);
      const { metadata, spec } = (
        deployment.spec as { template: Pick<Manifest, "metadata"> & { spec: unknown } }
      ).template;
      const namespace = user.namespace.metadata.name;
      const pod = { apiVersion: "v1", kind: "Pod", metadata: { ...metadata, name: "dry" }, spec };
      const answer = await kube.call("POST", `${pathOf("Pod", namespace)}?dryRun=All`, pod);
      assert.equal(answer.status, 201, answer.text);
      assert.equal(answer.body.status.qosClass, "Guaranteed");
      // And that restricted is really enforced there:
      const open = { ...pod, spec: { ...(spec as object), hostNetwork: true } };
      assert.equal((await kube.call("POST", `${pathOf("Pod", namespace)}?dryRun=All`, open)).status, 403);
    });
  }

  test("a change writes each object at most once, and what is as it should be is never written", async () => {
    const first = workloadOf({ userId: "calls", agentId: "calls-1", template: TEMPLATES[0], replicas: 2 });
    faults.reset();
    await workloads.apply(first);
    assert.deepEqual(writes(), [
      "apply configmaps",
      "apply deployments",
      "apply ingresses",
      "apply limitranges",
      "apply namespaces",
      "apply networkpolicies",
      "apply networkpolicies",
      "apply networkpolicies",
      "apply networkpolicies",
      "apply poddisruptionbudgets",
      "apply resourcequotas",
      "apply secrets",
      "apply serviceaccounts",
      "apply services",
    ]);
    const seen = await isUp("calls-1", first);
    assert.equal(seen.drift, undefined);

    faults.reset();
    await workloads.apply(first);
    const restarted = controller();
    assert.equal(restarted.get("calls-1")?.generation, -1, "not compared yet");
    await restarted.apply(first);
    assert.equal(restarted.get("calls-1")?.generation, 1);
    assert.deepEqual(writes(), [], "nothing differs, neither for this controller nor for a new one");

    // While its status still moves, a fenced write may be refused once, and is then said again.
    const settled = (replicas: number) =>
      kube.until("Deployment", "agents-calls", "calls-1", "it has settled", (object) => {
        const told = object?.status?.conditions?.find(({ type }: { type: string }) => type === "Progressing");
        return (
          object?.status.observedGeneration === object?.metadata.generation &&
          object?.status.availableReplicas === replicas &&
          told?.reason === "NewReplicaSetAvailable"
        );
      });
    await settled(2);
    faults.reset();
    const scaled = { ...first, generation: 2, replicas: 3 };
    await workloads.apply(scaled);
    assert.deepEqual(writes(), ["apply deployments"]);
    await isUp("calls-1", scaled);
    await settled(3);

    faults.reset();
    const updated = { ...scaled, generation: 3, revision: 2, template: TEMPLATES[1] };
    await workloads.apply(updated);
    assert.deepEqual(writes(), ["apply configmaps", "apply deployments", "apply secrets"]);
    await isUp("calls-1", updated);
  });

  test("a second agent of a user writes nothing of the namespace's", async () => {
    faults.reset();
    await workloads.apply(workloadOf({ userId: "calls", agentId: "calls-2" }));
    assert.equal(faults.count({ verb: "apply" }), 7);
  });

  const edits: [string, string, unknown, RegExp][] = [
    ["Deployment", "", { spec: { replicas: 4 } }, /: spec\.replicas was changed/],
    ["Deployment", "", { spec: { paused: true } }, /: spec\.paused was added/],
    ["Service", "", { metadata: { labels: { "agent-launchpad.dev/user": "x" } } }, /: metadata\.labels\./],
    ["Service", "", { spec: { selector: { app: "other" } } }, /: spec\.selector\.app was added/],
    ["Ingress", "", { spec: { rules: [{ host: "evil.example.com" }] } }, /: spec\.rules/],
    ["NetworkPolicy", "default-deny", { spec: { egress: [{}] } }, /: spec\.egress was added/],
    ["ResourceQuota", "agents", { spec: { hard: { pods: "1000" } } }, /: spec\.hard\.pods was changed/],
    [
      "LimitRange",
      "agents",
      { spec: { limits: [{ type: "Container", max: { cpu: "999" } }] } },
      /: spec\.limits\[0\]/,
    ],
    [
      "ServiceAccount",
      "",
      { automountServiceAccountToken: true },
      /automountServiceAccountToken was changed/,
    ],
    [
      "Namespace",
      "agents-edits",
      { metadata: { labels: { "pod-security.kubernetes.io/enforce": "privileged" } } },
      /: metadata\.labels\./,
    ],
  ];
  for (const [index, [kind, fixed, change, words]] of edits.entries()) {
    test(`what somebody edits by hand is seen and put back: ${kind} ${JSON.stringify(change)}`, async () => {
      const agentId = `edited-${index}`;
      const workload = workloadOf({ userId: "edits", agentId });
      await workloads.apply(workload);
      await isUp(agentId, workload);
      const namespace = kind === "Namespace" ? undefined : "agents-edits";
      const name = fixed === "" ? agentId : fixed;
      const before = await kube.get(kind, namespace, name);
      await kube.patch(kind, namespace, name, change);
      const drift = await eventually("it is seen", () => workloads.get(agentId)?.drift);
      for (const line of drift) assert.match(line, words);
      await workloads.apply(workload);
      const live = await kube.get(kind, namespace, name);
      assert.deepEqual(live?.spec, before?.spec);
      assert.equal(live?.automountServiceAccountToken, before?.automountServiceAccountToken);
      assert.deepEqual(live?.metadata.labels, before?.metadata.labels);
      await eventually("nothing is left of it", () => workloads.get(agentId)?.drift === undefined);
    });
  }

  test("an environment variable and an image that somebody put into a Deployment go", async () => {
    const workload = workloadOf({ userId: "edits", agentId: "edits-2" });
    await workloads.apply(workload);
    const path = pathOf("Deployment", "agents-edits", "edits-2");
    const change = [
      { op: "add", path: "/spec/template/spec/containers/0/env/-", value: { name: "EXTRA", value: "1" } },
      { op: "replace", path: "/spec/template/spec/containers/0/image", value: "somebody/else:1" },
      { op: "add", path: "/spec/template/spec/containers/0/args", value: ["--inspect"] },
    ];
    const answer = await kube.call("PATCH", path, change, { "content-type": "application/json-patch+json" });
    assert.equal(answer.status, 200, answer.text);
    const drift = await eventually("the edits are seen", () => workloads.get("edits-2")?.drift);
    assert.match(
      drift.join("; "),
      /env\[EXTRA\] was added.*image was changed|image was changed.*env\[EXTRA\] was added/,
    );
    await workloads.apply(workload);
    const live = JSON.stringify((await kube.get("Deployment", "agents-edits", "edits-2"))?.spec);
    for (const edit of ["EXTRA", "somebody/else", "--inspect"]) assert.ok(!live.includes(edit), edit);
    await eventually("all is as applied", () => workloads.get("edits-2")?.drift === undefined);
  });

  test("what somebody deletes is made again", async () => {
    const spec = specOf({ scalingPolicy: POLICY });
    const workload = workloadOf({ userId: "edits", agentId: "edits-3", replicas: 2, spec });
    await workloads.apply(workload);
    await isUp("edits-3", workload);
    for (const kind of [
      "HorizontalPodAutoscaler",
      "Ingress",
      "PodDisruptionBudget",
      "Service",
      "Deployment",
    ]) {
      await kube.delete(kind, "agents-edits", "edits-3");
      await eventually(`the end of the ${kind} is seen`, () => {
        const seen = workloads.get("edits-3");
        return (
          seen?.generation === -1 || seen?.drift?.some((line) => line.includes(`${kind} edits-3 was removed`))
        );
      });
      await workloads.apply(workload);
      assert.ok((await kube.get(kind, "agents-edits", "edits-3")) !== undefined, kind);
    }
    const [secret] = await kube.list("Secret", "agents-edits", "agent-launchpad.dev/agent=edits-3");
    await kube.delete("Secret", "agents-edits", secret?.metadata.name);
    workloads.start();
    await eventually("the end of the Secret is seen", () =>
      workloads.get("edits-3")?.drift?.some((line) => line.startsWith("Secret")),
    );
    await workloads.apply(workload);
    assert.equal((await kube.list("Secret", "agents-edits", "agent-launchpad.dev/agent=edits-3")).length, 1);
  });

  test("an autoscaler takes the number over without a fall to one, and gives it back", async () => {
    const fixed = workloadOf({ userId: "scale", agentId: "scale-1", replicas: 3 });
    await workloads.apply(fixed);
    await isUp("scale-1", fixed);
    const least: number[] = [];
    view.onChange((agentId) => {
      const replicas = view.objects("scale-1").deployment?.spec?.replicas;
      if (agentId === "scale-1" && replicas !== undefined) least.push(replicas);
    });
    const scaled = { ...fixed, generation: 2, spec: specOf({ scalingPolicy: POLICY }) };
    await workloads.apply(scaled);
    // Another template while the autoscaler is at work: the number stays its own.
    await kube.patch("Deployment", "agents-scale", "scale-1", { spec: { replicas: 4 } }, "scale");
    await eventually("four", () => view.objects("scale-1").deployment?.spec?.replicas === 4);
    await workloads.apply({ ...scaled, generation: 3, template: TEMPLATES[1] });
    const live = await kube.get("Deployment", "agents-scale", "scale-1");
    assert.ok(live?.spec.replicas >= 2, `${live?.spec.replicas}`);
    assert.ok(Math.min(...least) >= 2, `never fewer: ${least}`);
    await workloads.apply({ ...fixed, generation: 4 });
    assert.equal(await kube.get("HorizontalPodAutoscaler", "agents-scale", "scale-1"), undefined);
    assert.equal((await kube.get("Deployment", "agents-scale", "scale-1"))?.spec.replicas, 3);
  });

  test("a generation that is given up goes back to the template that served; a new one forgets the failure", async () => {
    const good = workloadOf({ userId: "back", agentId: "back-1", template: TEMPLATES[0], replicas: 2 });
    await workloads.apply(good);
    await isUp("back-1", good);
    const bad = { ...good, generation: 2, template: TEMPLATES[1] };
    await cluster.setRules([
      { selector: `agent-launchpad.dev/template=${bad.template}`, behaviour: "crash-loop" },
    ]);
    await workloads.apply(bad);
    await eventually("the new replica breaks", () =>
      workloads
        .get("back-1")
        ?.replicas.some(({ template, exit }) => template === bad.template && exit !== undefined),
    );
    const failure = { reason: "CRASH_LOOP", message: "It broke." };
    await workloads.revert(bad, failure);
    const seen = await eventually("the old template serves alone", () => {
      const now = workloads.get("back-1");
      return now !== undefined && isComplete(2, good.template, now.replicas) ? now : undefined;
    });
    assert.deepEqual(seen.failure, failure);
    assert.equal(seen.generation, 2);
    const restarted = controller();
    assert.deepEqual(restarted.get("back-1")?.failure, failure, "every controller knows");
    const next = { ...good, generation: 3, template: TEMPLATES[2] };
    await workloads.apply(next);
    assert.equal((await isUp("back-1", next)).failure, undefined);
  });

  test("an agent without a template to go back to keeps what is ready", async () => {
    const broken = workloadOf({ userId: "back", agentId: "back-2", template: "d".repeat(16), replicas: 2 });
    await cluster.setRules([{ selector: "agent-launchpad.dev/agent=back-2", behaviour: "never-ready" }]);
    await workloads.apply(broken);
    await eventually("replicas are there", () => workloads.get("back-2")?.replicas.length === 2);
    await workloads.revert(broken, { reason: "NEVER_READY", message: "Too slow." });
    await eventually("nothing runs", () => workloads.get("back-2")?.replicas.length === 0);
    assert.equal(workloads.get("back-2")?.failure?.reason, "NEVER_READY");
  });

  test("a removal takes everything of the agent, and waits for its last pod", async () => {
    const labels = "agent-launchpad.dev/agent=calls-1";
    await workloads.remove("calls-1");
    await eventually("nothing is seen of it", () => workloads.get("calls-1") === undefined);
    for (const kind of [
      "Deployment",
      "ReplicaSet",
      "Pod",
      "Service",
      "Secret",
      "ConfigMap",
      "ServiceAccount",
      "Ingress",
      "PodDisruptionBudget",
    ]) {
      assert.deepEqual(await kube.list(kind, undefined, labels), [], kind);
    }
    assert.ok((await kube.get("Deployment", "agents-calls", "calls-2")) !== undefined, "another's stays");
  });

  test("an agent that another controller has stopped meanwhile is made whole again", async () => {
    const workload = workloadOf({ userId: "hands", agentId: "hands-1", template: TEMPLATES[0] });
    await workloads.apply(workload);
    await isUp("hands-1", workload);
    const other = controller();
    await other.remove("hands-1");
    await eventually("it is gone", () => view.objects("hands-1").all.length === 0);
    await workloads.apply({ ...workload, generation: 2 });
    await isUp("hands-1", workload);
  });

  test("a ServiceAccount and a LimitRange that somebody deleted are made again, though no pod misses them", async () => {
    const workload = workloadOf({ userId: "missed", agentId: "missed-1", template: TEMPLATES[0] });
    const patient = controller({}, 600);
    await patient.apply(workload);
    await isUp("missed-1", workload, patient);
    for (const [kind, name] of [
      ["ServiceAccount", "missed-1"],
      ["LimitRange", "agents"],
    ] as const) {
      await kube.delete(kind, "agents-missed", name);
      await eventually("it is seen", () => patient.get("missed-1")?.drift?.join().includes("was removed"));
      await patient.apply(workload);
      assert.ok((await kube.get(kind, "agents-missed", name)) !== undefined, kind);
      await eventually("nothing is missing", () => patient.get("missed-1")?.drift === undefined);
    }
  });

  test("a controller whose clock is ahead of the cluster's gives a rollout its whole time", async () => {
    const clock: Clock = { ...systemClock, now: () => Date.now() + 600_000 };
    const ahead = controller({}, 600, clock);
    const workload = workloadOf({ userId: "early", agentId: "early-1" });
    await ahead.apply(workload);
    const seen = await eventually("it is seen", () => ahead.get("early-1"));
    assert.ok(clock.now() - seen.progressedAt < 60_000, `${clock.now() - seen.progressedAt} ms ago`);
  });

  test("what the database no longer knows is swept, with the namespace of a user who is gone", async () => {
    gone = { agents: ["calls-2"], users: ["calls"] };
    await kube.until(
      "Namespace",
      undefined,
      "agents-calls",
      "the namespace goes",
      (space) => space === undefined,
      60_000,
    );
    gone = { agents: [], users: [] };
    assert.ok((await kube.get("Namespace", undefined, "agents-edits")) !== undefined);
  });

  test("a namespace that is being deleted, and one that is somebody else's, are told", async () => {
    await workloads.apply(workloadOf({ userId: "ending", agentId: "ending-1" }));
    await kube.apply({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "holds", namespace: "agents-ending", finalizers: ["example.com/hold"] },
    });
    await kube.delete("Namespace", undefined, "agents-ending");
    await eventually(
      "it ends",
      () => view.find("Namespace", "", "agents-ending")?.metadata.deletionTimestamp,
    );
    await assert.rejects(
      workloads.apply(workloadOf({ userId: "ending", agentId: "ending-2" })),
      /is being deleted/,
    );
    await kube.patch("ConfigMap", "agents-ending", "holds", { metadata: { finalizers: null } });
    await kube.until(
      "Namespace",
      undefined,
      "agents-ending",
      "it is gone",
      (space) => space === undefined,
      60_000,
    );
    await eventually("and seen to be", () => view.find("Namespace", "", "agents-ending") === undefined);
    await workloads.apply(workloadOf({ userId: "ending", agentId: "ending-2" }));

    await kube.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "agents-other" } });
    await workloads.apply(workloadOf({ userId: "other", agentId: "other-1" }));
    const refused = workloads.get("other-1");
    assert.equal(refused?.failure?.reason, "INVALID_OBJECT");
    assert.match(refused?.failure?.message ?? "", /not this installation's/);
  });

  test("a thousand calls take at most twenty connections", async () => {
    const direct = await createClient({ kubeconfig: faults.kubeconfig });
    faults.reset();
    const config = (index: number): Manifest => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: `many-${index % 50}`, namespace: "agents-edits" },
      data: { index: String(index) },
    });
    await Promise.all(
      Array.from({ length: 1000 }, (_, index) => direct.apply(config(index), { force: true })),
    );
    assert.equal(faults.count({ verb: "apply" }), 1000);
    assert.ok(faults.connections <= 20, `${faults.connections} connections`);
    await direct.close();
  });

  test("a connection that dies without a word is replaced, under calls and under watches", async (context) => {
    await using wire = await startTcpProxy(cluster.info.url);
    const file = (name: string) => readFileSync(join(cluster.info.pki, name));
    const tls = { ca: file("ca.crt"), cert: file("admin.crt"), key: file("admin.key") };
    const pools = createPools({ type: "agent", connect: tls }, 500);
    const server = wire.url.replace("http:", "https:");
    const connection = {
      server,
      credentials: async () => ({ headers: {}, pools }),
      close: () => closePools(pools),
    };
    const wired = await createClient({ connection });
    context.onTestFinished(() => wired.close());
    const seen: string[] = [];
    const reflector = new Reflector({
      api: wired,
      kind: "ConfigMap",
      labelSelector: "wire=dead",
      clock: systemClock,
      random: Math.random,
      log: silentLog,
      onList: () => {},
      onEvent: ({ object }) => seen.push(object.metadata.name),
      times: { silenceMs: 1000 },
    });
    reflector.start();
    context.onTestFinished(() => reflector.stop());
    const make = (name: string) =>
      wired.apply({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name, namespace: "default", labels: { wire: "dead" } },
      });
    await eventually("it watches", () => reflector.synced);
    await make("before");
    await eventually("it sees", () => seen.includes("before"));
    wire.strand();
    await make("after");
    await eventually("it sees again", () => seen.includes("after"));
  });
});
