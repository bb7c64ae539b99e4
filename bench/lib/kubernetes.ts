// The controller's program on a real Kubernetes API server, before it a proxy that counts, behind it a model of the database
// over HTTP: what is measured is the controller, not Postgres.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { sign } from "../../packages/agent-runtime/src/signature.ts";
import { systemClock } from "../../packages/controller/src/clock.ts";
import type { KubeApi } from "../../packages/controller/src/cluster/kubernetes/api.ts";
import { createClient } from "../../packages/controller/src/cluster/kubernetes/client.ts";
import { serveDatabase } from "../../packages/controller/src/testing/http-database.ts";
import { MemoryDatabase } from "../../packages/controller/src/testing/memory-database.ts";
import { startCluster, type TestCluster } from "../../tests/helpers/cluster.ts";
import { type KubeFaults, startKubeFaults } from "../../tests/helpers/kube-faults.ts";

const ROOT = join(import.meta.dirname, "../..");
const SECRET = "a-secret-of-this-benchmark";

interface Running {
  child: ChildProcess;
  port: number;
}

export interface KubeBench {
  cluster: TestCluster;
  /** What the controller asked, and by how many connections. */
  proxy: KubeFaults;
  database: MemoryDatabase;
  /** A client of the benchmark's own, past the proxy. */
  client: KubeApi;
  controller(): ChildProcess;
  /** Starts the controller again, past the proxy, which speaks no HTTP/2. @param flags of Node */
  restartDirectly(flags: readonly string[]): Promise<void>;
  /** A figure of the controller's own. */
  metric(name: string): Promise<number>;
  /** Sends a signed webhook, as the database does. */
  hint(agentId?: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts everything. @param environment further settings of the controller */
export async function startKubeBench(environment: Record<string, string>): Promise<KubeBench> {
  const cluster = await startCluster({
    nodes: ["a", "b", "c"].map((zone) => ({
      name: `node-${zone}`,
      zone,
      cpu: "512",
      memory: "2Ti",
      pods: 4000,
    })),
  });
  const proxy = await startKubeFaults(cluster);
  const database = new MemoryDatabase(systemClock);
  const served = await serveDatabase(database);
  const folder = await mkdtemp(join(tmpdir(), "launchpad-bench-kube-"));
  const start = async (kubeconfig: string, flags: readonly string[] = []): Promise<Running> => {
    const child = spawn(process.execPath, [...flags, join(ROOT, "packages/controller/src/main.ts")], {
      env: {
        PATH: process.env.PATH,
        NODE_COMPILE_CACHE: join(ROOT, ".cache/node"),
        LAUNCHPAD_SUPABASE_URL: served.url,
        LAUNCHPAD_SECRET_KEY: "none",
        LAUNCHPAD_PUBLISHABLE_KEY: "none",
        LAUNCHPAD_WEBHOOK_SECRET: SECRET,
        LAUNCHPAD_STATE_DIR: folder,
        LAUNCHPAD_PORT: "0",
        LAUNCHPAD_INGRESS_PORT: "0",
        LAUNCHPAD_CLUSTER: "kubernetes",
        LAUNCHPAD_KUBECONFIG: kubeconfig,
        LAUNCHPAD_INSTALLATION: "bench",
        LAUNCHPAD_ADVISORY_URL: "off",
        LAUNCHPAD_LOG_LEVEL: "error",
        ...environment,
      },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    return { child, port: (JSON.parse(line) as { port: number }).port };
  };
  const end = async ({ child }: Running) => {
    child.kill("SIGTERM");
    if (child.exitCode === null) await once(child, "exit");
  };
  let running = await start(proxy.kubeconfig);
  const client = await createClient({ kubeconfig: cluster.info.kubeconfig });
  return {
    cluster,
    proxy,
    database,
    client,
    controller: () => running.child,
    async restartDirectly(flags) {
      await end(running);
      running = await start(cluster.info.kubeconfig, flags);
    },
    async metric(name) {
      const text = await (await fetch(`http://127.0.0.1:${running.port}/metrics`)).text();
      const line = text.split("\n").find((one) => one.startsWith(`${name} `));
      if (line === undefined) throw new Error(`the controller has no metric ${name}`);
      return Number(line.split(" ")[1]);
    },
    async hint(agentId) {
      const timestamp = String(Math.floor(Date.now() / 1000));
      const body = JSON.stringify({ agentId, reason: "bench" });
      const answer = await fetch(`http://127.0.0.1:${running.port}/webhooks/deployments`, {
        method: "POST",
        body,
        headers: {
          "x-launchpad-timestamp": timestamp,
          "x-launchpad-signature": sign(SECRET, timestamp, body),
        },
      });
      if (answer.status !== 202) throw new Error(`the webhook was answered ${answer.status}`);
    },
    async stop() {
      await end(running);
      await client.close();
      served.close();
      await proxy.close();
      await cluster.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
