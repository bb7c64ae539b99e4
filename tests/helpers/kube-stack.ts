// The embedded stack with its controller on a test cluster, for scenarios of the whole system on Kubernetes.
import { join } from "node:path";
import { LABELS } from "../../packages/controller/src/cluster/kubernetes/names.ts";
import { type ClusterOptions, startCluster, type TestCluster } from "./cluster.ts";
import { type KubeClient, type KubeObject, kubeClient } from "./kube.ts";
import { type KubeFaults, startKubeFaults } from "./kube-faults.ts";
import { eventually, type ProcessEntry, tree } from "./processes.ts";
import { startTestStack, type TestStack } from "./stack.ts";

const ROOT = join(import.meta.dirname, "../..");
/** The image of agents. It runs as a process except for users whose agents are pretended by a rule. */
const IMAGE = "example/agent-runtime:test";

export interface KubeStack {
  cluster: TestCluster;
  /** Straight to the API server. */
  kube: KubeClient;
  /** What the controller goes through. */
  faults: KubeFaults;
  stack: TestStack;
  /** The controller's process. */
  controller(): ProcessEntry;
  /** Ends the controller without warning and waits until the stack has started another one. */
  killController(): Promise<void>;
  /** The namespace of a user's agents. */
  namespaceOf(userId: string): string;
  /** The objects of a kind that belong to an agent. */
  objectsOf(kind: string, agentId: string): Promise<KubeObject[]>;
  /** The pods of an agent that are not on their way out. */
  podsOf(agentId: string): Promise<KubeObject[]>;
  stop(): Promise<void>;
}

/**
 * Waits until each of so many controllers has told the database `times` times that it lives: three times in the length of a
 * lease, whatever else it does.
 */
export async function heartbeats(
  stack: Pick<TestStack, "sql">,
  { controllers, times }: { controllers: number; times: number },
): Promise<void> {
  const seen = new Map<string, Set<string>>();
  await eventually(`${times} heartbeats of each of ${controllers} controllers`, async () => {
    const rows = await stack.sql<{ worker: string; at: string }>(
      "select worker, heartbeat_at::text as at from private.controllers where expires_at > now()",
    );
    for (const { worker, at } of rows) seen.set(worker, (seen.get(worker) ?? new Set()).add(at));
    // The first of each may be from before.
    return [...seen.values()].filter(({ size }) => size > times).length >= controllers;
  });
}

export interface KubeStackOptions {
  cluster?: ClusterOptions;
  /** Settings of the controller. */
  env?: Record<string, string>;
}

/** Starts both. Waits of the controller are short, so that failures show within seconds. */
export async function startKubeStack(options: KubeStackOptions = {}): Promise<KubeStack> {
  const cluster = await startCluster({
    backoffMs: 300,
    maxBackoffMs: 2_000,
    images: {
      "example/agent-runtime": {
        command: [process.execPath, "packages/agent-runtime/src/main.ts"],
        cwd: ROOT,
      },
    },
    ...options.cluster,
  });
  const stopping: (() => unknown)[] = [() => cluster.stop()];
  const stop = async () => {
    for (const end of stopping.splice(0).reverse()) await end();
  };
  try {
    const kube = kubeClient(cluster);
    stopping.push(() => kube.close());
    const faults = await startKubeFaults(cluster);
    stopping.push(() => faults.close());
    const stack = await startTestStack({
      args: ["--cluster", "kubernetes", "--kubeconfig", faults.kubeconfig],
      env: {
        LAUNCHPAD_AGENT_IMAGE: IMAGE,
        LAUNCHPAD_POLL_SECONDS: "1",
        LAUNCHPAD_LEASE_SECONDS: "5",
        LAUNCHPAD_METRICS_SECONDS: "1",
        LAUNCHPAD_READY_SECONDS: "15",
        LAUNCHPAD_GRACE_SECONDS: "2",
        LAUNCHPAD_CRASH_LIMIT: "3",
        ...options.env,
      },
    });
    stopping.push(() => stack.stop());
    await stack.raiseRateLimits();
    const controller = () => {
      const found = tree(stack.process?.pid ?? 0).find((p) => p.command.includes("controller/src/main.ts"));
      if (found === undefined) throw new Error("the stack runs no controller");
      return found;
    };
    const objectsOf = (kind: string, agentId: string) =>
      kube.list(kind, undefined, `${LABELS.agent}=${agentId}`);
    return {
      cluster,
      kube,
      faults,
      stack,
      controller,
      killController: async () => {
        const { pid } = controller();
        process.kill(pid, "SIGKILL");
        await eventually("another controller runs", () => {
          const now = tree(stack.process?.pid ?? 0).find((p) => p.command.includes("controller/src/main.ts"));
          return now !== undefined && now.pid !== pid;
        });
      },
      namespaceOf: (userId) => `agents-${userId}`,
      objectsOf,
      podsOf: async (agentId) =>
        (await objectsOf("Pod", agentId)).filter((pod) => pod.metadata.deletionTimestamp === undefined),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
