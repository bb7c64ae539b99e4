// A thousand sleeping agents: what they cost the idle stack in memory and CPU. Two folders of data, one with a single sleeping agent and one
// with a thousand more, are each started from disk after the same restart, in turn: what any work leaves behind in a process is in neither.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Benchmark } from "../lib/benchmark.ts";
import { type ProcessMemory, readCpu, readTree } from "../lib/processes.ts";
import { type BenchStack, startBenchStack } from "../lib/stack.ts";
import { mb, median } from "../lib/stats.ts";

const AGENTS = 1000;
const ROUNDS = 3;
/** After this long without work a process has given back what it will. */
const SETTLE_MS = 15_000;
const WATCH_MS = 30_000;

interface Cost {
  processes: ProcessMemory[];
  bytes: number;
  /** Cores in use while nothing is asked. */
  cores: number;
}

export const benchmark: Benchmark = {
  title: `${AGENTS} sleeping agents`,
  async run({ progress, rounds }) {
    const folder = mkdtempSync(join(tmpdir(), "launchpad-bench-asleep-"));
    try {
      const [one, many] = [join(folder, "one"), join(folder, "many")];
      await prepare(one, many);
      const pairs: { one: Cost; many: Cost }[] = [];
      const count = rounds(ROUNDS);
      for (let round = 1; round <= count; round++) {
        const pair = { one: await costOf(one, 1), many: await costOf(many, AGENTS + 1) };
        pairs.push(pair);
        const said = [pair.one, pair.many].map(
          ({ bytes, cores }) => `${mb(bytes)}, ${percent(cores)} of a core`,
        );
        progress(`round ${round}/${count}: ${said.join(" → ")}`);
      }
      for (const line of growth(pairs.at(-1) as (typeof pairs)[0])) progress(line);
      const bytes = median(pairs.map((pair) => pair.many.bytes - pair.one.bytes));
      const cores = median(pairs.map((pair) => pair.many.cores - pair.one.cores));
      return [
        { measure: "memory of the stack grows by", ours: mb(bytes), goal: "≤ 30 MB", met: bytes <= 30e6 },
        { measure: "CPU grows by", ours: percent(cores), goal: "≤ 1 % of a core", met: cores <= 0.01 },
      ];
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;

/** Makes both folders: a sleeping agent, and the same with a thousand copies of it. */
async function prepare(one: string, many: string): Promise<void> {
  let agentId = "";
  await withStack(one, async (bench) => {
    const user = await bench.createUser();
    agentId = (await bench.launch(user)).agentId;
    await bench.json(user, "POST", `/api/agents/${agentId}/sleep`);
    await until(bench, "select from private.agent_deployments where phase <> 'ASLEEP'", 0);
  });
  // With owners: Postgres has its own account where root runs the stack.
  execFileSync("cp", ["-a", one, many]);
  await withStack(many, async ({ stack }) => {
    for (const statement of copies(AGENTS)) await stack.sql(statement, [agentId]);
    await stack.sql("vacuum analyze public.agents, public.agent_revisions, private.agent_deployments");
  });
}

/** The cost of a stack that was just started, once its controller holds all agents. */
async function costOf(folder: string, agents: number): Promise<Cost> {
  return withStack(folder, async (bench, root) => {
    await until(bench, "select from private.agent_deployments where lease_holder is not null", agents);
    await delay(SETTLE_MS);
    const processes = readTree(root);
    const used = () => [...readCpu(root).values()].reduce((sum, milliseconds) => sum + milliseconds, 0);
    const [before, began] = [used(), performance.now()];
    await delay(WATCH_MS);
    return {
      processes,
      bytes: processes.reduce((sum, { made }) => sum + made, 0),
      cores: (used() - before) / (performance.now() - began),
    };
  });
}

async function withStack<T>(
  dataDir: string,
  work: (bench: BenchStack, root: number) => Promise<T>,
): Promise<T> {
  const bench = await startBenchStack({}, dataDir);
  const child = bench.stack.process;
  try {
    if (child?.pid === undefined) throw new Error("the stack runs elsewhere");
    return await work(bench, child.pid);
  } finally {
    await bench.stop();
    if (child !== undefined && child.exitCode === null && child.signalCode === null)
      await once(child, "close");
  }
}

/** The programs that need more, by their command lines: processes of two stacks have nothing else in common. */
function growth({ one, many }: { one: Cost; many: Cost }): string[] {
  const byProgram = ({ processes }: Cost) => {
    const sums = new Map<string, { bytes: number; count: number }>();
    for (const { command, made } of processes) {
      const program = command
        .replaceAll(/\d+/g, "#")
        .replaceAll(/\/tmp\/\S*/g, "…")
        .slice(0, 100);
      const { bytes, count } = sums.get(program) ?? NONE;
      sums.set(program, { bytes: bytes + made, count: count + 1 });
    }
    return sums;
  };
  const before = byProgram(one);
  return [...byProgram(many)]
    .map(([program, now]) => ({ program, now, was: before.get(program) ?? NONE }))
    .filter(({ now, was }) => Math.abs(now.bytes - was.bytes) > 0.5e6)
    .map(
      ({ program, now, was }) =>
        `  ${mb(was.bytes)} in ${was.count} → ${mb(now.bytes)} in ${now.count}: ${program}`,
    );
}

const NONE = { bytes: 0, count: 0 };

async function until(bench: BenchStack, query: string, rows: number): Promise<void> {
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
