// What the terminal waits for: the start of `launchpad`, from its sources and as it is published.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "../../packages/cli/build.ts";
import type { Benchmark } from "../lib/benchmark.ts";
import { median, ms } from "../lib/stats.ts";

const CLI = join(import.meta.dirname, "../../packages/cli");
const GOAL_MS = 150;

export const benchmark: Benchmark = {
  title: "launchpad --help, beside a bare start of Node",
  async run({ rounds, progress }) {
    const folder = join(CLI, `.cache/bench-${process.pid}`);
    mkdirSync(folder, { recursive: true });
    try {
      build(folder);
      const sides = {
        node: ["-e", ""],
        published: [join(folder, "bin/launchpad.js"), "--help"],
        sources: [join(CLI, "bin/launchpad.js"), "--help"],
      };
      const took: Record<keyof typeof sides, number[]> = { node: [], published: [], sources: [] };
      for (const args of Object.values(sides)) start(args); // fills the compile cache, as the first use does
      for (let round = 0; round < rounds(20); round += 1)
        for (const side of ["node", "published", "sources"] as const) took[side].push(start(sides[side]));
      const bare = median(took.node);
      progress(
        `node ${ms(bare)}, published ${ms(median(took.published))}, sources ${ms(median(took.sources))}`,
      );
      return (["published", "sources"] as const).map((side) => ({
        measure: `--help, ${side === "published" ? "as it is published" : "from the sources"}`,
        ours: ms(median(took[side])),
        against: `${ms(bare)} node`,
        ratio: median(took[side].map((each, i) => each / (took.node[i] ?? bare))),
        goal: `< ${GOAL_MS} ms`,
        met: median(took[side]) < GOAL_MS,
      }));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** Milliseconds from the start of a process to its end. */
function start(args: readonly string[]): number {
  const begun = performance.now();
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`launchpad ended with ${status}: ${stderr}`);
  return performance.now() - begun;
}
