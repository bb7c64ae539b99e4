// Reports whether the cluster is healthy and how much room it has.

import type { Clock } from "../../../clock.ts";
import { errorMessage } from "../../../log.ts";
import type { ClusterHealth } from "../../cluster.ts";
import { type KubeApi, KubeError, type KubeObject } from "../api.ts";
import { parseQuantity } from "../quantity.ts";
import { kept, within } from "./concurrency.ts";
import { type Condition, conditionOf } from "./objects.ts";
import type { RegistryHealth } from "./registry.ts";
import type { ClusterView } from "./view.ts";

export interface CapacityOptions {
  api: Pick<KubeApi, "list" | "version">;
  view: Pick<ClusterView, "pods" | "problem" | "synced">;
  registry: { health(): Promise<RegistryHealth> };
  clock: Clock;
  /** How long the nodes' figures stand; they are asked for with every heartbeat. */
  nodesMs?: number;
  /** How long an answer of the server stands. */
  serverMs?: number;
}

interface Node extends KubeObject {
  spec?: { unschedulable?: boolean };
  status?: { allocatable?: Record<string, string>; conditions?: Condition[] };
}

interface Usage {
  cpu: number;
  memory: number;
}

interface Nodes extends Usage {
  count: number;
  ready: number;
  storage: number;
}

/**
 * A heartbeat waits for these answers, and a lease for the heartbeat: what takes longer is told as it was last. An API
 * server, or a metrics server behind it, may hang for as long as a client tries.
 */
const PATIENCE_MS = 2000;

/** Whether the cluster works, and how large it is. */
export class Capacity {
  readonly #options: Required<CapacityOptions>;
  readonly #nodes: () => Promise<Nodes | undefined>;
  readonly #usage: () => Promise<Usage | null>;
  readonly #server: () => Promise<string | undefined>;
  #lastNodes: Nodes | undefined;
  #lastUsage: Usage | null = null;

  constructor(options: CapacityOptions) {
    this.#options = { nodesMs: 60_000, serverMs: 4000, ...options };
    const { api, clock, nodesMs, serverMs } = this.#options;
    this.#nodes = kept(clock, nodesMs, async () => {
      this.#lastNodes = await readNodes(api);
      return this.#lastNodes;
    });
    this.#usage = kept(clock, nodesMs, async () => {
      this.#lastUsage = await readUsage(api);
      return this.#lastUsage;
    });
    this.#server = kept(clock, serverMs, () => askServer(api));
  }

  /**
   * Healthy: the server answers, what is seen is the truth, and some node can run something. Takes some seconds at most.
   * Never throws.
   */
  async health(): Promise<ClusterHealth> {
    const { clock, registry, view } = this.#options;
    const soon = <T>(work: Promise<T>, otherwise: () => T) => within(clock, PATIENCE_MS, work, otherwise);
    const [refusal, nodes, usage, registryHealth] = await Promise.all([
      soon(this.#server(), () => "The Kubernetes API server does not answer in time."),
      soon(this.#nodes(), () => this.#lastNodes),
      soon(this.#usage(), () => this.#lastUsage),
      registry.health(),
    ]);
    const none = nodes !== undefined && nodes.ready === 0;
    const some = nodes !== undefined && nodes.ready < nodes.count;
    const problem = refusal ?? view.problem ?? (none ? "No node of the cluster is ready." : undefined);
    const remark =
      some && !none ? `${nodes.count - nodes.ready} of ${nodes.count} nodes are not ready.` : undefined;
    const message = problem ?? remark;
    return {
      healthy: problem === undefined,
      ...(message === undefined ? {} : { message }),
      capacity: {
        replicas: [...view.pods()].filter(({ status }) => status?.phase === "Running").length,
        nodes: nodes?.count ?? null,
        cpu: nodes === undefined ? null : { total: rounded(nodes.cpu), used: usage && rounded(usage.cpu) },
        memory: nodes === undefined ? null : { total: nodes.memory, used: usage && Math.round(usage.memory) },
        // What is used of it, only each node's kubelet knows.
        storage: nodes === undefined ? null : { total: nodes.storage, used: null },
      },
      registry: registryHealth,
    };
  }
}

/** The cheapest call that takes a valid login. */
async function askServer(api: Pick<KubeApi, "version">): Promise<string | undefined> {
  try {
    await api.version();
    return undefined;
  } catch (error) {
    return `The Kubernetes API server does not answer: ${errorMessage(error)}`;
  }
}

/**
 * The nodes; undefined where they cannot be read: that takes rights in the whole cluster, which an operator may hold back.
 */
async function readNodes(api: Pick<KubeApi, "list">): Promise<Nodes | undefined> {
  try {
    const items = (await api.list("Node")).items as Node[];
    const total = (what: string) =>
      items.reduce((sum, { status }) => sum + (parseQuantity(status?.allocatable?.[what]) ?? 0), 0);
    return {
      count: items.length,
      ready: items.filter(isReady).length,
      cpu: total("cpu"),
      memory: total("memory"),
      storage: total("ephemeral-storage"),
    };
  } catch (error) {
    if (error instanceof KubeError) return undefined;
    throw error;
  }
}

/** What runs on the nodes uses so much; null where there is no metrics API. */
async function readUsage(api: Pick<KubeApi, "list">): Promise<Usage | null> {
  try {
    const { items } = await api.list("NodeMetrics");
    if (items.length === 0) return null;
    const sum = (what: string) =>
      items.reduce((all, { usage }) => {
        return all + (parseQuantity((usage as Record<string, string> | undefined)?.[what]) ?? 0);
      }, 0);
    return { cpu: sum("cpu"), memory: sum("memory") };
  } catch (error) {
    if (error instanceof KubeError) return null;
    throw error;
  }
}

function isReady({ spec, status }: Node): boolean {
  return spec?.unschedulable !== true && conditionOf(status?.conditions, "Ready")?.status === "True";
}

function rounded(cores: number): number {
  return Math.round(cores * 1000) / 1000;
}
