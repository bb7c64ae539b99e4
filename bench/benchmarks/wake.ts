// Sleeping agents: how long a request waits for a wake, one by one and fifty at once, and whether any of a thousand is lost.
import { Agent } from "node:http";
import type { TestUser } from "../../tests/helpers/stack.ts";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { ask } from "../lib/load.ts";
import { type BenchStack, startBenchStack } from "../lib/stack.ts";
import { median, ms, quantile } from "../lib/stats.ts";

/** Agents that wake together. */
const TOGETHER = 50;
/** Runtimes that wait, and the goal with so many. */
const POOLS = [
  { size: 8, goalMs: 1000 },
  { size: 50, goalMs: 500 },
];
/** The default of LAUNCHPAD_POOL_SIZE. */
const POOL_SIZE = 2;
/** Requests of one sleeping agent at once. */
const CROWD = 1000;
const POLL_MS = 20;

export const benchmark: Benchmark = {
  title: "a request to a sleeping agent",
  async run({ stack, progress, rounds }) {
    const bench = await stack();
    const user = await bench.createUser();
    const { agentId } = await bench.launch(user);
    await wakeOnce(bench, user, agentId);
    const answers: number[] = [];
    const wakes: number[] = [];
    const count = rounds(20);
    for (let round = 1; round <= count; round += 1) {
      const { took, wakeMs } = await wakeOnce(bench, user, agentId);
      answers.push(took);
      wakes.push(wakeMs);
      progress(`round ${round}/${count}: answered after ${ms(took)}, awake after ${ms(wakeMs)}`);
    }

    await sleep(bench, user, [agentId]);
    const wakesBefore = await wakesOf(bench, agentId);
    const crowd = await askAll(bench, user, Array(CROWD).fill(agentId));
    const lost = crowd.filter(({ status }) => status !== 200).length;
    const wakesOfCrowd = (await wakesOf(bench, agentId)) - wakesBefore;
    progress(`${CROWD} at once: ${lost} lost, ${wakesOfCrowd} wakes`);

    await bench.remove(user, agentId);

    const together: Row[] = [];
    for (const { size, goalMs } of POOLS) {
      const { waits, missed } = await wakeTogether(size);
      progress(`${TOGETHER} at once, ${size} waiting: p99 ${ms(quantile(waits, 0.99))}, ${missed} lost`);
      together.push({
        measure: `${TOGETHER} agents at once, ${size} runtimes waiting, p99`,
        ours: `${ms(quantile(waits, 0.99))}, ${missed} lost`,
        against: `p50 ${ms(median(waits))}`,
        goal: `≤ ${goalMs} ms, 0 lost`,
        met: quantile(waits, 0.99) <= goalMs && missed === 0,
      });
    }
    return [
      {
        measure: "request → answer of a sleeping agent, p50",
        ours: ms(median(answers)),
        goal: "≤ 100 ms",
        met: median(answers) <= 100,
      },
      { measure: "  p99", ours: ms(quantile(answers, 0.99)) },
      { measure: "  of it WAKING → DEPLOYED in the database, p50", ours: ms(median(wakes)) },
      ...together,
      {
        measure: `${CROWD} requests of one agent at once`,
        ours: `${lost} lost, ${wakesOfCrowd} wakes, p99 ${ms(
          quantile(
            crowd.map(({ took }) => took),
            0.99,
          ),
        )}`,
        goal: "0 lost, 1 wake",
        met: lost === 0 && wakesOfCrowd === 1,
      },
    ];
  },
};

/** Wakes agents together on a stack of its own, whose pool is full. */
async function wakeTogether(size: number): Promise<{ waits: number[]; missed: number }> {
  const bench = await startBenchStack({ LAUNCHPAD_POOL_SIZE: String(size) });
  try {
    const user = await bench.createUser();
    const agents: string[] = [];
    for (let made = 0; made < TOGETHER; made += 1) agents.push((await bench.launch(user)).agentId);
    await sleep(bench, user, agents);
    await bench.poolHas(size);
    const answers = await askAll(bench, user, agents);
    return {
      waits: answers.map(({ took }) => took),
      missed: answers.filter(({ status }) => status !== 200).length,
    };
  } finally {
    await bench.stop();
  }
}

async function wakeOnce(bench: BenchStack, user: TestUser, agentId: string) {
  await sleep(bench, user, [agentId]);
  // Agents sleep for minutes: the pool is full again when a request comes.
  await bench.poolHas(POOL_SIZE);
  const [answer] = await askAll(bench, user, [agentId]);
  if (answer?.status !== 200) throw new Error(`a sleeping agent answered ${answer?.status}: ${answer?.text}`);
  await phaseIs(bench, [agentId], "DEPLOYED");
  const [row] = await bench.stack.sql<{ ms: number }>(
    `select extract(epoch from max("timestamp") filter (where to_phase = 'DEPLOYED')
       - max("timestamp") filter (where to_phase = 'WAKING')) * 1000 as ms
     from public.agent_events where agent_id = $1`,
    [agentId],
  );
  return { took: answer.took, wakeMs: Number(row?.ms) };
}

/** Puts the agents to sleep and waits until nothing of them runs. */
async function sleep(bench: BenchStack, user: TestUser, agents: readonly string[]): Promise<void> {
  for (const agentId of agents) await bench.json(user, "POST", `/api/agents/${agentId}/sleep`);
  await phaseIs(bench, agents, "ASLEEP");
}

/** At their addresses, each over its own connection, all at once. */
async function askAll(bench: BenchStack, user: TestUser, agents: readonly string[]) {
  const agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY });
  try {
    return await Promise.all(
      agents.map((agentId) =>
        ask(
          {
            url: `${bench.stack.info.apiUrl}/agents/${agentId}/`,
            headers: { authorization: `Bearer ${user.token}` },
          },
          agent,
        ),
      ),
    );
  } finally {
    agent.destroy();
  }
}

async function phaseIs(bench: BenchStack, agents: readonly string[], phase: string): Promise<void> {
  const deadline = performance.now() + 120_000;
  for (;;) {
    const left = await bench.stack.sql<{ agent_id: string; phase: string }>(
      "select agent_id, phase from private.agent_deployments where agent_id = any($1) and phase <> $2",
      [agents, phase],
    );
    if (left.length === 0) return;
    if (performance.now() > deadline) throw new Error(`not ${phase}: ${JSON.stringify(left.slice(0, 3))}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function wakesOf(bench: BenchStack, agentId: string): Promise<number> {
  const [row] = await bench.stack.sql<{ count: number }>(
    "select count(*)::integer as count from public.agent_events where agent_id = $1 and to_phase = 'WAKING'",
    [agentId],
  );
  return row?.count ?? 0;
}
