// What the controller sees of a real cluster: reasons, logs, figures, and watches under every fault.
import assert from "node:assert/strict";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { systemClock } from "../../packages/controller/src/clock.ts";
import type { ObservedWorkload, ReplicaLog } from "../../packages/controller/src/cluster/cluster.ts";
import type { KubeApi } from "../../packages/controller/src/cluster/kubernetes/api.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { LABELS } from "../../packages/controller/src/cluster/kubernetes/names.ts";
import { Capacity } from "../../packages/controller/src/cluster/kubernetes/observe/capacity.ts";
import { observeWorkload } from "../../packages/controller/src/cluster/kubernetes/observe/observed-workload.ts";
import { createPodAccess } from "../../packages/controller/src/cluster/kubernetes/observe/pod-access.ts";
import { PodLogs } from "../../packages/controller/src/cluster/kubernetes/observe/pod-logs.ts";
import { HealthProbes } from "../../packages/controller/src/cluster/kubernetes/observe/probes.ts";
import { Redactors } from "../../packages/controller/src/cluster/kubernetes/observe/redactors.ts";
import { Registry } from "../../packages/controller/src/cluster/kubernetes/observe/registry.ts";
import { takeSamples } from "../../packages/controller/src/cluster/kubernetes/observe/samples.ts";
import { ClusterView } from "../../packages/controller/src/cluster/kubernetes/observe/view.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { specOf } from "../../packages/controller/src/testing/memory-database.ts";
import { seededRandom } from "../../packages/controller/src/testing/simulated-clock.ts";
import { type BehaviourRule, startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { type KubeClient, kubeClient } from "../helpers/kube.ts";
import { launch } from "../helpers/kube-agents.ts";
import { type KubeFaults, startKubeFaults } from "../helpers/kube-faults.ts";

const ROOT = join(import.meta.dirname, "../..");
const REAL = "registry.example/real-agent:1";
const why = await whyNoCluster();

describe("a real cluster, observed", { skip: why !== undefined }, () => {
  let cluster: TestCluster;
  let kube: KubeClient;
  let faults: KubeFaults;
  /** Past the proxy, for what only prepares a test. */
  let direct: KubeApi;
  let api: KubeApi;
  let view: ClusterView;
  const rules: BehaviourRule[] = [];

  beforeAll(async () => {
    cluster = await startCluster({
      backoffMs: 200,
      maxBackoffMs: 1000,
      images: { [REAL]: { command: [process.execPath, "packages/agent-runtime/src/main.ts"], cwd: ROOT } },
    });
    kube = kubeClient(cluster);
    faults = await startKubeFaults(cluster);
    direct = await createClient({ kubeconfig: cluster.info.kubeconfig });
    api = await createClient({ kubeconfig: faults.kubeconfig });
    view = new ClusterView({
      api,
      installation: "test",
      namespacePrefix: "agents-",
      clock: systemClock,
      random: Math.random,
      log: silentLog,
      resyncSeconds: 600,
      // Three seconds of silence for a minute and a half: a busy machine may need one to answer.
      times: { silenceMs: 3000, settledMs: 300, longestWaitMs: 500 },
    });
    await view.start();
  });
  afterAll(async () => {
    await view?.stop();
    await Promise.all([api?.close(), direct?.close()]);
    kube?.close();
    await faults?.close();
    await cluster?.stop();
  });

  /** Waits for what is told of an agent, until it is as wanted. */
  async function seen(
    agentId: string,
    wanted: (workload: ObservedWorkload) => unknown,
    limitMs = 60_000,
  ): Promise<ObservedWorkload> {
    const { promise, resolve, reject } = Promise.withResolvers<ObservedWorkload>();
    let last: ObservedWorkload | undefined;
    const look = () => {
      last = observeWorkload(view.objects(agentId), Date.now());
      if (last !== undefined && wanted(last)) resolve(last);
    };
    const timer = setTimeout(() => {
      reject(new Error(`never seen of ${agentId}; it was ${JSON.stringify(last, null, 1)}`));
    }, limitMs);
    view.onChange((changed) => {
      if (changed === agentId) look();
    });
    look();
    return await promise.finally(() => clearTimeout(timer));
  }

  async function behave(agentId: string, rule: BehaviourRule): Promise<void> {
    rules.push({ selector: `${LABELS.agent}=${agentId}`, ...rule });
    await cluster.setRules(rules);
  }

  const first = (workload: ObservedWorkload) => workload.replicas[0];
  const blocked = (workload: ObservedWorkload) => first(workload)?.blocked ?? workload.blocked;

  test("an agent comes up, is scaled, updated and stopped", async () => {
    await launch(direct, { agentId: "plain", replicas: 2 });
    const up = await seen(
      "plain",
      ({ replicas }) => replicas.filter(({ state }) => state === "ready").length === 2,
    );
    assert.deepEqual([up.generation, up.wanted, up.template], [1, 2, "0123456789abcdef"]);
    assert.ok(Math.abs(Date.now() - up.progressedAt) < 60_000);
    await launch(direct, { agentId: "plain", replicas: 1, generation: 2, template: "fedcba9876543210" });
    const updated = await seen(
      "plain",
      ({ replicas, template }) => replicas.length === 1 && replicas[0]?.template === template,
    );
    assert.equal(updated.generation, 2);
    await kube.patch("Deployment", "agents-user-1", "plain", { spec: { replicas: 0 } });
    const stopped = await seen("plain", ({ replicas }) => replicas.length === 0);
    assert.equal(stopped.wanted, 0);
  });

  const REASONS: [
    agentId: string,
    rule: BehaviourRule,
    wanted: (w: ObservedWorkload) => unknown,
    expected: RegExp,
  ][] = [
    [
      "pull",
      { behaviour: "image-pull-backoff" },
      (w) => blocked(w)?.reason === "ImagePullBackOff" && blocked(w)?.message,
      /^The image "registry\.example\/agent-runtime:1" does not exist in its registry\.$/,
    ],
    [
      "loop",
      { behaviour: "crash-loop" },
      (w) => (first(w)?.failures ?? 0) >= 3 && first(w)?.exit?.message,
      /^It exited with code 1\. Its last words: the agent crashed: boom$/,
    ],
    [
      "oom",
      { behaviour: "oom-killed" },
      (w) => first(w)?.exit?.reason === "OOMKilled" && first(w)?.exit?.message,
      /^It used more than its \d+ MiB of memory and was ended\.$/,
    ],
    [
      "fatal",
      { behaviour: "exit-78" },
      (w) => first(w)?.exit?.fatal && `${first(w)?.exit?.reason}: ${first(w)?.exit?.message}`,
      /^PLUGIN_NOT_FOUND: plugin @example\/missing is not installed$/,
    ],
    [
      "never",
      { behaviour: "never-ready" },
      (w) => blocked(w)?.reason === "ProbeFailing" && first(w)?.state === "starting" && blocked(w)?.message,
      /^Its readiness probe fails: HTTP probe failed with statuscode: 503\.$/,
    ],
    [
      "unready",
      { behaviour: "unready-after", afterMs: 3000 },
      (w) => first(w)?.state === "unready" && blocked(w)?.message,
      /^Its readiness probe fails: HTTP probe failed with statuscode: 503\.$/,
    ],
    [
      "dead",
      { behaviour: "not-live", afterMs: 100 },
      (w) => first(w)?.exit?.reason === "UNHEALTHY" && first(w)?.exit?.message,
      /^It did not answer its liveness probe and was ended: HTTP probe failed with statuscode: 503\.$/,
    ],
  ];
  for (const [agentId, rule, wanted, expected] of REASONS) {
    test(`${agentId}: ${expected.source}`, async () => {
      await behave(agentId, rule);
      await launch(direct, { agentId, userId: "reasons" });
      assert.match(String(wanted(await seen(agentId, wanted, 60_000))), expected);
    });
  }

  test("no room: the scheduler's words, and what would help", async () => {
    const resources = { memory: "1Gi", cpu: "900", memoryBytes: 1024 ** 3, cpuMillicores: 900_000 };
    await launch(direct, { agentId: "big", userId: "reasons", spec: { ...specOf(), resources } });
    const message = blocked(await seen("big", (w) => blocked(w)?.reason === "Unschedulable"))?.message;
    assert.match(message ?? "", /^None of 3 nodes fits it: 3 Insufficient cpu\. A smaller size \(cpu\)/);
  });

  test("the quota: which, how much is used and how much more is asked for", async () => {
    const quota = { maxAgents: 5, maxReplicas: 2, maxCpuMillicores: 400, maxMemoryBytes: 600 * 1024 ** 2 };
    const resources = { memory: "500Mi", cpu: "200m", memoryBytes: 500 * 1024 ** 2, cpuMillicores: 200 };
    await launch(direct, {
      agentId: "quota",
      userId: "poor",
      quota,
      replicas: 5,
      spec: { ...specOf(), resources },
    });
    const short = await seen("quota", (w) => w.blocked?.reason === "QuotaExceeded");
    assert.match(short.blocked?.message ?? "", /^The user's quota is used up: .* more is asked for/);
    assert.ok(short.replicas.length < 5);
  });

  test("a policy refuses the pod: told, and waiting cannot help", async () => {
    await launch(direct, { agentId: "policy", userId: "reasons" });
    await seen("policy", (w) => first(w)?.state === "ready");
    const metadata = { labels: { [LABELS.template]: "fedcba9876543210" } };
    const change = { spec: { template: { metadata, spec: { hostNetwork: true } } } };
    await kube.patch("Deployment", "agents-reasons", "policy", change);
    const refused = await seen("policy", (w) => w.blocked?.reason === "PodSecurity");
    assert.match(refused.blocked?.message ?? "", /violates PodSecurity "restricted/);
    assert.equal(refused.blocked?.fatal, true);
  });

  test("a Secret that somebody deleted is named", async () => {
    await launch(direct, { agentId: "bare", userId: "reasons", replicas: 0 }, { image: REAL });
    for (const { metadata } of await kube.list("Secret", "agents-reasons", `${LABELS.agent}=bare`)) {
      await kube.delete("Secret", "agents-reasons", metadata.name);
    }
    await kube.patch("Deployment", "agents-reasons", "bare", { spec: { replicas: 1 } });
    const message = blocked(
      await seen("bare", (w) => blocked(w)?.reason === "MissingConfiguration"),
    )?.message;
    assert.match(message ?? "", /^The Secret "bare-[0-9a-f]{16}" that it starts with is gone\.$/);
  });

  test("a real agent: its health, its figures, and its log without secrets", async () => {
    await launch(
      direct,
      {
        agentId: "real",
        spec: { ...specOf(), framework: null },
        environment: { SOME_SECRET: "opens-sesame" },
      },
      { image: REAL },
    );
    await seen("real", (w) => first(w)?.state === "ready", 60_000);
    const access = createPodAccess(api, "proxy", "a-secret");
    const lines: ReplicaLog[] = [];
    const common = { api, view, clock: systemClock, random: Math.random };
    const responsible = (agentId: string) => agentId === "real";
    const probed = Promise.withResolvers<string>();
    const probes = new HealthProbes({ ...common, access, responsible, onChange: probed.resolve });
    const logs = new PodLogs({
      ...common,
      redactors: new Redactors(api),
      responsible,
      log: silentLog,
      onLine: (line) => {
        lines.push(line);
        if (line.message === "listening") heard.resolve();
      },
    });
    const heard = Promise.withResolvers<void>();
    probes.start();
    logs.start();
    assert.equal(await probed.promise, "real");
    const observed = observeWorkload(view.objects("real"), Date.now(), { health: (uid) => probes.of(uid) });
    assert.equal(observed?.replicas[0]?.health?.status, "ok");
    await heard.promise;
    const [sample] = await takeSamples({ api, view, access, installation: "test", responsible });
    assert.ok(sample !== undefined && (sample.cpuSeconds ?? 0) > 0 && (sample.memoryBytes ?? 0) > 20_000_000);
    assert.equal(sample.requests?.total, 0);
    assert.ok(sample.cpuLimit > 0 && sample.memoryLimit > 0);
    assert.doesNotMatch(JSON.stringify(lines), /opens-sesame/);
    probes.stop();
    await logs.stop();
    await access.close();
  });

  test("capacity is what the nodes have; the registry is as the nodes met it", async () => {
    const registry = new Registry({ view, image: REAL, clock: systemClock, reach: async () => true });
    const capacity = new Capacity({ api, view, registry, clock: systemClock });
    const health = await capacity.health();
    assert.equal(health.healthy, true, health.message);
    assert.equal(health.capacity.nodes, 3);
    const { cpu, memory } = health.capacity as Record<string, { total: number; used: number | null }>;
    assert.ok((cpu?.total ?? 0) >= 3 && (memory?.total ?? 0) > 1024 ** 3);
    // One agent's image cannot be pulled since the test above.
    assert.equal(health.registry?.status, "DEGRADED");
  });

  test("logs through cut streams, ends of the container and an API server that is killed: every line once", async () => {
    await behave("chatty", { logEveryMs: 20 });
    const lines: ReplicaLog[] = [];
    const logs = new PodLogs({
      api,
      view,
      redactors: new Redactors(api),
      responsible: (agentId) => agentId === "chatty",
      clock: systemClock,
      random: seededRandom(1),
      log: silentLog,
      onLine: (line) => lines.push(line),
      limits: { quietMs: 1500 },
    });
    logs.start();
    await launch(direct, { agentId: "chatty" });
    const up = await seen("chatty", (w) => first(w)?.state === "ready");
    const pod = first(up)?.name ?? "";
    const isStart = ({ message }: { message: string }) => message === "pretended container started";
    const numbers = () => lines.flatMap(({ message }) => /^line (\d+)$/.exec(message)?.[1] ?? []).map(Number);
    const grows = async (by: number) => {
      const goal = lines.length + by;
      const limit = Date.now() + 60_000;
      while (lines.length < goal) {
        assert.ok(Date.now() < limit, `no more lines came: ${lines.length} of ${goal}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    await grows(20);
    for (let round = 0; round < 30; round += 1) {
      if (round % 10 === 4) {
        const loud = faults.silenceWatches({ resource: "pods/log" });
        setTimeout(loud, 2000);
      } else faults.cutWatches({ resource: "pods/log" });
      await grows(10);
    }
    const lastOf0 = numbers().length;
    await cluster.crash({ namespace: "agents-user-1", pod, exitCode: 1 });
    await grows(30);
    assert.deepEqual(
      numbers().slice(0, lastOf0),
      Array.from({ length: lastOf0 }, (_, n) => n + 1),
    );
    await cluster.component("kube-apiserver", "kill");
    await cluster.component("kube-apiserver", "start");
    await grows(30);
    // Once more while nobody can see it: the stream breaks, the container ends, and the view learns of it later.
    faults.cutWatches();
    await cluster.crash({ namespace: "agents-user-1", pod, exitCode: 1 });
    // Lines that are told again count as growth too: the third life must have been heard.
    const lives = () => new Set(lines.filter(isStart).map(({ sequence }) => sequence)).size;
    while (lives() < 3) await grows(1);
    await grows(30);
    await logs.stop();
    // Told twice only when nobody could know whose life a stream was of, and then under the same number.
    const told = new Map<number, string>();
    for (const { message, sequence } of lines) {
      assert.equal(told.get(sequence) ?? message, message);
      told.set(sequence, message);
    }
    assert.ok(
      lines.length - told.size <= 100,
      `${lines.length - told.size} of ${lines.length} were told twice`,
    );
    const inOrder = [...told].sort(([a], [b]) => a - b).map(([, message]) => ({ message }));
    let expected = 1;
    for (const { message } of inOrder) {
      const number = Number(/^line (\d+)$/.exec(message)?.[1]);
      if (isStart({ message })) expected = 1;
      else if (!Number.isNaN(number)) {
        assert.equal(number, expected, `line ${expected} is missing`);
        expected += 1;
      }
    }
    assert.equal(inOrder.filter(isStart).length, 3);
  });

  test("100 faults of watches: none stalls", { timeout: 300_000 }, async () => {
    await launch(direct, { agentId: "steady" });
    await seen("steady", (w) => first(w)?.state === "ready");
    const random = seededRandom(7);
    const slowest: Record<string, number> = {};
    for (let round = 1; round <= 100; round += 1) {
      const kind = ["410", "429", "500", "reset", "silence"][Math.floor(random() * 5)] ?? "reset";
      let release = () => {};
      const watch = { verb: "watch", resource: "deployments" } as const;
      if (kind === "410") faults.expireWatches(watch);
      else if (kind === "silence") release = faults.silenceWatches(watch);
      else {
        if (kind === "429" || kind === "500") {
          faults.add({ match: watch, effect: { kind: "status", status: Number(kind) }, times: 1 });
        }
        faults.cutWatches(watch);
      }
      const annotations = { round: String(round) };
      await kube.patch("Deployment", "agents-user-1", "steady", { metadata: { annotations } });
      const began = performance.now();
      // A silent watch is given up and opened again; the new one must be heard.
      if (kind === "silence") setTimeout(release, 700);
      await seen("steady", () => {
        return view.objects("steady").deployment?.metadata.annotations?.round === String(round);
      });
      slowest[kind] = Math.max(slowest[kind] ?? 0, performance.now() - began);
      faults.clear();
    }
    for (const [kind, milliseconds] of Object.entries(slowest)) {
      assert.ok(milliseconds < 30_000, `${kind} took ${milliseconds} ms`);
    }
    console.log("# slowest to be seen after a fault, ms:", slowest);
  });
});
