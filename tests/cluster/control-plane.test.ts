// The test control plane behaves as a cluster does: what the scenarios of the controller rest on.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, it } from "vitest";
import { startCluster, type TestCluster } from "../helpers/cluster.ts";
import { deployment, type KubeClient, type KubeObject, kubeClient, podSpec } from "../helpers/kube.ts";
import { eventually, stillRunning, tree } from "../helpers/processes.ts";

const ROOT = join(import.meta.dirname, "../..");
const RUNTIME = "example/agent-runtime";
const RESTRICTED = { "pod-security.kubernetes.io/enforce": "restricted" };

let cluster: TestCluster;
let kube: KubeClient;

beforeAll(async () => {
  cluster = await startCluster({
    images: {
      [RUNTIME]: {
        command: [join(ROOT, "node_modules/.bin/node"), "packages/agent-runtime/src/main.ts"],
        cwd: ROOT,
      },
      "example/shell": { command: ["/bin/sh", "-c"] },
    },
    backoffMs: 300,
    maxBackoffMs: 1_000,
  });
  kube = kubeClient(cluster);
});
afterAll(async () => {
  kube?.close();
  const before = cluster === undefined ? [] : tree(cluster.info.pid);
  await cluster?.stop();
  assert.deepEqual(stillRunning(before), []);
  assert.equal(cluster === undefined ? false : existsSync(cluster.info.control), false);
});

let count = 0;
async function namespace(labels: Record<string, string> = RESTRICTED): Promise<string> {
  count += 1;
  const name = `test-${count}`;
  await kube.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  // Pods are refused until the controllers have made the namespace's account.
  await kube.until("ServiceAccount", name, "default", "a default account", (account) => account);
  return name;
}

const ready = (n: number) => (d: KubeObject | undefined) =>
  d?.status?.observedGeneration === d?.metadata.generation &&
  d?.status?.readyReplicas === n &&
  d?.status?.updatedReplicas === n &&
  d?.status?.replicas === n;

const podsOf = (ns: string, app: string) => kube.list("Pod", ns, `app=${app}`);

describe("admission", () => {
  it("Pod Security restricted refuses a pod that may escalate, and says why", async () => {
    const ns = await namespace();
    const answer = await kube.call("POST", `/api/v1/namespaces/${ns}/pods`, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "bad" },
      spec: podSpec({ container: { securityContext: { privileged: true } } }),
    });
    assert.equal(answer.status, 403);
    assert.match(answer.body.message, /violates PodSecurity "restricted:latest": privileged/);
    const good = await kube.call("POST", `/api/v1/namespaces/${ns}/pods`, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "good" },
      spec: podSpec(),
    });
    assert.equal(good.status, 201);
  });

  it("a ResourceQuota refuses the pod that exceeds it; the ReplicaSet tells", async () => {
    const ns = await namespace();
    await kube.apply({
      apiVersion: "v1",
      kind: "ResourceQuota",
      metadata: { name: "quota", namespace: ns },
      spec: { hard: { "requests.cpu": "250m", pods: "10" } },
    });
    await kube.until("ResourceQuota", ns, "quota", "usage counted", (q) => q?.status?.used?.pods === "0");
    await kube.apply(deployment(ns, "web", { replicas: 3 }));
    await kube.until("Deployment", ns, "web", "two of three pods", (d) => d?.status?.readyReplicas === 2);
    const failure = await kube.until("Deployment", ns, "web", "the failure told", (d) =>
      d?.status?.conditions?.find((c: KubeObject) => c.type === "ReplicaFailure"),
    );
    assert.match(
      JSON.stringify(failure?.status.conditions),
      /exceeded quota: quota, requested: requests.cpu=100m/,
    );
  });

  it("a LimitRange gives limits to containers without", async () => {
    const ns = await namespace();
    await kube.apply({
      apiVersion: "v1",
      kind: "LimitRange",
      metadata: { name: "limits", namespace: ns },
      spec: { limits: [{ type: "Container", default: { memory: "96Mi" }, defaultRequest: { cpu: "50m" } }] },
    });
    await eventually("the limit is given", async () => {
      await kube.apply({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "plain", namespace: ns },
        spec: podSpec({ container: { resources: {} } }),
      });
      const pod = await kube.get("Pod", ns, "plain");
      return pod?.spec.containers[0].resources.limits?.memory === "96Mi";
    });
  });

  it("server-side apply tells a conflict with another manager", async () => {
    const ns = await namespace();
    await kube.apply(deployment(ns, "web", { replicas: 1 }));
    const path = `/apis/apps/v1/namespaces/${ns}/deployments/web?fieldManager=other`;
    const answer = await kube.call("PATCH", path, deployment(ns, "web", { replicas: 2 }), {
      "content-type": "application/apply-patch+yaml",
    });
    assert.equal(answer.status, 409);
    assert.match(answer.body.message, /conflict with "test": \.spec\.replicas/);
  });

  it("RBAC refuses an account what it was not given", async () => {
    const ns = await namespace();
    const token = await kube.call("POST", `/api/v1/namespaces/${ns}/serviceaccounts/default/token`, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: {},
    });
    assert.equal(token.status, 201, token.text);
    const review = await kube.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: {
        user: `system:serviceaccount:${ns}:default`,
        resourceAttributes: { namespace: ns, verb: "list", resource: "secrets" },
      },
    });
    assert.equal(review.body.status.allowed, false);
  });
});

