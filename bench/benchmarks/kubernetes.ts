// P9, P10 and the goals of the Kubernetes cluster, by counting calls at a real API server.
import {
  KINDS,
  type Kind,
  type KubeApi,
  type KubeObject,
} from "../../packages/controller/src/cluster/kubernetes/api.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { installationSelector } from "../../packages/controller/src/cluster/kubernetes/names.ts";
import { specOf } from "../../packages/controller/src/testing/memory-database.ts";
import { whyNoCluster } from "../../tests/helpers/cluster.ts";
import { WRITES } from "../../tests/helpers/kube-requests.ts";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { type KubeBench, startKubeBench } from "../lib/kubernetes.ts";
import { readTree } from "../lib/processes.ts";
import { median, ms, quantile } from "../lib/stats.ts";

/** Agents created at once, and in all. */
const AT_ONCE = 300;
const MANY = 1000;
const MOST = 10_000;
const RESYNC_SECONDS = 5;
/** What an agent is made of, in an order in which nothing misses anything. */
const OF_AGENT: Kind[] = [
  "ServiceAccount",
  "ConfigMap",
  "Secret",
  "Service",
  "Deployment",
  "PodDisruptionBudget",
  "Ingress",
];

export const benchmark: Benchmark = {
  title: "the controller on a real Kubernetes API server",
  async run({ full, progress, rounds }) {
    const many = full ? MOST : MANY;
    const missing = await whyNoCluster();
    if (missing !== undefined) return [{ measure: "Kubernetes", ours: `not measured: ${missing}` }];
    const bench = await startKubeBench({
      LAUNCHPAD_CONCURRENCY: "16",
      LAUNCHPAD_RESYNC_SECONDS: String(RESYNC_SECONDS),
      LAUNCHPAD_METRICS_SECONDS: "3600",
    });
    try {
      const rows: Row[] = [];
      progress("webhook → Deployment");
      const latencies = await webhookLatencies(bench, rounds(30));
      rows.push({
        measure: "webhook received → Deployment applied, p50",
        ours: ms(median(latencies)),
        goal: "≤ 300 ms",
        met: median(latencies) <= 300,
      });
      rows.push({ measure: "  p95", ours: ms(quantile(latencies, 0.95)) });

      progress(`${AT_ONCE} agents at once`);
      const { connections, floor, ours, writes } = await atOnce(bench);
      rows.push({
        measure: `${AT_ONCE} agents at once, until the last write`,
        ours: ms(ours),
        against: `${ms(floor)} the same calls alone`,
        ratio: ours / floor,
        goal: "≤ 2×",
        met: ours / floor <= 2,
      });
      rows.push({ measure: "  writes for each agent", ours: (writes / AT_ONCE).toFixed(2) });

      rows.push({
        measure: "P9: TCP connections for each 1,000 calls",
        ours: connections.toFixed(1),
        goal: "≤ 20",
        met: connections <= 20,
      });

      progress(`${many} agents`);
      await launch(bench, "many", many - AT_ONCE - latencies.length);
      rows.push(...(await quiet(bench, many, progress)));
      rows.push(...(await oneChange(bench)));
      const resident = await memory(bench, many, progress);
      const most = full ? 600e6 : 250e6;
      rows.push({
        measure: `memory of the controller with ${many} agents`,
        ours: `${Math.round(resident / 1e6)} MB`,
        goal: `≤ ${most / 1e6} MB`,
        met: resident <= most,
      });
      return rows;
    } finally {
      await bench.stop();
    }
  },
};

/** Launches agents one after the other and watches their Deployments appear. */
async function webhookLatencies({ client, database, hint }: KubeBench, count: number): Promise<number[]> {
  const seen = new Map<string, () => void>();
  const ending = new AbortController();
  const { resourceVersion } = await client.list("Deployment", { metadataOnly: true });
  const watching = client.watch(
    "Deployment",
    { resourceVersion, timeoutSeconds: 600, signal: ending.signal },
    ({ object, type }) => {
      if (type === "ADDED") seen.get(object.metadata.name)?.();
    },
  );
  const latencies: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const agentId = `single-${index}`;
    const applied = new Promise<void>((resolve) => seen.set(agentId, resolve));
    database.launch(agentId, specOf());
    const sent = performance.now();
    await hint(agentId);
    await applied;
    latencies.push(performance.now() - sent);
    await settled(database, [agentId]);
  }
  ending.abort();
  await watching.catch(() => {});
  return latencies;
}

interface AtOnce {
  /** Of the client for each 1,000 calls. */
  connections: number;
  floor: number;
  ours: number;
  writes: number;
}

/** The time of all writes for many agents, and that of the same writes without a controller. */
async function atOnce(bench: KubeBench): Promise<AtOnce> {
  bench.proxy.reset();
  const started = performance.now();
  await launch(bench, "once", AT_ONCE);
  const written = bench.proxy.requests.filter(({ verb }) => WRITES.includes(verb));
  const ours = Math.max(...written.map(({ at }) => at)) - started;

  const objects = await objectsOf(bench.client, "once-");
  // Through the same proxy, by a separate client.
  const alone = await createClient({ kubeconfig: bench.proxy.kubeconfig });
  bench.proxy.reset();
  const floor = await replay(alone, objects);
  const connections = (bench.proxy.connections / objects.flat().length) * 1000;
  await alone.close();
  return { connections, floor, ours, writes: written.length };
}

