// How much memory a controller takes that sees many agents on a real API server and follows all their logs. 200 of them each
// time: a thousand take three minutes to write, need 149 MB, and are run with LAUNCHPAD_CLUSTER_AGENTS=1000. What memory grows
// with, up to ten thousand agents, is in memory.test.ts.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, test } from "vitest";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { forEach } from "../../packages/controller/src/cluster/kubernetes/observe/concurrency.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { kubeClient } from "../helpers/kube.ts";
import { launch } from "../helpers/kube-agents.ts";
import { mountServiceAccount } from "../helpers/service-account.ts";

const AGENTS = Number(process.env.LAUNCHPAD_CLUSTER_AGENTS ?? 200);
const MEGABYTES = AGENTS > 200 ? 250 : 150;
const ACCOUNT = { name: "default", namespace: "default" };
const why = await whyNoCluster();

interface Told {
  agents: number;
  ready: number;
  heard: number;
  rss: number;
  peak: number;
  startedMs: number;
}

describe(`a controller that sees ${AGENTS} agents`, { skip: why !== undefined }, () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    const node = (n: number) => ({
      name: `n${n}`,
      zone: `z${n}`,
      pods: AGENTS,
      cpu: "2000",
      memory: "4000Gi",
    });
    cluster = await startCluster({ nodes: [node(1), node(2), node(3)] });
    // Each says something every five seconds.
    await cluster.setRules([{ logEveryMs: 5000 }]);
  });
  afterAll(() => cluster?.stop());

  test(`stays under ${MEGABYTES} MB`, { timeout: 900_000 }, async () => {
    const api = await createClient({ kubeconfig: cluster.info.kubeconfig });
    const began = performance.now();
    await forEach(Array.from({ length: AGENTS }).keys(), 8, async (n) => {
      await launch(api, { agentId: `agent-${n}`, userId: `user-${n % 50}` });
    });
    await api.close();
    console.log(`# ${AGENTS} agents written in ${((performance.now() - began) / 1000).toFixed(0)} s`);
    const admin = kubeClient(cluster);
    await admin.apply({
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "observer" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
      subjects: [{ kind: "ServiceAccount", ...ACCOUNT }],
    });
    const { env } = await mountServiceAccount(cluster, admin, ACCOUNT, cluster.info.dataDir);
    admin.close();
    // As in the image: compiled before, and with the heap's bounds of a container of 512 MiB.
    const start = () => {
      const flags = ["--max-semi-space-size=2", "--max-old-space-size=307"];
      const program = join(import.meta.dirname, "fixtures/observer.ts");
      return spawn(process.execPath, [...flags, program, cluster.info.dataDir], {
        stdio: ["pipe", "pipe", "inherit"],
        env: { ...process.env, ...env, NODE_COMPILE_CACHE: join(cluster.info.dataDir, "compiled") },
      });
    };
    const compiling = start();
    await once(compiling.stdout, "data");
    compiling.stdin.end();
    await once(compiling, "exit");
    const child = start();
    const ended = once(child, "exit");
    try {
      let last: Told | undefined;
      let steady = 0;
      for await (const line of createInterface(child.stdout)) {
        last = JSON.parse(line) as Told;
        const all = last.agents === AGENTS && last.ready === AGENTS && last.heard === AGENTS;
        steady = all ? steady + 1 : 0;
        // Ordinary life: telling, lines of all, probes.
        if (steady >= 15) break;
      }
      console.log("# of the controller:", JSON.stringify(last));
      assert.ok(
        last !== undefined && last.peak < MEGABYTES * 1e6,
        `${Math.round((last?.peak ?? 0) / 1e6)} MB`,
      );
    } finally {
      child.stdin.end();
      await ended;
    }
  });
});
