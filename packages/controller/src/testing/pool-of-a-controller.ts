// A controller's cluster with a pool and one agent, for a test to kill; writes the pids of all its runtimes.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ProcessesCluster } from "../cluster/processes/processes.ts";
import { silentLog } from "../log.ts";
import { until, workloadOf } from "./temporary.ts";

const stateDir = process.argv[2] ?? "";
const cluster = new ProcessesCluster({
  stateDir,
  log: silentLog,
  machineEnvironment: { PATH: process.env.PATH ?? "" },
  project: { url: "http://127.0.0.1:9", key: "sb_publishable_test", probeSecret: "secret", proxyHops: 1 },
  providerEnvironment: {},
  poolSize: 2,
});
const resources = { memory: "512Mi", cpu: "250m", memoryBytes: 512 * 1024 * 1024, cpuMillicores: 250 };
const spec = { framework: "openai", model: "gpt-5-mini", plugins: [], platforms: [], resources };
await cluster.start();
// Without an agent none would wait.
await cluster.sleep(workloadOf({ agentId: "agent-asleep", spec }));
const full = () => until("two wait", () => cluster.pool?.waiting === 2);
await full();
await cluster.apply(workloadOf({ spec }));
await until("ready", async () => (await cluster.get("agent-a"))?.replicas[0]?.state === "ready");
await full();
const pool = join(stateDir, "pool");
const pids = readdirSync(pool).map(
  (name) => (JSON.parse(readFileSync(join(pool, name, "process.json"), "utf8")) as { pid: number }).pid,
);
process.stdout.write(`${JSON.stringify(pids)}\n`);
