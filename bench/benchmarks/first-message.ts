// What an agent's first message costs more than the next ones: it loads what answers (the AI SDK, the provider), which stays in memory.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { bundleRuntime, warmCompileCache } from "../../packages/agent-runtime/src/index.ts";
import { startAgent } from "../../packages/agent-runtime/src/testing/agent.ts";
import { startProviderStub } from "../../tests/helpers/providers.ts";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { readTree } from "../lib/processes.ts";
import { mb, median, ms } from "../lib/stats.ts";

const FRAMEWORKS = ["openai", "anthropic", "google"];
/** After this long without work a process has given back what it will. */
const SETTLE_MS = 1_000;

interface First {
  first: number;
  next: number;
  /** Bytes of its own: before the first message, and after three. */
  before: number;
  after: number;
}

export const benchmark: Benchmark = {
  title: "an agent's first message",
  async run({ rounds, progress }) {
    await bundleRuntime();
    const scratch = mkdtempSync(join(tmpdir(), "launchpad-bench-warm-"));
    await warmCompileCache(AbortSignal.timeout(120_000), join(scratch, "state"));
    rmSync(scratch, { recursive: true, force: true });
    const stub = await startProviderStub();
    try {
      const rows: Row[] = [];
      for (const framework of FRAMEWORKS) {
        const all: First[] = [];
        for (let round = 0; round < rounds(7); round++) all.push(await measure(framework, stub.environment));
        const of = (key: keyof First) => median(all.map((one) => one[key]));
        const more = median(all.map(({ first, next }) => first - next));
        progress(`${framework}: ${ms(of("first"))}, then ${ms(of("next"))}`);
        rows.push({
          measure: `${framework}: the first message waits longer by`,
          ours: ms(more),
          against: `${ms(of("next"))} for the next`,
        });
        rows.push({
          measure: "  memory of its own afterwards",
          ours: mb(of("after")),
          against: `${mb(of("before"))} before`,
        });
      }
      return rows;
    } finally {
      await stub.close();
    }
  },
};

async function measure(framework: string, environment: Record<string, string>): Promise<First> {
  await using agent = await startAgent({
    config: { framework },
    environment: { ...environment, MALLOC_ARENA_MAX: "1" },
  });
  const own = () => readTree(agent.process.pid as number)[0]?.made ?? Number.NaN;
  // The client's own connection and code are no cost of the agent.
  await agent.get("/health");
  await delay(SETTLE_MS);
  const before = own();
  const took: number[] = [];
  for (let message = 0; message < 3; message++) {
    const began = performance.now();
    const { status, body } = await agent.say({ text: "hello" });
    if (status !== 200) throw new Error(`${framework} answered ${status}: ${JSON.stringify(body)}`);
    took.push(performance.now() - began);
  }
  await delay(SETTLE_MS);
  const [first = Number.NaN, , next = Number.NaN] = took;
  return { first, next, before, after: own() };
}
