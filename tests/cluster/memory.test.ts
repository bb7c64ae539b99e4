// What a controller's memory grows with, and that it stays in its bounds at 1,000 and 10,000 agents.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { KINDS, type Kind, type KubeApi } from "../../packages/controller/src/cluster/kubernetes/api.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { startCluster, type TestCluster, whyNoCluster } from "../helpers/cluster.ts";
import { launch } from "../helpers/kube-agents.ts";
import { eventually } from "../helpers/processes.ts";

const AGENT = "agent-abcdefghijkl";
const USER = "0f8fad5b-d9cb-469f-a165-70867728950e";
/** As the image starts the controller; the heap as 60 % of the limits that docs/operations.md advises. */
const BOUNDS: [agents: number, heapMegabytes: number, megabytes: number][] = [
  [1000, 307, 250],
  [10_000, 614, 600],
];

const why = await whyNoCluster();
describe("the memory of a controller", { skip: why !== undefined }, () => {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-memory-"));
  const sample = join(folder, "objects.json");
  let cluster: TestCluster;
  let api: KubeApi;

  beforeAll(async () => {
    cluster = await startCluster({});
    api = await createClient({ kubeconfig: cluster.info.kubeconfig });
    const quota = { maxAgents: 5, maxReplicas: 10, maxCpuMillicores: 8000, maxMemoryBytes: 8 * 1024 ** 3 };
    await launch(api, { agentId: AGENT, userId: USER, quota });
    const namespace = `agents-${USER}`;
    await eventually("the agent is ready", async () => {
      const { items } = await api.list("ReplicaSet", { namespace });
      return (items[0]?.status as { readyReplicas?: number } | undefined)?.readyReplicas === 1;
    });
    const labelSelector = "agent-launchpad.dev/installation=test";
    const objects: Partial<Record<Kind, unknown>> = {};
    for (const kind of Object.keys(KINDS) as Kind[]) {
      if (["HTTPRoute", "Node", "Event", "RoleBinding"].includes(kind) || kind.endsWith("Metrics")) continue;
      const query = KINDS[kind].namespaced ? { namespace, labelSelector } : { labelSelector };
      objects[kind] = (await api.list(kind, query)).items;
    }
    writeFileSync(sample, JSON.stringify({ agentId: AGENT, userId: USER, objects }));
  });
  afterAll(async () => {
    await api?.close();
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const [agents, heap, megabytes] of BOUNDS) {
    test(`stays under ${megabytes} MB with ${agents} agents`, { timeout: 600_000 }, () => {
      const program = join(import.meta.dirname, "fixtures/many-agents.ts");
      const flags = ["--max-semi-space-size=2", `--max-old-space-size=${heap}`];
      const { stdout, stderr, status } = spawnSync(
        process.execPath,
        [...flags, program, sample, String(agents)],
        { encoding: "utf8" },
      );
      assert.equal(status, 0, stderr);
      const measured = JSON.parse(stdout) as Record<
        "agents" | "ready" | "followed" | "peak" | "heapUsed",
        number
      >;
      console.info(stdout.trim());
      assert.deepEqual([measured.agents, measured.ready], [agents, agents]);
      assert.ok(measured.peak < megabytes * 1e6, `${Math.round(measured.peak / 1e6)} MB`);
    });
  }
});