describe("workloads", () => {
  it("a Deployment becomes ready over three zones, rolls and is undone by its old ReplicaSet", async () => {
    const ns = await namespace();
    await kube.apply(
      deployment(ns, "web", {
        replicas: 3,
        pod: {
          topologySpreadConstraints: [
            {
              maxSkew: 1,
              topologyKey: "topology.kubernetes.io/zone",
              whenUnsatisfiable: "DoNotSchedule",
              labelSelector: { matchLabels: { app: "web" } },
            },
          ],
        },
      }),
    );
    await kube.until("Deployment", ns, "web", "three ready", ready(3));
    const nodes = new Set((await podsOf(ns, "web")).map((pod) => pod.spec.nodeName));
    assert.equal(nodes.size, 3);
    await kube.apply(deployment(ns, "web", { replicas: 3, image: "example/pretended:2" }));
    await kube.until("Deployment", ns, "web", "three of the new image", ready(3));
    const sets = await kube.list("ReplicaSet", ns, "app=web");
    assert.deepEqual(sets.map((set) => set.status.replicas).sort(), [0, 3]);
  });

  it("tells image pull, crash loop with the last lines, out of memory, exit code and a probe that fails", async () => {
    const ns = await namespace();
    const names = ["image-pull-backoff", "crash-loop", "oom-killed", "exit-78", "never-ready"];
    for (const name of names) await kube.apply(deployment(ns, name, { image: `example/pretended:${name}` }));
    const container = (name: string, what: string, wanted: (c: KubeObject) => unknown) =>
      eventually(`${name}: ${what}`, async () => {
        const status = (await podsOf(ns, name))[0]?.status?.containerStatuses?.[0];
        return status !== undefined && wanted(status) ? status : undefined;
      });
    const pull = await container(
      "image-pull-backoff",
      "waits",
      (c) => c.state.waiting?.reason === "ImagePullBackOff",
    );
    assert.match(pull.state.waiting.message, /not found/);
    const crash = await container(
      "crash-loop",
      "restarted twice",
      (c) => c.restartCount >= 2 && c.state.waiting,
    );
    assert.equal(crash.state.waiting.reason, "CrashLoopBackOff");
    assert.match(crash.lastState.terminated.message, /the agent crashed: boom/);
    const oom = await container("oom-killed", "died", (c) => c.lastState.terminated);
    assert.deepEqual(
      [oom.lastState.terminated.reason, oom.lastState.terminated.exitCode],
      ["OOMKilled", 137],
    );
    const bad = await container("exit-78", "exited", (c) => c.lastState.terminated);
    assert.equal(bad.lastState.terminated.exitCode, 78);
    assert.match(bad.lastState.terminated.message, /PLUGIN_NOT_FOUND/);
    await container("never-ready", "runs unready", (c) => c.state.running && c.ready === false);
    await eventually("the probe's failure is told", async () =>
      (await kube.list("Event", ns)).some((e) => e.reason === "Unhealthy" && /503/.test(e.message)),
    );
  });

  it("a pod that fits nowhere is unschedulable", async () => {
    const ns = await namespace();
    const resources = { requests: { cpu: "1000" } };
    await kube.apply(deployment(ns, "huge", { container: { resources } }));
    await eventually("the scheduler says so", async () => {
      const condition = (await podsOf(ns, "huge"))[0]?.status?.conditions?.find(
        (c: KubeObject) => c.type === "PodScheduled",
      );
      return condition?.reason === "Unschedulable" && /Insufficient cpu/.test(condition.message);
    });
  });

  it("an HPA scales by the metrics that the pods show", async () => {
    const ns = await namespace();
    await kube.apply(deployment(ns, "busy", { replicas: 1 }));
    await kube.apply({
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: { name: "busy", namespace: ns },
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "busy" },
        minReplicas: 1,
        maxReplicas: 4,
        metrics: [
          {
            type: "Resource",
            resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 50 } },
          },
        ],
      },
    });
    await kube.until("Deployment", ns, "busy", "one ready", ready(1));
    await cluster.setRules([{ namespace: ns, cpu: "150m" }]);
    await kube.until("Deployment", ns, "busy", "four ready", ready(4));
    await cluster.setRules([{ namespace: ns, cpu: "1m" }]);
    await kube.until("Deployment", ns, "busy", "one again", ready(1), 60_000);
    await cluster.setRules([]);
  });

  it("a PodDisruptionBudget refuses an eviction", async () => {
    const ns = await namespace();
    await kube.apply(deployment(ns, "web", { replicas: 2 }));
    await kube.apply({
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata: { name: "web", namespace: ns },
      spec: { minAvailable: 2, selector: { matchLabels: { app: "web" } } },
    });
    await kube.until("PodDisruptionBudget", ns, "web", "counts two", (b) => b?.status?.currentHealthy === 2);
    const [pod] = await podsOf(ns, "web");
    const answer = await kube.call("POST", `/api/v1/namespaces/${ns}/pods/${pod?.metadata.name}/eviction`, {
      apiVersion: "policy/v1",
      kind: "Eviction",
      metadata: { name: pod?.metadata.name, namespace: ns },
    });
    assert.equal(answer.status, 429);
    assert.match(answer.body.message, /disruption budget/);
  });

  it("a deleted namespace goes, with all that was in it", async () => {
    const ns = await namespace();
    await kube.apply(deployment(ns, "web", { replicas: 2, pod: { terminationGracePeriodSeconds: 1 } }));
    await kube.until("Deployment", ns, "web", "two ready", ready(2));
    await kube.delete("Namespace", undefined, ns);
    await kube.until("Namespace", undefined, ns, "gone", (n) => n === undefined);
    assert.equal((await cluster.state()).pods.filter((pod) => pod.namespace === ns).length, 0);
  });
});

