// Warm runtimes, with the real program: what is handed out, when it is not, and what is left of it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { bundleRuntime, compileCacheDir, permittedCommand } from "@agent-launchpad/agent-runtime";
import { beforeAll, type TestContext, test } from "vitest";
import { silentLog } from "../../log.ts";
import { lives, temporaryFolder, until, workloadOf } from "../../testing/temporary.ts";
import type { ReplicaLog } from "../cluster.ts";
import { Folders } from "./folders.ts";
import { Pool, type PoolOptions, releaseOf } from "./pool.ts";
import { ProcessesCluster, type ProcessesOptions } from "./processes.ts";

/** Says that it has loaded, and ends. */
const SHORT_LIVED = [
  process.execPath,
  "--eval",
  `console.log(JSON.stringify({ source: "runtime", message: "waiting" }))`,
];

/** A log that keeps what the pool warns of. */
function warnings() {
  const said: Record<string, unknown>[] = [];
  const log = {
    ...silentLog,
    warn: (_: string, facts: Record<string, unknown> = {}) => void said.push(facts),
  };
  return { log, said };
}

const MIB = 1024 * 1024;
const USUAL = 512 * MIB;

beforeAll(async () => {
  await bundleRuntime();
});

async function pool(context: TestContext, options: Partial<PoolOptions> = {}) {
  const stateDir = temporaryFolder(context);
  const folders = new Folders(stateDir);
  folders.prepare();
  const made = new Pool({
    size: 2,
    command: ({ cacheDir, configFile, dataDir }) =>
      permittedCommand({ cacheDir, configFile, stateDir: dataDir }),
    account: undefined,
    sharedCache: compileCacheDir,
    folders,
    log: silentLog,
    machineEnvironment: { PATH: process.env.PATH ?? "" },
    wanted: () => true,
    busy: () => false,
    quietMs: 10,
    ...options,
  });
  context.onTestFinished(() => made.stop());
  made.start();
  const names = () => readdirSync(join(stateDir, "pool"));
  const full = (count = options.size ?? 2) =>
    until(`${count} wait`, () => made.waiting === count && names().length === count);
  return { pool: made, stateDir, full, names };
}

const unheard = { onOutput: () => {}, onErrorOutput: () => {}, onExit: () => {} };

async function cluster(context: TestContext, options: Partial<ProcessesOptions> = {}) {
  const stateDir = options.stateDir ?? temporaryFolder(context);
  const made = new ProcessesCluster({
    stateDir,
    log: silentLog,
    machineEnvironment: { PATH: process.env.PATH ?? "" },
    project: { url: "http://127.0.0.1:9", key: "sb_publishable_test", probeSecret: "secret", proxyHops: 1 },
    providerEnvironment: { OPENAI_API_KEY: "provider-key" },
    restarts: { baseMs: 20, capMs: 2000, stableMs: 10_000 },
    probeMs: 100,
    graceMs: 2000,
    killMs: 500,
    poolSize: 2,
    ...options,
  });
  const lines: ReplicaLog[] = [];
  made.logs((line) => lines.push(line));
  await made.start();
  context.onTestFinished(() => made.stop());
  // Without an agent none would wait.
  await made.sleep(workload({ agentId: "agent-asleep" }));
  const full = (count = options.poolSize ?? 2) => until(`${count} wait`, () => made.pool?.waiting === count);
  const ready = (agentId = "agent-a", count = 1) =>
    until(`${count} ready of ${agentId}`, async () => {
      const replicas = (await made.get(agentId))?.replicas ?? [];
      return replicas.length === count && replicas.every(({ state }) => state === "ready") && replicas;
    });
  const pooled = () => readdirSync(join(stateDir, "pool")).map((name) => join(stateDir, "pool", name));
  const written = (folder: string) =>
    JSON.parse(readFileSync(join(folder, "process.json"), "utf8")) as { pid: number; agentId?: string };
  return { cluster: made, full, lines, pooled, ready, stateDir, written };
}

