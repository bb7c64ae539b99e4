// P7: from POST /api/agents to DEPLOYED, against the bare start of the runtime process, round by round.
import type { Benchmark } from "../lib/benchmark.ts";
import { startBareRuntime } from "../lib/runtime.ts";
import { median, ms, quantile } from "../lib/stats.ts";

export const benchmark: Benchmark = {
  title: "create → DEPLOYED, engine model",
  async run({ stack, progress, rounds }) {
    const bench = await stack();
    const user = await bench.createUser();
    const launches: number[] = [];
    const bare: number[] = [];
    const answers: number[] = [];
    const removals: number[] = [];
    const warm = await bench.launch(user);
    await bench.remove(user, warm.agentId);
    await startBareRuntime();
    const count = rounds(10);
    for (let round = 1; round <= count; round++) {
      const { agentId, answered, deployed } = await bench.launch(user);
      const removing = performance.now();
      await bench.remove(user, agentId);
      removals.push(performance.now() - removing);
      bare.push((await startBareRuntime()).ready);
      launches.push(deployed);
      answers.push(answered);
      progress(`round ${round}/${count}: DEPLOYED after ${ms(deployed)}, bare start ${ms(bare.at(-1) ?? 0)}`);
    }
    const ratio = median(launches.map((launch, index) => launch / (bare[index] ?? Number.NaN)));
    return [
      {
        measure: "create → DEPLOYED, p50",
        ours: ms(median(launches)),
        goal: "≤ 1500 ms",
        met: median(launches) <= 1500,
      },
      {
        measure: "  against the bare start",
        ours: ms(median(launches)),
        against: `${ms(median(bare))} bare`,
        ratio,
        goal: "≤ 2×",
        met: ratio <= 2,
      },
      { measure: "create → DEPLOYED, p95", ours: ms(quantile(launches, 0.95)) },
      { measure: "  of it the answer to POST, p50", ours: ms(median(answers)) },
      { measure: "DELETE → DELETED, p50", ours: ms(median(removals)) },
    ];
  },
};