describe("logs", () => {
  it("are followed through the API server, with times, and end with the container", async () => {
    const ns = await namespace();
    await kube.apply(deployment(ns, "talk"));
    await kube.until("Deployment", ns, "talk", "ready", ready(1));
    const [pod] = await podsOf(ns, "talk");
    const path = `/api/v1/namespaces/${ns}/pods/${pod?.metadata.name}/log`;
    const response = await kube.stream(`${path}?follow=true&timestamps=true`);
    const lines = createInterface(response)[Symbol.asyncIterator]();
    const first = String((await lines.next()).value);
    assert.match(first, /^\d{4}-\d\d-\d\dT[\d:.]+Z \{.*pretended container started/);
    await cluster.setRules([{ namespace: ns, logEveryMs: 50 }]);
    const second = String((await lines.next()).value);
    assert.match(second, /line 1/);
    await cluster.setRules([]);
    await kube.delete("Pod", ns, pod?.metadata.name);
    let last = "";
    for (let next = await lines.next(); !next.done; next = await lines.next()) last = String(next.value);
    assert.match(last, /stopped/);
  });

  it("obey tailLines, limitBytes, sinceTime and previous", async () => {
    const ns = await namespace();
    await kube.apply(deployment(ns, "talk"));
    await kube.until("Deployment", ns, "talk", "ready", ready(1));
    const pod = (await podsOf(ns, "talk"))[0]?.metadata.name;
    const log = async (query: string) =>
      (await kube.call("GET", `/api/v1/namespaces/${ns}/pods/${pod}/log?${query}`)).text;
    assert.match(await log("previous=true"), /previous terminated container .*main.* not found/);
    await cluster.crash({ namespace: ns, pod, exitCode: 3, message: "the last words" });
    await kube.until("Pod", ns, pod, "restarted", (p) => {
      const status = p?.status?.containerStatuses?.[0];
      return status?.restartCount === 1 && status.ready && status.lastState.terminated.exitCode === 3;
    });
    assert.match(await log("previous=true&tailLines=1"), /^the last words\n$/);
    assert.equal((await log("limitBytes=10")).length, 10);
    const later = new Date(Date.now() + 60_000).toISOString();
    assert.equal(await log(`sinceTime=${encodeURIComponent(later)}`), "");
  });
});

describe("an agent as a process", () => {
  let ns: string;
  beforeAll(async () => {
    ns = await namespace();
    await kube.apply({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "ada", namespace: ns },
      data: {
        "agent.json": JSON.stringify({
          agentId: "agent-a",
          name: "ada",
          character: { bio: "A mathematician" },
        }),
      },
    });
    await kube.apply({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "ada", namespace: ns },
      stringData: { GREETING: "hello" },
    });
  });
  const probe = (path: string) => ({ httpGet: { path, port: "http" }, periodSeconds: 1 });
  const agent = (change: KubeObject = {}) => ({
    image: `${RUNTIME}:1`,
    pod: {
      terminationGracePeriodSeconds: 10,
      volumes: [
        { name: "config", configMap: { name: "ada" } },
        { name: "state", emptyDir: {} },
      ],
    },
    container: {
      envFrom: [{ secretRef: { name: "ada" } }],
      env: [
        { name: "AGENT_ID", value: "agent-a" },
        { name: "AGENT_REPLICA", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
        { name: "AGENT_CONFIG_FILE", value: "/etc/agent/agent.json" },
        { name: "AGENT_STATE_DIR", value: "/var/lib/agent" },
        { name: "HOST", value: "0.0.0.0" },
        { name: "PORT", value: "8080" },
      ],
      volumeMounts: [
        { name: "config", mountPath: "/etc/agent", readOnly: true },
        { name: "state", mountPath: "/var/lib/agent" },
      ],
      startupProbe: { ...probe("/health"), failureThreshold: 30 },
      readinessProbe: probe("/ready"),
      livenessProbe: probe("/health"),
      ...change,
    },
  });

  it("gets ready, answers through pods/proxy and services/proxy, and shows what it uses", async () => {
    await kube.apply(deployment(ns, "ada", { replicas: 2, ...agent() }));
    await kube.apply({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "ada", namespace: ns },
      spec: { selector: { app: "ada" }, ports: [{ name: "http", port: 80, targetPort: "http" }] },
    });
    await kube.until("Deployment", ns, "ada", "two ready", ready(2));
    const pods = await podsOf(ns, "ada");
    for (const pod of pods) {
      const path = `/api/v1/namespaces/${ns}/pods/${pod.metadata.name}:8080/proxy`;
      assert.deepEqual((await kube.call("GET", `${path}/health`)).body, { status: "ok" });
      // This agent knows no project, so callers cannot be checked: its door stays closed.
      const message = await kube.call("POST", `${path}/message`, { text: "hello" });
      assert.equal(message.status, 503);
      assert.equal(message.body.error.code, "SUPABASE_CONNECTION_ERROR");
    }
    await eventually("the service answers", async () => {
      const answer = await kube.call("GET", `/api/v1/namespaces/${ns}/services/ada:http/proxy/ready`);
      return answer.status === 200;
    });
    const metrics = await kube.until("PodMetrics", ns, pods[0]?.metadata.name, "measured", (m) => m);
    assert.match(metrics?.containers[0].usage.memory, /^\d+Ki$/);
    const bytes = Number.parseInt(metrics?.containers[0].usage.memory, 10) * 1024;
    assert.ok(bytes > 30e6 && bytes < 256e6, `${bytes} bytes`);
  });

  it("is restarted when its process dies, and ended by SIGTERM when its pod is deleted", async () => {
    const pod = (await podsOf(ns, "ada"))[0]?.metadata.name;
    await cluster.crash({ namespace: ns, pod });
    await kube.until("Pod", ns, pod, "restarted", (p) => {
      const status = p?.status?.containerStatuses?.[0];
      return status?.restartCount === 1 && status.ready && status.lastState.terminated.exitCode === 137;
    });
    const path = `/api/v1/namespaces/${ns}/pods/${pod}/log?follow=true`;
    const response = await kube.stream(path);
    let text = "";
    response.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    const closed = new Promise((resolve) => response.once("close", resolve));
    await kube.delete("Pod", ns, pod);
    await closed;
    assert.match(text, /"stopping|stopped|SIGTERM/i);
    await kube.until("Pod", ns, pod, "gone", (p) => p === undefined);
  });

  it("a configuration that cannot work shows exit code 78 and its last line", async () => {
    const broken = agent({ env: [{ name: "AGENT_CONFIG_FILE", value: "/etc/agent/none.json" }] });
    await kube.apply(deployment(ns, "broken", broken));
    const status = await eventually("it exits", async () => {
      const last = (await podsOf(ns, "broken"))[0]?.status?.containerStatuses?.[0]?.lastState;
      return last?.terminated;
    });
    assert.equal(status.exitCode, 78);
    assert.match(status.message, /INVALID_CONFIG/);
    await kube.delete("Deployment", ns, "broken");
  });

  it("a missing Secret keeps the container from being made, until it is there", async () => {
    const waits = agent({ envFrom: [{ secretRef: { name: "late" } }] });
    await kube.apply(deployment(ns, "waits", waits));
    await eventually("it waits", async () => {
      const state = (await podsOf(ns, "waits"))[0]?.status?.containerStatuses?.[0]?.state;
      return (
        state?.waiting?.reason === "CreateContainerConfigError" &&
        /secret "late" not found/.test(state.waiting.message)
      );
    });
    await kube.apply({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "late", namespace: ns },
      stringData: {},
    });
    await kube.until("Deployment", ns, "waits", "ready", ready(1));
    await kube.delete("Deployment", ns, "waits");
  });

  it("a process beyond its memory limit is killed and told as out of memory", async () => {
    await kube.apply(
      deployment(ns, "greedy", {
        image: "example/shell",
        container: {
          args: ["exec tail /dev/zero"],
          resources: { limits: { memory: "64Mi", cpu: "1" }, requests: { cpu: "10m" } },
        },
      }),
    );
    await eventually("it is killed", async () => {
      const last = (await podsOf(ns, "greedy"))[0]?.status?.containerStatuses?.[0]?.lastState;
      return last?.terminated?.reason === "OOMKilled" && last.terminated.exitCode === 137;
    });
    await kube.delete("Deployment", ns, "greedy");
  });
});