/** Of an agent that the usual runtimes fit. */
const workload = (part: Parameters<typeof workloadOf>[0] = {}) =>
  workloadOf({
    ...part,
    spec: {
      framework: "openai",
      model: "gpt-5-mini",
      plugins: [],
      platforms: [],
      resources: { memory: "512Mi", cpu: "250m", memoryBytes: USUAL, cpuMillicores: 250 },
      ...part.spec,
    },
  });

test("each runtime is handed out once, and the pool fills again", async (context) => {
  const { pool: made, full, names } = await pool(context);
  await full();
  const before = names();
  const [first, second] = [made.take(USUAL), made.take(USUAL)];
  assert.ok(first && second);
  assert.notEqual(first.folder, second.folder);
  assert.equal(made.take(USUAL), undefined);
  assert.deepEqual(made.counts, { warm: 2, cold: 1 });
  const what = { config: { agentId: "a", name: "a" }, environment: { AGENT_CONFIG_FILE: "none" } };
  const children = [first, second].map((taken) => taken.handOver("a", what, unheard));
  assert.throws(() => first.handOver("b", what, unheard), /already/);
  await until("two more wait", () => made.waiting === 2);
  assert.equal(names().filter((name) => before.includes(name)).length, 2, "the agents' folders stay");
  for (const child of children) child.kill();
});

test("what waits has the heap that was asked for last", async (context) => {
  const { pool: made, full } = await pool(context, { size: 1 });
  await full();
  assert.equal(made.take(1024 * MIB), undefined, "the usual one does not fit");
  const taken = await until("one that fits", () => made.take(1024 * MIB));
  taken.handOver("a", { config: {}, environment: {} }, unheard);
});

test("what waits has the heap of agents that fell asleep", async (context) => {
  const { pool: made, full, names } = await pool(context, { size: 1 });
  await full();
  const before = names();
  made.expect(1024 * MIB);
  await until("another waits", () => made.waiting === 1 && names().every((name) => !before.includes(name)));
  const taken = made.take(1024 * MIB);
  assert.ok(taken);
  await taken.end();
});

test("a new release empties the pool", async (context) => {
  let release: string | undefined = "1";
  const { pool: made, full, names } = await pool(context, { release: () => release });
  await full();
  const before = names();
  release = "2";
  assert.equal(made.take(USUAL), undefined);
  await full();
  assert.ok(names().every((name) => !before.includes(name)));
  release = undefined;
  assert.equal(made.take(USUAL), undefined);
  await until("none waits for the sources", () => names().length === 0);
});

test("without an agent none wait; one that sleeps is enough", async (context) => {
  let agents = 0;
  const { pool: made, full, names } = await pool(context, { wanted: () => agents > 0 });
  assert.deepEqual(names(), []);
  agents = 1;
  made.expect(USUAL);
  await full();
  agents = 0;
  const taken = made.take(USUAL);
  await until("the other goes, too", () => names().length === 1);
  await taken?.end();
});

test("a bundle that is written again is another release; the sources are none", (context) => {
  const bundle = join(temporaryFolder(context), "main.mjs");
  writeFileSync(bundle, "1");
  const first = releaseOf(bundle);
  assert.equal(releaseOf(bundle), first);
  writeFileSync(`${bundle}.new`, "1");
  renameSync(`${bundle}.new`, bundle);
  assert.notEqual(releaseOf(bundle), first);
  assert.equal(releaseOf(import.meta.filename), undefined);
});

test("nothing is started while agents start; one that ended is replaced; none is left at the end", async (context) => {
  let busy = true;
  const { pool: made, full, names, stateDir } = await pool(context, { busy: () => busy });
  assert.deepEqual(names(), []);
  busy = false;
  await full();
  const pids = names().map(
    (name) =>
      (JSON.parse(readFileSync(join(stateDir, "pool", name, "process.json"), "utf8")) as { pid: number }).pid,
  );
  process.kill(pids[0] as number, "SIGKILL");
  await until("one is left", () => made.waiting === 1);
  await full();
  await made.stop();
  assert.deepEqual(names(), []);
  assert.ok(pids.every((pid) => !lives(pid)));
});

test("a replica that never becomes ready does not keep the pool empty", async (context) => {
  const { full } = await pool(context, { busy: () => true, dueMs: 100 });
  await full();
});