async function launch({ database, hint }: KubeBench, prefix: string, count: number): Promise<void> {
  const ids = Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
  for (const id of ids) database.launch(id, specOf());
  await hint();
  await settled(database, ids);
}

async function settled(database: KubeBench["database"], ids: string[]): Promise<void> {
  const open = () => ids.filter((id) => database.rows.get(id)?.phase !== "DEPLOYED");
  for (const end = Date.now() + 300_000; open().length > 0; ) {
    if (Date.now() > end) throw new Error(`${open().length} agents are not DEPLOYED`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What the controller wrote for these agents, as it may be written again elsewhere. */
async function objectsOf(client: KubeApi, prefix: string): Promise<KubeObject[][]> {
  const byAgent = new Map<string, KubeObject[]>();
  for (const kind of OF_AGENT) {
    const { items } = await client.list(kind, { labelSelector: installationSelector("bench") });
    for (const item of items) {
      const agentId = item.metadata.labels?.["agent-launchpad.dev/agent"] ?? "";
      if (!agentId.startsWith(prefix)) continue;
      const { annotations, labels, name } = item.metadata;
      const { status: _, metadata: __, ...rest } = item;
      if (kind === "Service") delete (rest.spec as Record<string, unknown>).clusterIP;
      if (kind === "Service") delete (rest.spec as Record<string, unknown>).clusterIPs;
      const metadata = {
        name,
        namespace: "floor",
        labels: { ...labels, "agent-launchpad.dev/installation": "floor" },
        ...(annotations === undefined ? {} : { annotations }),
      };
      const copy = { ...rest, apiVersion: KINDS[kind].apiVersion, kind, metadata };
      // Pods, too, must not look like the controller's.
      const text = JSON.stringify(copy).replaceAll('installation":"bench"', 'installation":"floor"');
      byAgent.set(agentId, [...(byAgent.get(agentId) ?? []), JSON.parse(text) as KubeObject]);
    }
  }
  return [...byAgent.values()];
}

/** The same writes, as many agents at a time as the controller has under way. */
async function replay(client: KubeApi, agents: KubeObject[][]): Promise<number> {
  await client.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "floor" } });
  const waiting = [...agents];
  const started = performance.now();
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (let objects = waiting.pop(); objects !== undefined; objects = waiting.pop()) {
        for (const object of objects) await client.apply(object);
      }
    }),
  );
  return performance.now() - started;
}

/** Of a controller that takes over all agents, follows their logs and has looked at each; its heap as in a small container. */
async function memory(bench: KubeBench, many: number, progress: (line: string) => void): Promise<number> {
  progress("memory");
  const heap = many > MANY ? 512 : 128;
  await bench.restartDirectly([`--max-old-space-size=${heap}`, "--max-semi-space-size=1"]);
  const { calls } = bench.database;
  const reports = calls.get("report_deployment") ?? 0;
  for (const end = Date.now() + 120_000; (calls.get("report_deployment") ?? 0) < reports + many; ) {
    if (Date.now() > end) break; // what it holds by then is measured
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return readTree(bench.controller().pid ?? 0).reduce((sum, { resident }) => sum + resident, 0);
}

async function quiet(
  { metric, proxy }: KubeBench,
  many: number,
  progress: (line: string) => void,
): Promise<Row[]> {
  await new Promise((resolve) => setTimeout(resolve, 3000)); // old versions are tidied up by then
  proxy.reset();
  progress("two resyncs");
  // All agents are queued at once; what is measured is until each was looked at.
  const queued = () => metric("launchpad_queued_deployments");
  const spans: number[] = [];
  while (spans.length < 2) {
    while ((await queued()) < many / 2) await new Promise((resolve) => setTimeout(resolve, 20));
    const began = performance.now();
    while ((await queued()) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    spans.push(performance.now() - began);
  }
  const writes = proxy.count({ verb: WRITES });
  const longest = Math.max(...spans) * (MOST / many);
  return [
    {
      measure: `P10: writes of two resyncs of ${many} agents`,
      ours: String(writes),
      goal: "0",
      met: writes === 0,
    },
    {
      measure: `a resync of 10,000 agents${many === MOST ? "" : `, from one of ${many}`}`,
      ours: ms(longest),
      goal: "≤ 30 s",
      met: longest <= 30_000,
    },
  ];
}

async function oneChange(bench: KubeBench): Promise<Row[]> {
  const { database, proxy } = bench;
  proxy.reset();
  database.update("once-0", specOf({ systemPrompt: "Another one." }));
  await bench.hint("once-0");
  await settled(database, ["once-0"]);
  const writes = proxy.requests.filter(({ verb }) => verb === "apply");
  const objects = new Set(writes.map(({ name, resource }) => `${resource}/${name}`));
  return [
    {
      measure: "P10: applies for one changed spec",
      ours: `${writes.length} of ${objects.size} objects`,
      goal: "one each",
      met: writes.length === objects.size,
    },
  ];
}
