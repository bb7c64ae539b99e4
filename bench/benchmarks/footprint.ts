// Memory of an idle replica and of the whole idle stack, and how long the stack needs to start, first and again.

import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { replicas as agentReplicas } from "../../tests/helpers/replicas.ts";
import { spawnStack } from "../../tests/helpers/stack.ts";
import type { Benchmark, Context, Row } from "../lib/benchmark.ts";
import { type ProcessMemory, readTree } from "../lib/processes.ts";
import { type BareStart, startBareRuntime } from "../lib/runtime.ts";
import { type BenchStack, startBenchStack } from "../lib/stack.ts";
import { mb, median, ms } from "../lib/stats.ts";

const REPLICAS = 3;
const PAIRS = 9;
/** After this long without work a process has given back what it will. */
const SETTLE_MS = 10_000;

export const benchmark: Benchmark = {
  title: "memory and start of the stack, memory of a replica",
  async run(context) {
    return [
      ...(await measureStarts(context)),
      ...(await measureMemory(context)),
      ...(await measureRestriction(context)),
    ];
  },
};

async function measureStarts({ progress }: Context): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-bench-data-"));
  const start = async (): Promise<number> => {
    const started = performance.now();
    const stack = spawnStack({ dataDir: folder });
    await stack.ready;
    const took = performance.now() - started;
    const closed = once(stack.process, "close");
    stack.process.kill("SIGINT");
    await closed;
    return took;
  };
  try {
    const first = await start();
    const again = [await start(), await start(), await start()];
    progress(`the stack is ready after ${ms(first)}, again after ${again.map(ms).join(", ")}`);
    const second = median(again);
    return [
      { measure: "first start, empty folder", ours: ms(first), goal: "< 6000 ms", met: first < 6_000 },
      { measure: "second start, same folder", ours: ms(second), goal: "< 2000 ms", met: second < 2_000 },
      {
        measure: "  against the peer's start",
        ours: ms(second),
        against: "6000 ms peer, recorded",
        ratio: second / 6_000,
      },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What Node's permission model costs a replica: pairs, so that a busy machine is unfair to both. */
async function measureRestriction({ progress }: Context): Promise<Row[]> {
  await startBareRuntime();
  const pairs: { free: BareStart; restricted: BareStart }[] = [];
  for (let round = 0; round < PAIRS; round++) {
    pairs.push({ free: await startBareRuntime(200), restricted: await startBareRuntime(200, true) });
  }
  const free = median(pairs.map((pair) => pair.free.ready));
  const restricted = median(pairs.map((pair) => pair.restricted.ready));
  const ratio = median(pairs.map((pair) => pair.restricted.ready / pair.free.ready));
  const more = median(pairs.map((pair) => pair.restricted.resident - pair.free.resident));
  progress(`restricted ${ms(restricted)} against ${ms(free)}, ${mb(more)} more`);
  return [
    {
      measure: "replica under the permission model, start",
      ours: ms(restricted),
      against: `${ms(free)} without it`,
      ratio,
      goal: "<= 1.2x",
      met: ratio <= 1.2,
    },
    { measure: "  memory more", ours: mb(more), goal: "<= 5 MB", met: more <= 5e6 },
  ];
}

/** On its own stack: one that has worked keeps what it needed for that. */
async function measureMemory({ progress }: Context): Promise<Row[]> {
  const bench = await startBenchStack();
  try {
    return await measureStack(bench, progress);
  } finally {
    await bench.stop();
  }
}

async function measureStack(bench: BenchStack, progress: Context["progress"]): Promise<Row[]> {
  const pid = bench.stack.process?.pid;
  if (pid === undefined || process.platform !== "linux")
    return [{ measure: "memory", ours: "only on Linux, own stack" }];
  const user = await bench.createUser();
  await delay(SETTLE_MS);
  // Runtimes that wait for an agent are a part of it.
  const idle = readTree(pid);
  for (const line of describe(idle)) progress(line);
  const agents: string[] = [];
  for (let number = 0; number < REPLICAS; number++) agents.push((await bench.launch(user)).agentId);
  await delay(SETTLE_MS);
  const ofAgents = new Set(agentReplicas(pid).map((replica) => replica.pid));
  const replicas = readTree(pid).filter((one) => ofAgents.has(one.pid));
  for (const agentId of agents) await bench.remove(user, agentId);

  const proportional = sum(idle, "proportional");
  const resident = replicas.map((replica) => replica.resident);
  const worst = Math.max(...resident);
  const mean = sum(replicas, "proportional") / replicas.length;
  return [
    {
      measure: "idle stack, memory taken (PSS)",
      ours: mb(proportional),
      goal: "< 400 MB",
      met: proportional < 400e6,
    },
    { measure: "  the same, resident (RSS, shared pages counted again)", ours: mb(sum(idle, "resident")) },
    {
      measure: `idle replica, resident, worst of ${replicas.length}`,
      ours: mb(worst),
      against: "450 MB peer, recorded",
      ratio: worst / 450e6,
      goal: "<= 62 MB",
      met: worst <= 62e6 && replicas.length === REPLICAS,
    },
    {
      measure: "  memory taken (PSS), mean",
      ours: mb(mean),
      goal: "<= 20 MB",
      met: mean <= 20e6 && replicas.length === REPLICAS,
    },
  ];
}

function sum(list: readonly ProcessMemory[], key: "resident" | "proportional"): number {
  return list.reduce((total, memory) => total + memory[key], 0);
}

function describe(list: readonly ProcessMemory[]): string[] {
  return [...list]
    .sort((a, b) => b.proportional - a.proportional)
    .slice(0, 8)
    .map(({ command, resident, proportional }) => {
      const short = command
        .split(" ")
        .map((word) => word.split("/").at(-1))
        .join(" ")
        .slice(0, 60);
      return `  ${mb(proportional).padStart(7)} PSS ${mb(resident).padStart(7)} RSS  ${short}`;
    });
}