test("agents that keep coming do not keep the pool empty", async (context) => {
  const { pool: made, full } = await pool(context, { quietMs: 3_600_000, dueMs: 100 });
  await full();
  const taken = made.take(USUAL);
  assert.ok(taken);
  await until("two wait again", () => made.waiting === 2);
  await taken.end();
});

test("one that never loads is ended, and is not started again at once", async (context) => {
  const { log, said } = warnings();
  const command = () => [process.execPath, "--eval", "setInterval(() => {}, 1000)"];
  const { pool: made, names } = await pool(context, { size: 1, command, log, startMs: 50 });
  await until("it was given up", () => said.length === 1);
  assert.deepEqual([said[0]?.nextStartMs, made.waiting, names()], [1000, 0, []]);
});

test("runtimes that end soon after they loaded pause the pool longer each time, though agents start meanwhile", async (context) => {
  const pauses: { nextStartMs: number; at: number }[] = [];
  const warn = (_: string, facts: Record<string, unknown> = {}) => {
    pauses.push({ nextStartMs: Number(facts.nextStartMs), at: performance.now() });
    queueMicrotask(() => made.take(USUAL));
  };
  const options = { size: 1, command: () => SHORT_LIVED, log: { ...silentLog, warn }, faultMs: 300 };
  const { pool: made } = await pool(context, options);
  await until("three ended", () => pauses.length === 3);
  assert.deepEqual(
    pauses.map(({ nextStartMs }) => nextStartMs),
    [300, 600, 1200],
  );
  const [first = 0, second = 0, third = 0] = pauses.map(({ at }) => at);
  assert.ok(second - first >= 299 && third - second >= 599, JSON.stringify(pauses));
});

test("runtimes that are killed together count as one fault", async (context) => {
  const { log, said } = warnings();
  const { pool: made, full, names, stateDir } = await pool(context, { log, faultMs: 3_600_000 });
  await full();
  const pids = names().map(
    (name) =>
      (JSON.parse(readFileSync(join(stateDir, "pool", name, "process.json"), "utf8")) as { pid: number }).pid,
  );
  for (const pid of pids) process.kill(pid, "SIGKILL");
  await until("both are noticed", () => made.waiting === 0 && names().length === 0);
  assert.deepEqual(
    said.map(({ nextStartMs }) => nextStartMs),
    [300_000],
  );
});

test("an agent that is handed a runtime is ready, knows its secrets, and keeps folder and account over its lives", async (context) => {
  const { cluster: made, full, lines, pooled, ready, written } = await cluster(context);
  await full();
  const before = pooled();
  await made.apply(workload({ environment: { TOKEN: "hush-hush" } }));
  const [replica] = await ready();
  assert.equal(made.pool?.counts.warm, 1);
  const folder = before.find((one) => written(one).agentId === "agent-a");
  assert.ok(folder);
  const { pid } = written(folder);
  assert.ok(!existsSync(join(folder, "agent.json")), "handed over, not written down");
  if (process.platform === "linux") {
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
    assert.ok(!/hush-hush|provider-key|AGENT_ID/.test(environment));
  }
  process.kill(pid, "SIGKILL");
  await until("an exit", async () => (await made.get("agent-a"))?.replicas[0]?.exit);
  const [again] = await ready();
  assert.equal(again?.name, replica?.name);
  assert.equal(again?.failures, 1);
  assert.notEqual(written(folder).pid, pid);
  assert.ok(!JSON.stringify(lines).includes("hush-hush"));
  await made.remove("agent-a", false);
  await until("gone", async () => (await made.get("agent-a")) === undefined);
  assert.ok(!existsSync(folder));
});

test("more agents than wait at once: each starts, those beyond the pool from the beginning", async (context) => {
  const { cluster: made, full, ready } = await cluster(context);
  await full();
  const agents = ["a", "b", "c", "d"].map((letter) => `agent-${letter}`);
  await Promise.all(agents.map((agentId) => made.apply(workload({ agentId }))));
  const names = (await Promise.all(agents.map((agentId) => ready(agentId)))).flat().map(({ name }) => name);
  assert.equal(new Set(names).size, 4);
  assert.deepEqual(made.pool?.counts, { warm: 2, cold: 2 });
  await full();
});