describe("faults", () => {
  it("a slow etcd slows every write by its delay", async () => {
    const ns = await namespace();
    const write = async (name: string) => {
      const begun = performance.now();
      await kube.apply({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: ns }, data: {} });
      return performance.now() - begun;
    };
    await write("warm");
    await cluster.setEtcdDelay(300);
    const slow = await write("slow");
    await cluster.setEtcdDelay(0);
    assert.ok(slow >= 300, `${slow} ms`);
    let writes = 0;
    await eventually("a write is faster than the delay", async () => {
      writes += 1;
      return (await write(`fast-${writes}`)) < 300;
    });
  });

  it("pods run on while the API server is down", async () => {
    const ns = await namespace();
    await kube.apply(deployment(ns, "web", { replicas: 2 }));
    await kube.until("Deployment", ns, "web", "two ready", ready(2));
    const before = (await podsOf(ns, "web")).map((pod) => pod.metadata.uid).sort();
    await cluster.component("kube-apiserver", "kill");
    await assert.rejects(kube.call("GET", "/readyz"), /ECONNREFUSED|ECONNRESET|socket hang up/);
    await cluster.component("kube-apiserver", "start");
    await eventually("ready again", () =>
      kube.call("GET", "/readyz").then(
        (answer) => answer.status === 200,
        () => false,
      ),
    );
    const now = await podsOf(ns, "web");
    assert.deepEqual(now.map((pod) => pod.metadata.uid).sort(), before);
    assert.deepEqual(
      now.map((pod) => pod.status.containerStatuses[0].restartCount),
      [0, 0],
    );
    await kube.apply(deployment(ns, "web", { replicas: 3 }));
    await kube.until("Deployment", ns, "web", "three ready", ready(3));
  });

  it("a crash of everything keeps the data; pods are taken up again", async () => {
    const ns = await namespace();
    await kube.apply(deployment(ns, "web", { replicas: 2 }));
    await kube.until("Deployment", ns, "web", "two ready", ready(2));
    const before = (await podsOf(ns, "web")).map((pod) => pod.metadata.uid).sort();
    await cluster.restart();
    assert.deepEqual((await podsOf(ns, "web")).map((pod) => pod.metadata.uid).sort(), before);
    await kube.apply(deployment(ns, "web", { replicas: 1 }));
    await kube.until("Deployment", ns, "web", "one left", ready(1));
    await eventually("the pods' figures again", async () => (await kube.list("PodMetrics", ns)).length === 1);
  });
});

