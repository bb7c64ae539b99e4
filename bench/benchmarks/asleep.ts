// A thousand sleeping agents: what they cost the idle stack in memory and CPU.
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Benchmark } from "../lib/benchmark.ts";
import { type ProcessMemory, readTree } from "../lib/processes.ts";
import { startBenchStack } from "../lib/stack.ts";
import { mb } from "../lib/stats.ts";

const AGENTS = 1000;
/** After this long without work a process has given back what it will. */
const SETTLE_MS = 15_000;
const WATCH_MS = 30_000;
const TICKS_PER_SECOND = 100;

export const benchmark: Benchmark = {
  title: `${AGENTS} sleeping agents`,
  async run({ progress }) {
    const bench = await startBenchStack();
    try {
      const root = bench.stack.process?.pid;
      if (root === undefined) throw new Error("the stack runs elsewhere");
      const user = await bench.createUser();
      const { agentId } = await bench.launch(user);
      await bench.json(user, "POST", `/api/agents/${agentId}/sleep`);
      await until(bench, "select from private.agent_deployments where phase <> 'ASLEEP'", 0);
      // What any work leaves behind (connections, compiled code) is no cost of sleepers.
      const read = () => bench.json(user, "GET", "/api/agents");
      for (let round = 0; round < 40; round += 1) await Promise.all(Array.from({ length: 8 }, read));
      const before = await cost(root);
      progress(`one sleeping agent: ${mb(before.bytes)}, ${percent(before.cores)} of a core`);
      // As they stand in the database after a night: the controller takes each and answers for its address.
      for (const statement of copies(AGENTS)) await bench.stack.sql(statement, [agentId]);
      await until(bench, "select from private.agent_deployments where lease_holder is not null", AGENTS + 1);
      const after = await cost(root);
      progress(`${AGENTS} more: ${mb(after.bytes)}, ${percent(after.cores)} of a core`);
      for (const { pid, command, proportional } of after.processes) {
        const was = before.processes.find((one) => one.pid === pid)?.proportional ?? 0;
        if (proportional - was > 1e6) progress(`  ${mb(was)} → ${mb(proportional)}: ${command.slice(0, 80)}`);
      }
      const [bytes, cores] = [after.bytes - before.bytes, after.cores - before.cores];
      return [
        { measure: "memory of the stack grows by", ours: mb(bytes), goal: "≤ 30 MB", met: bytes <= 30e6 },
        { measure: "CPU grows by", ours: percent(cores), goal: "≤ 1 % of a core", met: cores <= 0.01 },
      ];
    } finally {
      await bench.stop();
    }
  },
};

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;

/** Proportional memory of all processes, and the cores that they use while nothing is asked of them. */
async function cost(root: number): Promise<{ processes: ProcessMemory[]; bytes: number; cores: number }> {
  await delay(SETTLE_MS);
  const processes = readTree(root);
  const ticks = () => new Map(readTree(root).map(({ pid }) => [pid, ticksOf(pid)]));
  const first = ticks();
  await delay(WATCH_MS);
  let used = 0;
  for (const [pid, now] of ticks()) used += Math.max(0, now - (first.get(pid) ?? 0));
  return {
    processes,
    bytes: processes.reduce((sum, { proportional }) => sum + proportional, 0),
    cores: used / TICKS_PER_SECOND / (WATCH_MS / 1000),
  };
}

function ticksOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /, "")
      .split(" ");
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return 0;
  }
}

async function until(
  bench: Awaited<ReturnType<typeof startBenchStack>>,
  query: string,
  rows: number,
): Promise<void> {
  const deadline = performance.now() + 120_000;
  while ((await bench.stack.sql(query)).length !== rows) {
    if (performance.now() > deadline) throw new Error(`not so after two minutes: ${query}`);
    await delay(100);
  }
}

/** Statements that copy a sleeping agent, $1, many times. */
function copies(count: number): string[] {
  const copy = (table: string, key: string) => `
    insert into ${table} select (jsonb_populate_record(t, jsonb_build_object('${key}', 'copy-' || n))).*
    from ${table} t, generate_series(1, ${count}) n where t.${key} = $1`;
  return [
    copy("public.agents", "id"),
    copy("public.agent_revisions", "agent_id"),
    `insert into private.agent_deployments
      select (jsonb_populate_record(t, jsonb_build_object('agent_id', 'copy-' || n, 'lease_holder', null,
        'lease_token', null))).*
      from private.agent_deployments t, generate_series(1, ${count}) n where t.agent_id = $1`,
  ];
}
