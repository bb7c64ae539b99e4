// A replica from its order to ready, with a runtime that waited and from the beginning, in turn; and what waiting costs.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Workload } from "../../packages/controller/src/cluster/cluster.ts";
import { ProcessesCluster } from "../../packages/controller/src/cluster/processes/processes.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import type { Benchmark } from "../lib/benchmark.ts";
import { AGENT } from "../lib/stack.ts";
import { mb, median, ms, quantile } from "../lib/stats.ts";

const MEMORY_BYTES = 256 * 1024 * 1024;

/** Agents that start together. */
const TOGETHER = 50;

interface Start {
  /** Of the controller's own thread. */
  blocked: number;
  ready: number;
}

export const benchmark: Benchmark = {
  title: "a replica's start, with a runtime that waited",
  async run({ progress, rounds }) {
    await using warm = await startCluster(1);
    await using cold = await startCluster(0);
    const pairs: { warm: Start; cold: Start }[] = [];
    const waiting: number[] = [];
    // The first is cold in both: the pool learns which heap is asked for.
    for (const one of [warm, cold]) await one.start("agent-first");
    const count = rounds(30);
    for (let round = 1; round <= count; round++) {
      await warm.full();
      waiting.push(...warm.ownBytes());
      const pair = {
        cold: await cold.start(`agent-${round}`),
        warm: await warm.start(`agent-${round}`),
      };
      pairs.push(pair);
      progress(`round ${round}/${count}: ${ms(pair.warm.ready)} warm, ${ms(pair.cold.ready)} cold`);
    }
    const crowds: { size: number; took: number[] }[] = [];
    const agents = Array.from({ length: TOGETHER }, (_, agent) => `agent-${agent}`);
    for (const size of [0, 8, TOGETHER]) {
      await using crowd = await startCluster(size);
      // The pool learns which heaps are asked for.
      await crowd.together(agents);
      const took: number[] = [];
      for (let round = 1; round <= rounds(3); round++) {
        await crowd.full();
        took.push(...(await crowd.together(agents)));
      }
      crowds.push({ size, took });
      progress(`${TOGETHER} at once, ${size} waiting: ${ms(quantile(took, 0.99))}`);
    }
    const of = (kind: "warm" | "cold", what: keyof Start) => pairs.map((pair) => pair[kind][what]);
    const ratio = median(pairs.map((pair) => pair.warm.ready / pair.cold.ready));
    return [
      {
        measure: "order → ready, p50",
        ours: ms(median(of("warm", "ready"))),
        against: `${ms(median(of("cold", "ready")))} from the beginning`,
        ratio,
        goal: "≤ 12 ms",
        met: median(of("warm", "ready")) <= 12,
      },
      {
        measure: "  p99",
        ours: ms(quantile(of("warm", "ready"), 0.99)),
        against: ms(quantile(of("cold", "ready"), 0.99)),
        goal: "≤ 40 ms",
        met: quantile(of("warm", "ready"), 0.99) <= 40,
      },
      {
        measure: "  of it the controller's own thread, p50",
        ours: ms(median(of("warm", "blocked"))),
        against: ms(median(of("cold", "blocked"))),
      },
      ...crowds.map(({ size, took }) => ({
        measure: `${TOGETHER} at once, ${size} waiting, p99`,
        ours: ms(quantile(took, 0.99)),
        against: `p50 ${ms(median(took))}`,
      })),
      ...(process.platform === "linux"
        ? [{ measure: "a runtime that waits, memory of its own", ours: mb(median(waiting)) }]
        : []),
    ];
  },
};

async function startCluster(poolSize: number) {
  const stateDir = mkdtempSync(join(tmpdir(), "launchpad-bench-"));
  const cluster = new ProcessesCluster({
    stateDir,
    log: silentLog,
    machineEnvironment: { PATH: process.env.PATH ?? "" },
    project: { url: "http://127.0.0.1:9", key: "sb_publishable_bench", probeSecret: "secret", proxyHops: 1 },
    providerEnvironment: {},
    poolSize,
  });
  let changed = () => {};
  cluster.watch(() => changed());
  await cluster.start();
  await cluster.warmed;
  // Without an agent none would wait.
  await cluster.sleep(workload("agent-asleep"));
  const when = async (condition: () => Promise<boolean>) => {
    for (;;) {
      const change = new Promise<void>((resolve) => {
        changed = resolve;
      });
      if (await condition()) return;
      await change;
    }
  };
  const pool = join(stateDir, "pool");
  return {
    async full(): Promise<void> {
      while (cluster.pool?.waiting !== poolSize) await new Promise((resolve) => setTimeout(resolve, 20));
    },
    /** Bytes that each waiting process shares with no other. */
    ownBytes(): number[] {
      if (process.platform !== "linux") return [];
      return readdirSync(pool).flatMap((name) => {
        const { agentId, pid } = JSON.parse(readFileSync(join(pool, name, "process.json"), "utf8"));
        if (agentId !== undefined) return [];
        const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
        return 1024 * Number(/^Private_Dirty:\s+(\d+) kB/m.exec(rollup)?.[1]);
      });
    },
    /** Starts agents at once, and removes them again; the milliseconds until each was ready. */
    async together(agents: readonly string[]): Promise<number[]> {
      const began = performance.now();
      const took = new Map<string, number>();
      for (const agentId of agents) await cluster.apply(workload(agentId));
      await when(async () => {
        for (const agentId of agents) {
          if (took.has(agentId) || (await cluster.get(agentId))?.replicas[0]?.state !== "ready") continue;
          took.set(agentId, performance.now() - began);
        }
        return took.size === agents.length;
      });
      for (const agentId of agents) await cluster.remove(agentId, false);
      await when(async () => (await cluster.list()).length === 1);
      return [...took.values()];
    },
    /** Starts an agent, and removes it again. */
    async start(agentId: string): Promise<Start> {
      const began = performance.now();
      await cluster.apply(workload(agentId));
      const blocked = performance.now() - began;
      await when(async () => (await cluster.get(agentId))?.replicas[0]?.state === "ready");
      const ready = performance.now() - began;
      await cluster.remove(agentId, false);
      await when(async () => (await cluster.get(agentId)) === undefined);
      return { blocked, ready };
    },
    async [Symbol.asyncDispose]() {
      await cluster.stop();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

function workload(agentId: string): Workload {
  const { description: _, resources, ...definition } = AGENT;
  const spec = {
    ...definition,
    name: "bench",
    framework: "openai",
    resources: {
      memory: resources.memory,
      cpu: resources.cpu,
      memoryBytes: MEMORY_BYTES,
      cpuMillicores: 250,
    },
  };
  return {
    agentId,
    userId: null,
    quota: null,
    class: null,
    generation: 1,
    revision: 1,
    template: "one",
    replicas: 1,
    environment: { OPENAI_API_KEY: "not-a-key" },
    spec: spec as unknown as Workload["spec"],
  };
}