describe("kubectl", () => {
  const run = promisify(execFile);
  const environment = () => ({ ...process.env, KUBECONFIG: cluster.info.kubeconfig });
  const installed = () =>
    run("kubectl", ["version", "--client"]).then(
      () => true,
      () => false,
    );

  it("works with the kubeconfig", async (t) => {
    if (!(await installed())) return t.skip("kubectl is not installed");
    const env = environment();
    const { stdout } = await run("kubectl", ["get", "nodes", "-o", "name"], { env });
    assert.deepEqual(stdout.trim().split("\n"), ["node/node-a", "node/node-b", "node/node-c"]);
    assert.match((await run("kubectl", ["top", "nodes"], { env })).stdout, /node-a/);
  });

  it("forwards a port to a pod", async (t) => {
    if (!(await installed())) return t.skip("kubectl is not installed");
    const ns = await namespace();
    await kube.apply(deployment(ns, "web"));
    await kube.until("Deployment", ns, "web", "ready", ready(1));
    const child = spawn("kubectl", ["-n", ns, "port-forward", "deploy/web", ":8080"], { env: environment() });
    try {
      const [line] = await once(createInterface(child.stdout), "line");
      const port = /127\.0\.0\.1:(\d+)/.exec(String(line))?.[1];
      const answer = await fetch(`http://127.0.0.1:${port}/ready`);
      assert.deepEqual(await answer.json(), { ready: true });
    } finally {
      child.kill();
      await once(child, "close");
    }
  });
});
