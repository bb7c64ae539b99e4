// Measurements side by side:  npm run bench [-- names…] [--rounds N] [--full] [--strict]
//   asleep     what a thousand sleeping agents cost the idle stack
//   wake       requests to sleeping agents: one by one, fifty agents, a thousand requests of one
//   footprint  memory and start times, first: another stack beside it would share pages with it
//   first      what an agent's first message costs more than the next
//   cli        the start of launchpad
//   sdk        what the Node SDK adds to a call
//   deploy     create → DEPLOYED against the bare start of the runtime
//   pool       a replica's start with a runtime that waited, and without
//   peer       GET and POST /api/agents against @elizaos/server
//   metering   what reserving and settling add to a message
//   knowledge  retrieval among 10,000 chunks
//   answering  a message until its first token, and fifty at once
//   door       what a check of an agent's key adds to a message
//   realtime   changes and channels of Realtime
//   before     this build beside an earlier checkout (LAUNCHPAD_BENCH_BEFORE)
//   eliza      an elizaOS agent's memory, folder and costs over 2,000 messages
//   plugins    ten public plugins from the registry; only by its name
//   store      installs and launches with the plugin store; only by its name
//   api        GET /api/agents: CPU of each process, and an earlier checkout beside it (LAUNCHPAD_BENCH_BEFORE)
//   cold       the first calls of a new connection to Postgres
//   edge       the edge function against the RPC it calls
//   neighbour  a user's waits beside a hostile one
//   kubernetes the controller's calls at a real Kubernetes API server (needs Go)
//   scale      CPU by part, and what is called all day among 100,000 agents; empties the stack
//   database   lists and logs among many rows, and ingestion; --full: a million agents, five million lines. Last: it fills the stack
// Ratios are medians of paired rounds. Everything runs on this machine, on loopback. --strict ends with 1 when a goal is missed.
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import type { Benchmark, Context } from "./lib/benchmark.ts";
import { type BenchStack, startBenchStack } from "./lib/stack.ts";
import { formatTable } from "./lib/table.ts";

const BENCHMARKS: Record<string, () => Promise<{ benchmark: Benchmark }>> = {
  footprint: () => import("./benchmarks/footprint.ts"),
  first: () => import("./benchmarks/first-message.ts"),
  realtime: () => import("./benchmarks/realtime.ts"),
  answering: () => import("./benchmarks/answering.ts"),
  metering: () => import("./benchmarks/metering.ts"),
  knowledge: () => import("./benchmarks/knowledge.ts"),
  before: () => import("./benchmarks/before.ts"),
  eliza: () => import("./benchmarks/eliza.ts"),
  cli: () => import("./benchmarks/cli.ts"),
  sdk: () => import("./benchmarks/sdk.ts"),
  deploy: () => import("./benchmarks/deploy.ts"),
  wake: () => import("./benchmarks/wake.ts"),
  pool: () => import("./benchmarks/pool.ts"),
  asleep: () => import("./benchmarks/asleep.ts"),
  peer: () => import("./benchmarks/peer.ts"),
  door: () => import("./benchmarks/door.ts"),
  api: () => import("./benchmarks/api.ts"),
  cold: () => import("./benchmarks/cold.ts"),
  edge: () => import("./benchmarks/edge.ts"),
  neighbour: () => import("./benchmarks/neighbour.ts"),
  kubernetes: () => import("./benchmarks/kubernetes.ts"),
  scale: () => import("./benchmarks/scale.ts"),
  database: () => import("./benchmarks/database.ts"),
  plugins: () => import("./benchmarks/plugins.ts"),
  store: () => import("./benchmarks/store.ts"),
};

/** Not run unless they are named: they ask the registry of npm. */
const BY_NAME = ["plugins", "store"];

const USAGE = `usage: npm run bench -- [${Object.keys(BENCHMARKS).join("|")}]… [--rounds N] [--full] [--strict]\n`;
const { values, positionals } = readArguments();
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const unknown = positionals.find((name) => !(name in BENCHMARKS));
if (unknown !== undefined) refuse(`There is no benchmark "${unknown}".`);
const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))
  refuse("--rounds must be a whole number above 0.");

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: "string" },
        full: { type: "boolean" },
        strict: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    return refuse((error as Error).message);
  }
}

function refuse(why: string): never {
  process.stderr.write(`${why}\n${USAGE}`);
  process.exit(2);
}

let shared: Promise<BenchStack> | undefined;
const context: Context = {
  stack() {
    shared ??= startBenchStack();
    return shared;
  },
  progress: (line) => void process.stderr.write(`  ${line}\n`),
  rounds: (own) => rounds ?? own,
  full: values.full === true,
};

const cpu = cpus();
process.stdout.write(
  `${cpu.length} cores (${cpu[0]?.model.trim()}), ${Math.round(totalmem() / 1e9)} GB, Node ${process.version}\n`,
);
let missed = 0;
try {
  for (const name of positionals.length > 0
    ? positionals
    : Object.keys(BENCHMARKS).filter((name) => !BY_NAME.includes(name))) {
    const { benchmark } = await (BENCHMARKS[name] as () => Promise<{ benchmark: Benchmark }>)();
    process.stderr.write(`\n${name}: ${benchmark.title} …\n`);
    try {
      const rows = await benchmark.run(context);
      missed += rows.filter(({ met }) => met === false).length;
      process.stdout.write(`\n${name}: ${benchmark.title}\n${formatTable(rows)}\n`);
    } catch (error) {
      missed += 1;
      process.stdout.write(`\n${name}: failed: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
} finally {
  await shared?.then((stack) => stack.stop()).catch(() => undefined);
}
process.stdout.write(missed === 0 ? "\nEvery goal is met.\n" : `\n${missed} missed.\n`);
process.exitCode = values.strict && missed > 0 ? 1 : 0;
