// What an elizaOS agent needs: memory and folder over a long life, ten agents beside each other, the costs of a message.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { RunningAgent } from "../../packages/agent-runtime/src/testing/agent.ts";
import { soak } from "../../packages/agent-runtime/src/testing/soak.ts";
import type { Benchmark, Context, Row } from "../lib/benchmark.ts";
import { costOfMessages, proportionalBytes, startElizaStub, startPlainAgent } from "../lib/eliza.ts";
import { mb, median } from "../lib/stats.ts";

const MESSAGES = 2_000;
const AGENTS = 10;
/** Before ADR 0214, on the reference machine: one agent after its first start and ten messages. */
const RECORDED_BYTES = 445 * 2 ** 20;
const SETTLE_MS = 5_000;

export const benchmark: Benchmark = {
  title: "elizaOS agents: a long life, ten at once, costs of a message",
  async run(context) {
    if (process.platform !== "linux") return [{ measure: "memory", ours: "only on Linux" }];
    return [...(await measureCosts()), ...(await measureTen()), ...(await measureSoak(context))];
  },
};

async function measureSoak({ progress, rounds }: Context): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-bench-soak-"));
  const stateDir = join(folder, "state");
  mkdirSync(stateDir);
  try {
    const { samples, peak } = await soak({ messages: rounds(MESSAGES), samples: 20, stateDir, progress });
    // Of the first fifth, while caches fill, nothing is asked.
    const early = samples[Math.floor(samples.length / 5)];
    const late = samples.at(-1);
    if (early === undefined || late === undefined) throw new Error("no samples");
    const memory = late.resident / early.resident;
    const files = late.folder - early.folder;
    return [
      {
        measure: "peak of the start",
        ours: mb(peak),
        against: "954 MiB recorded",
        ratio: peak / (954 * 2 ** 20),
      },
      {
        measure: `resident after ${late.messages} messages`,
        ours: mb(late.resident),
        against: `${mb(early.resident)} after ${early.messages}`,
        ratio: memory,
        goal: "≤ 1.1×",
        met: memory <= 1.1,
      },
      {
        measure: "  the agent's folder",
        ours: mb(late.folder),
        against: mb(early.folder),
        goal: "≤ 6 MB more",
        met: files <= 6e6,
      },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measureTen(): Promise<Row[]> {
  await using stub = await startElizaStub();
  const agents: RunningAgent[] = [];
  try {
    for (let number = 0; number < AGENTS; number++) {
      const agent = await startPlainAgent(stub, ["@elizaos/plugin-bootstrap"], {}, `agent-bench-${number}`);
      agents.push(agent);
      for (let message = 0; message < 10; message++)
        await agent.say({ text: `hello ${message}`, conversationId: "c1" });
    }
    await delay(SETTLE_MS);
    const each = agents.map((agent) => proportionalBytes(Number(agent.process.pid)));
    const ratio = median(each) / RECORDED_BYTES;
    return [
      {
        measure: `one of ${AGENTS} agents, memory taken (PSS), median`,
        ours: mb(median(each)),
        against: `${mb(RECORDED_BYTES)} recorded`,
        ratio,
        goal: "≤ 0.8×",
        met: ratio <= 0.8,
      },
    ];
  } finally {
    await Promise.all(agents.map((agent) => agent[Symbol.asyncDispose]()));
  }
}

async function measureCosts(): Promise<Row[]> {
  const ranges = [
    { from: 0, to: 1 },
    { from: 1, to: 30 },
  ];
  const kinds: [string, boolean, Record<string, unknown>][] = [
    ["model engine", false, {}],
    ["elizaOS", true, {}],
    ["elizaOS, reflection off", true, { reflection: "off" }],
  ];
  const rows: Row[] = [];
  for (const [name, isEliza, settings] of kinds) {
    const costs = await costOfMessages(isEliza, settings, ranges);
    for (const [place, { calls, embeddings, inputTokens, outputTokens }] of costs.entries()) {
      rows.push({
        measure: `${name}, ${place === 0 ? "first message" : "messages 2–30, mean"}`,
        ours: `${calls.toFixed(2)} calls, ${embeddings.toFixed(1)} embeddings, ${Math.round(inputTokens)} tokens in, ${Math.round(outputTokens)} out`,
      });
    }
  }
  return rows;
}
