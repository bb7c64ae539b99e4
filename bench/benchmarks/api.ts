// GET /api/agents with 50 agents, at 1, 8 and 32 connections of one user, and what each process uses for it. LAUNCHPAD_BENCH_BEFORE
// names a checkout of an earlier build with its packages installed: both are then asked in turn, so that what the machine does
// meanwhile hits both.
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { type Call, type LoadResult, load } from "../lib/load.ts";
import { readCpu } from "../lib/processes.ts";
import type { BenchStack, startBenchStack } from "../lib/stack.ts";
import { median, ms, quantile } from "../lib/stats.ts";

const AGENTS = 50;
const CONNECTIONS = [1, 8, 32];
const SECONDS = 3;
/** Whose command line says which part it is; the stack's own process is the gateway. */
const PARTS: [part: string, command: RegExp][] = [
  ["function", /functions\/api\/index\.ts/],
  ["PostgREST", /\/postgrest/],
  ["Postgres", /^postgres|\/postgres /],
];

interface Side {
  readonly call: Call;
  readonly pid: number | undefined;
}

interface Measured {
  readonly result: LoadResult;
  /** Milliseconds of CPU per request, by part. */
  readonly cpu: ReadonlyMap<string, number>;
}

export const benchmark: Benchmark = {
  title: `GET /api/agents with ${AGENTS} agents`,
  async run({ stack, progress, rounds }) {
    const before = await startEarlier();
    if (before === undefined) progress("LAUNCHPAD_BENCH_BEFORE is not set: nothing to compare with");
    try {
      const sides = [await prepare(await stack()), ...(before === undefined ? [] : [await prepare(before)])];
      // Connections to Postgres plan a statement for the first times, and code is compiled where it is used often.
      for (const side of sides) await load(side.call, 8, 5000);
      const rows: Row[] = [];
      for (const connections of CONNECTIONS) {
        const measured = sides.map((): Measured[] => []);
        for (let round = 0; round < rounds(6); round++) {
          const order = round % 2 === 0 ? sides : sides.toReversed();
          for (const side of order) measured[sides.indexOf(side)]?.push(await measure(side, connections));
        }
        rows.push(...rowsOf(connections, measured));
        progress(`${connections} connections measured`);
      }
      return rows;
    } finally {
      await before?.stop();
    }
  },
};

async function startEarlier(): Promise<BenchStack | undefined> {
  const folder = process.env.LAUNCHPAD_BENCH_BEFORE;
  if (folder === undefined) return undefined;
  const file = pathToFileURL(join(resolve(folder), "bench/lib/stack.ts")).href;
  const earlier = (await import(file)) as { startBenchStack: typeof startBenchStack };
  return await earlier.startBenchStack();
}

async function prepare(bench: BenchStack): Promise<Side> {
  const user = await bench.createUser();
  await bench.define(user, AGENTS);
  const url = `${bench.stack.info.apiUrl}/api/agents?limit=${AGENTS}`;
  return { call: { url, headers: bench.headers(user) }, pid: bench.stack.process?.pid };
}

async function measure({ call, pid }: Side, connections: number): Promise<Measured> {
  const used = () => (pid === undefined ? new Map<string, number>() : byPart(readCpu(pid)));
  const start = used();
  const result = await load(call, connections, SECONDS * 1000);
  const count = result.latencies.length;
  const cpu = [...used()].map(([part, sum]) => [part, (sum - (start.get(part) ?? 0)) / count] as const);
  return { result, cpu: new Map(cpu) };
}

function byPart(commands: ReadonlyMap<string, number>): Map<string, number> {
  const sums = new Map<string, number>();
  for (const [command, used] of commands) {
    const known = PARTS.find(([, pattern]) => pattern.test(command))?.[0];
    const part = known ?? (/stack\/src\/cli\.ts/.test(command) ? "gateway" : undefined);
    if (part !== undefined) sums.set(part, (sums.get(part) ?? 0) + used);
  }
  return sums;
}

function rowsOf(connections: number, [ours = [], before = []]: readonly Measured[][]): Row[] {
  const paired = (of: (one: Measured) => number) => {
    const ratios = before.map((earlier, round) => of(ours[round]!) / of(earlier));
    return { mine: median(ours.map(of)), theirs: median(before.map(of)), ratio: median(ratios) };
  };
  const row = (
    measure: string,
    of: (one: Measured) => number,
    text: (value: number) => string,
    goal?: { words: string; met: (mine: number, ratio: number) => boolean; alone?: boolean },
  ): Row => {
    const { mine, theirs, ratio } = paired(of);
    const compared = before.length > 0;
    return {
      measure,
      ours: text(mine),
      ...(compared ? { against: `${text(theirs)} before`, ratio } : {}),
      ...(goal && (compared || goal.alone) ? { goal: goal.words, met: goal.met(mine, ratio) } : {}),
    };
  };
  const total = ({ cpu }: Measured) => [...cpu.values()].reduce((sum, used) => sum + used, 0);
  const rate = row(
    `${connections} connections: requests per second`,
    ({ result }) => result.perSecond,
    (value) => value.toFixed(0),
    connections === 1 ? undefined : { words: "≥ 2.3×", met: (_, ratio) => ratio >= 2.3 },
  );
  const rows = [
    rate,
    row("  p50", ({ result }) => median(result.latencies), ms),
    row("  p99", ({ result }) => quantile(result.latencies, 0.99), ms, {
      words: "≤ 1×",
      met: (_, ratio) => ratio <= 1,
    }),
    row("  CPU of the server per request", total, ms, {
      words: "≤ 2.0 ms",
      met: (mine) => mine <= 2,
      alone: true,
    }),
  ];
  if (connections !== 8) return rows;
  const parts = ["gateway", ...PARTS.map(([part]) => part)];
  return [...rows, ...parts.map((part) => row(`    ${part}`, ({ cpu }) => cpu.get(part) ?? 0, ms))];
}
