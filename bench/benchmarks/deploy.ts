// From POST /api/agents to DEPLOYED, with runtimes that wait for an agent and without, and the bare start of the runtime, in turn.
import type { Benchmark } from "../lib/benchmark.ts";
import { startBareRuntime } from "../lib/runtime.ts";
import { type BenchStack, startBenchStack } from "../lib/stack.ts";
import { median, ms, quantile } from "../lib/stats.ts";

const POOL_SIZE = 2;
/** Launches before those that count: a new connection of PostgREST's pays for a backend that has cached nothing. */
const WARM_UP = 8;

export const benchmark: Benchmark = {
  title: "create → DEPLOYED, engine model",
  async run({ progress, rounds }) {
    const [warm, cold] = [await startSide(POOL_SIZE), await startSide(0)];
    try {
      const bare: number[] = [];
      await startBareRuntime();
      const count = rounds(20);
      for (let round = 1; round <= count; round++) {
        const took = [await warm.launch(), await cold.launch()].map(ms);
        bare.push((await startBareRuntime()).ready);
        progress(`round ${round}/${count}: DEPLOYED after ${took[0]} with a pool, ${took[1]} without`);
      }
      const ratio = median(cold.launches.map((launch, index) => launch / (bare[index] ?? Number.NaN)));
      return [
        {
          measure: "create → DEPLOYED with a pool, p50",
          ours: ms(median(warm.launches)),
          goal: "≤ 80 ms",
          met: median(warm.launches) <= 80,
        },
        { measure: "  p95", ours: ms(quantile(warm.launches, 0.95)) },
        { measure: "  of it the answer to POST, p50", ours: ms(median(warm.answers)) },
        {
          measure: "create → DEPLOYED without, p50",
          ours: ms(median(cold.launches)),
          goal: "≤ 110 ms",
          met: median(cold.launches) <= 110,
        },
        { measure: "  p95", ours: ms(quantile(cold.launches, 0.95)) },
        {
          measure: "  against the bare start",
          ours: ms(median(cold.launches)),
          against: `${ms(median(bare))} bare`,
          ratio,
          goal: "≤ 2×",
          met: ratio <= 2,
        },
        { measure: "DELETE → DELETED, p50", ours: ms(median([...warm.removals, ...cold.removals])) },
      ];
    } finally {
      await Promise.all([warm.bench.stop(), cold.bench.stop()]);
    }
  },
};

/** A stack with so many waiting runtimes, warmed up. */
async function startSide(poolSize: number) {
  const bench: BenchStack = await startBenchStack({ LAUNCHPAD_POOL_SIZE: String(poolSize) });
  const user = await bench.createUser();
  // Without an agent none would wait.
  await bench.launch(user);
  const side = {
    bench,
    launches: [] as number[],
    answers: [] as number[],
    removals: [] as number[],
    async launch(): Promise<number> {
      await bench.poolHas(poolSize);
      const { agentId, answered, deployed } = await bench.launch(user);
      const removing = performance.now();
      await bench.remove(user, agentId);
      side.removals.push(performance.now() - removing);
      side.answers.push(answered);
      side.launches.push(deployed);
      return deployed;
    },
  };
  for (let round = 0; round < WARM_UP; round++) await side.launch();
  for (const list of [side.launches, side.answers, side.removals]) list.length = 0;
  return side;
}
