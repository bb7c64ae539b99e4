// What the plugin store adds: to `npm ci` at an install, and to a launch with the engine of `npm run install:eliza`.
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { defaultElizaDir, installedEngine } from "../../packages/agent-runtime/src/index.ts";
import { createLog } from "../../packages/controller/src/log.ts";
import { machineNpm } from "../../packages/controller/src/plugins/npm.ts";
import { PluginStore } from "../../packages/controller/src/plugins/store.ts";
import { treeId, treeSchema } from "../../packages/controller/src/plugins/tree.ts";
import type { Benchmark, Context, Row } from "../lib/benchmark.ts";
import { type BenchStack, startBenchStack } from "../lib/stack.ts";
import { median, ms } from "../lib/stats.ts";

const INSTALLS = 5;
const LAUNCHES = 15;
const ELIZA = {
  plugins: ["@elizaos/plugin-bootstrap"],
  resources: { memory: "1Gi", cpu: "500m", replicas: 1 },
};
/** Until the code of a tree is compiled. */
const COMPILE_MS = 180_000;

export const benchmark: Benchmark = {
  title: "the plugin store: elizaOS installed, and launched from it",
  async run(context) {
    if (!installedEngine()) return [{ measure: "launch", ours: "needs `npm run install:eliza`" }];
    return [...(await measureLaunches(context)), ...(await measureInstalls(context))];
  },
};

async function measureInstalls({ progress, rounds }: Context): Promise<Row[]> {
  const read = (file: string): unknown => JSON.parse(readFileSync(join(defaultElizaDir, file), "utf8"));
  const tree = treeSchema.parse({ manifest: read("package.json"), lock: read("package-lock.json") });
  const npm = machineNpm();
  const lab = mkdtempSync(join(tmpdir(), "launchpad-bench-store-"));
  const plain: Cost[] = [];
  const stored: Cost[] = [];
  const asNpm = async () => {
    const folder = join(lab, "plain");
    mkdirSync(folder);
    for (const file of ["package.json", "package-lock.json", ".npmrc"])
      copyFileSync(join(defaultElizaDir, file), join(folder, file));
    plain.push(await costOf(() => npm.install(folder)));
    rmSync(folder, { recursive: true });
  };
  const asStore = async () => {
    const folder = join(lab, "store");
    const loader = join(defaultElizaDir, "load.mjs");
    const store = new PluginStore({ folder, npm, loader, log: createLog(() => {}, "error") });
    await store.open();
    stored.push(await costOf(() => store.provide(treeId(tree), async () => tree)));
    await store.close();
    rmSync(folder, { recursive: true });
  };
  try {
    await asNpm(); // fills npm's cache
    plain.pop();
    const count = rounds(INSTALLS);
    for (let round = 1; round <= count; round++) {
      // Who comes second finds the disk busy with the first one's files.
      for (const install of round % 2 === 0 ? [asNpm, asStore] : [asStore, asNpm]) await install();
      progress(
        `install ${round}/${count}: npm ci ${describe(plain.at(-1))}, store ${describe(stored.at(-1))}`,
      );
    }
  } finally {
    rmSync(lab, { recursive: true, force: true });
  }
  const ratio = (of: (cost: Cost) => number) =>
    median(stored.map((cost, round) => of(cost) / of(plain[round] as Cost)));
  const waited = ratio(({ waited }) => waited);
  return [
    {
      measure: "first install of elizaOS",
      ours: ms(median(stored.map(({ waited }) => waited))),
      against: `${ms(median(plain.map(({ waited }) => waited)))} npm ci`,
      ratio: waited,
      goal: "≤ 1.2×",
      met: waited <= 1.2,
    },
    {
      measure: "  its work, all processes",
      ours: ms(median(stored.map(({ worked }) => worked))),
      against: `${ms(median(plain.map(({ worked }) => worked)))} npm ci`,
      ratio: ratio(({ worked }) => worked),
    },
  ];
}

async function measureLaunches({ progress, rounds }: Context): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-bench-store-"));
  const environment = { OPENAI_API_KEY: "not-a-key", OPENAI_BASE_URL: "http://127.0.0.1:9" };
  const stacks: BenchStack[] = [];
  try {
    const store = { LAUNCHPAD_PLUGIN_PREFILLED: "off", LAUNCHPAD_PLUGIN_STORE: folder };
    for (const extra of [{}, store]) stacks.push(await startBenchStack({ ...environment, ...extra }));
    const users = await Promise.all(stacks.map((stack) => stack.createUser()));
    const launch = async (at: number) => {
      const [stack, user] = [stacks[at] as BenchStack, users[at] as (typeof users)[number]];
      const { agentId, deployed } = await stack.launch(user, ELIZA);
      await stack.remove(user, agentId);
      return deployed;
    };
    for (const at of [0, 1]) progress(`first launch: ${ms(await launch(at))}`);
    const [tree = ""] = readdirSync(join(folder, "trees"));
    await compiled(join(folder, "compiled", tree));
    const launches: [number[], number[]] = [[], []];
    const count = rounds(LAUNCHES);
    for (let round = 1; round <= count; round++) {
      for (const at of round % 2 === 0 ? [0, 1] : [1, 0]) launches[at]?.push(await launch(at));
      const [before, after] = launches.map((list) => ms(list.at(-1) ?? 0));
      progress(`launch ${round}/${count}: ${before} without the store, ${after} with it`);
    }
    const [without, withStore] = launches;
    const ratio = median(withStore.map((took, round) => took / (without[round] ?? Number.NaN)));
    return [
      {
        measure: "launch from the store",
        ours: ms(median(withStore)),
        against: `${ms(median(without))} of install:eliza`,
        ratio,
        goal: "≤ 1.1×",
        met: ratio <= 1.1,
      },
    ];
  } finally {
    await Promise.all(stacks.map((stack) => stack.stop()));
    rmSync(folder, { recursive: true, force: true });
  }
}

async function compiled(folder: string): Promise<void> {
  const deadline = performance.now() + COMPILE_MS;
  while (!existsSync(folder)) {
    if (performance.now() > deadline) throw new Error(`nothing was compiled in ${folder}`);
    await delay(100);
  }
}

interface Cost {
  readonly waited: number;
  /** Milliseconds of a core, of this process and of those that it started. */
  readonly worked: number;
}

const describe = (cost: Cost | undefined) => `${ms(cost?.waited ?? 0)} (work ${ms(cost?.worked ?? 0)})`;

async function costOf(work: () => Promise<unknown>): Promise<Cost> {
  const [started, before] = [performance.now(), worked()];
  await work();
  return { waited: performance.now() - started, worked: worked() - before };
}

/** From the times in /proc/self/stat, in hundredths of a second: this process's, and those of ended children. */
function worked(): number {
  const fields = readFileSync("/proc/self/stat", "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
}