test("a runtime that ends while it is handed out costs its agent nothing but time", async (context) => {
  const { cluster: made, full, pooled, ready, written } = await cluster(context);
  await full();
  // Stopped, they take nothing; then they are killed with the line still to read.
  const pids = pooled().map((folder) => written(folder).pid);
  for (const pid of pids) process.kill(pid, "SIGSTOP");
  await made.apply(workload());
  assert.equal(made.pool?.counts.warm, 1);
  for (const pid of pids) process.kill(pid, "SIGKILL");
  const [replica] = await ready();
  assert.equal(replica?.failures, 0);
  assert.equal(replica?.exit, undefined);
});

test("a folder that cannot be made is an exit like any other, and the runtime that was taken ends", async (context) => {
  const { cluster: made, full, pooled, stateDir, written } = await cluster(context);
  await full();
  const pids = pooled().map((folder) => written(folder).pid);
  writeFileSync(join(stateDir, "agents/agent-a"), "");
  await made.apply(workload());
  const exit = await until("an exit", async () => (await made.get("agent-a"))?.replicas[0]?.exit);
  assert.equal(exit.reason, "SPAWN_FAILED");
  await until("one has ended", () => pids.filter(lives).length === 1);
});

test("agents without a waiting runtime start in turns; one that is removed before its turn never starts", async (context) => {
  const places = 2 * availableParallelism();
  const { cluster: made, ready, stateDir } = await cluster(context, { poolSize: 0 });
  const agents = Array.from({ length: places + 3 }, (_, number) => `agent-${number}`);
  const started = () =>
    agents.filter((agentId) => {
      const folder = join(stateDir, "agents", agentId);
      return existsSync(folder) && readdirSync(folder).some((name) => existsSync(join(folder, name, "data")));
    });
  for (const agentId of agents) await made.apply(workload({ agentId }));
  assert.deepEqual(started(), agents.slice(0, places));
  const last = agents.at(-1) as string;
  await made.remove(last, false);
  await until("it is gone", async () => (await made.get(last)) === undefined);
  await Promise.all(agents.slice(0, -1).map((agentId) => ready(agentId)));
  assert.deepEqual(started(), agents.slice(0, -1));
});

test("variables that are read as a process begins, plugins' folders and size 0 start from the beginning", async (context) => {
  const { cluster: made, full, pooled, ready } = await cluster(context);
  await full();
  await made.apply(workload({ environment: { TZ: "Asia/Tokyo" } }));
  await ready();
  assert.deepEqual(made.pool?.counts, { warm: 0, cold: 0 });
  assert.equal(pooled().length, 2);
  const none = await cluster(context, { poolSize: 0 });
  await none.cluster.apply(workload());
  await none.ready();
  assert.deepEqual([none.cluster.pool?.counts, none.pooled()], [{ warm: 0, cold: 0 }, []]);
});

test("a configuration that cannot work fails as it does from the beginning", async (context) => {
  const { cluster: made, full } = await cluster(context);
  await full();
  await made.apply(workload({ spec: { framework: "unknown" } }));
  const exit = await until("an exit", async () => (await made.get("agent-a"))?.replicas[0]?.exit);
  assert.deepEqual([exit.code, exit.fatal, exit.reason], [78, true, "INVALID_FRAMEWORK"]);
});

test("kill -9 of the controller: what waited and what was handed out is ended, and its folders go", async (context) => {
  const stateDir = temporaryFolder(context);
  const program = new URL("../../testing/pool-of-a-controller.ts", import.meta.url);
  const controller = spawn(process.execPath, [program.pathname, stateDir], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(controller, "close");
  const [line] = (await once(createInterface({ input: controller.stdout }), "line")) as [string];
  const pids = JSON.parse(line) as number[];
  assert.equal(pids.length, 3, "two wait, one is an agent's");
  // Stopped, they do not notice the end of their stdin.
  for (const pid of pids) process.kill(pid, "SIGSTOP");
  controller.kill("SIGKILL");
  await ended;
  assert.ok(pids.every(lives));
  const next = await cluster(context, { stateDir, poolSize: 0 });
  assert.ok(pids.every((pid) => !lives(pid)));
  assert.deepEqual(next.pooled(), []);
});
