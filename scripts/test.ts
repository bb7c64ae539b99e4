// Runs the tests and ends with `Tests: N passed, N failed, N skipped`.
//   node scripts/test.ts                 everything
//   node scripts/test.ts unit            one phase: unit | integration | scenarios | e2e | cluster
//   node scripts/test.ts path/x.test.ts  the named files
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { glob } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const root = resolve(import.meta.dirname, "..");

/** One group of test files; files of a group run `concurrency` at a time, each in its own process. */
interface Phase {
  name: string;
  patterns: string[];
  concurrency: number;
}

const phases: Phase[] = [
  {
    name: "unit",
    patterns: [
      "packages/*/src/**/*.test.ts",
      "supabase/functions/**/*.test.ts",
      "scripts/**/*.test.ts",
      "bench/**/*.test.ts",
      "tests/helpers/**/*.test.ts",
    ],
    concurrency: 2,
  },
  { name: "integration", patterns: ["tests/integration/**/*.test.ts"], concurrency: 2 },
  // One stack serves all scenarios; it is started here and named to the files by an environment variable. One file at a
  // time: thousands of generated requests beside a test of what arrives in time would test the machine.
  {
    name: "scenarios",
    patterns: ["tests/scenarios/**/*.test.ts", "tests/hostile/**/*.test.ts"],
    concurrency: 1,
  },
  // These start and kill stacks of their own.
  { name: "e2e", patterns: ["tests/e2e/**/*.test.ts"], concurrency: 1 },
  // These start a Kubernetes control plane, built with Go at the first run. When everything runs, it is beside the two before.
  { name: "cluster", patterns: ["tests/cluster/**/*.test.ts"], concurrency: 1 },
];

/** The longest file takes four minutes; what a failed test left open must not keep a run from its end. */
const FILE_LIMIT_MS = 15 * 60_000;

const total = { passed: 0, failed: 0, skipped: 0 };

async function filesOf(patterns: string[]): Promise<string[]> {
  const found = await Array.fromAsync(
    glob(patterns, { cwd: root, exclude: (path) => path.includes("node_modules") }),
  );
  return found.sort().map((file) => join(root, file));
}

/** Runs `files`, prints them as they go and adds to `total`. Leaf tests count; suites do not. */
async function runFiles(files: string[], concurrency: number): Promise<void> {
  // forceExit: a `before` that failed half way leaves a server open, and a process with one would keep the run from its end.
  const stream = run({
    files,
    concurrency,
    cwd: root,
    timeout: FILE_LIMIT_MS,
    forceExit: true,
    execArgv: ["--import", join(root, "scripts/whole-output.ts")],
  });
  stream.on("test:pass", (event) => {
    if (event.details.type === "suite") return;
    if (event.skip !== undefined || event.todo !== undefined) total.skipped += 1;
    else total.passed += 1;
  });
  stream.on("test:fail", (event) => {
    if (event.details.type === "suite") return;
    // What is marked as still to be done may fail.
    if (event.todo !== undefined) total.skipped += 1;
    else total.failed += 1;
  });
  for await (const text of stream.compose(spec)) process.stdout.write(text);
}

/** The stack that the scenarios share, or nothing when one was named from outside. */
async function startSharedStack(): Promise<{ stop(): Promise<void> } | undefined> {
  if (process.env.LAUNCHPAD_TEST_STACK) return undefined;
  const { startTestStack } = await import("../tests/helpers/stack.ts");
  const stack = await startTestStack();
  process.env.LAUNCHPAD_TEST_STACK = JSON.stringify(stack.info);
  return {
    stop: async () => {
      delete process.env.LAUNCHPAD_TEST_STACK;
      await stack.stop();
    },
  };
}

/** Builds the control plane before the clock of a test runs. Says why when it cannot be built here. */
async function prepareCluster(): Promise<string | undefined> {
  const { buildCluster, whyNoCluster } = await import("../tests/helpers/cluster.ts");
  const reason = await whyNoCluster();
  if (reason === undefined) await buildCluster((line) => process.stdout.write(`${line}\n`));
  return reason;
}

async function runPhase(phase: Phase): Promise<void> {
  const files = await filesOf(phase.patterns);
  if (files.length === 0) return;
  process.stdout.write(`\n── ${phase.name}: ${files.length} files\n`);
  const missing = phase.name === "cluster" ? await prepareCluster() : undefined;
  if (missing !== undefined) {
    process.stdout.write(`skipped: ${missing}\n`);
    total.skipped += files.length;
    return;
  }
  const stack = phase.name === "scenarios" ? await startSharedStack() : undefined;
  try {
    await runFiles(files, phase.concurrency);
  } finally {
    await stack?.stop();
  }
}

/**
 * Runs a phase in a process of its own, beside what follows. Half of the time of the last phases passes in waiting: for
 * health, for backoff, for a controller to notice.
 * @returns prints what it has said and goes on to say, and adds its figures to `total`
 */
function beside(name: string): () => Promise<void> {
  const child = spawn(process.execPath, [import.meta.filename, name], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const closed = once(child, "close");
  const said: string[] = [];
  let print = (text: string): unknown => said.push(text);
  let last = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    last = `${last}${text}`.slice(-200);
    print(text);
  });
  return async () => {
    print = (text) => process.stdout.write(text);
    for (const text of said) print(text);
    await closed;
    const figures = /^Tests: (\d+) passed, (\d+) failed, (\d+) skipped$/m.exec(last);
    if (figures === null) throw new Error(`The phase ${name} ended without its figures.`);
    const [, passed, failed, skipped] = figures.map(Number) as [number, number, number, number];
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  };
}

/** Every phase; the last one beside the two before it, where there is a core for each. */
async function runEverything(): Promise<void> {
  const [unit, integration, scenarios, e2e, cluster] = phases as [Phase, Phase, Phase, Phase, Phase];
  await runPhase(unit);
  await runPhase(integration);
  // The build keeps every core busy: nothing that is timed runs beside it.
  const together = availableParallelism() > 1 && (await prepareCluster()) === undefined;
  const finish = together ? beside(cluster.name) : () => runPhase(cluster);
  try {
    await runPhase(scenarios);
    await runPhase(e2e);
  } finally {
    await finish();
  }
}

const wanted = process.argv.slice(2);
const named = wanted.filter((argument) => existsSync(argument));
const unknown = wanted.filter(
  (argument) => !named.includes(argument) && !phases.some((p) => p.name === argument),
);
if (unknown.length > 0) {
  process.stderr.write(`No test file or phase: ${unknown.join(", ")}\n`);
  process.exit(2);
}

try {
  if (named.length > 0)
    await runFiles(
      named.map((file) => resolve(file)),
      1,
    );
  if (wanted.length === 0) await runEverything();
  for (const phase of phases) if (wanted.includes(phase.name)) await runPhase(phase);
} catch (error) {
  total.failed += 1;
  process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
}

if (total.passed + total.failed + total.skipped === 0) {
  process.stderr.write("No test ran.\n");
  total.failed += 1;
}
process.stdout.write(`\nTests: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(total.failed === 0 ? 0 : 1);
