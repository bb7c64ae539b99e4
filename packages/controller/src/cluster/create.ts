// Chooses and builds the cluster that the settings name: processes, Kubernetes or memory.

import type { Clock } from "../clock.ts";
import type { Config } from "../config.ts";
import type { KubernetesSettings } from "../config-kubernetes.ts";
import type { AgentClass, Database, Platform, Tenants } from "../contract.ts";
import type { FleetGuard } from "../fleet/guard.ts";
import type { Endpoints } from "../ingress/endpoints.ts";
import { errorMessage, type Log } from "../log.ts";
import type { Cluster, Hindered, ReplicaState } from "./cluster.ts";
import type { KubernetesOptions } from "./kubernetes/options.ts";
import { ProcessesCluster } from "./processes/processes.ts";

/** A cluster as the program runs it. */
export interface RunningCluster extends Cluster {
  countStates(): ReadonlyMap<ReplicaState, number>;
  /** What of agents' pods this controller is set to, where operators change it in waves. */
  readonly platform?: Omit<Platform, "id">;
  /** Replicas of the agents held here that do not have the platform they should, and those that something keeps from coming up. */
  countHindered?(wanted: (agentId: string) => string | undefined): Hindered;
  /** On Kubernetes: what is not touched because it is somebody else's. */
  readonly leftAlone?: { strays: number; keptNamespaces: number };
  /** For how long watches of the cluster have failed, in milliseconds by resource. */
  readonly failingWatches?: ReadonlyMap<string, number>;
  /** On Kubernetes: pods whose logs are read here, and how many of them by a stream that stays open. */
  readonly logStreams?: { readers: number; followed: number };
  /** On processes: runtimes that wait for an agent, and how agents began so far: with one of them, or from the beginning. */
  readonly pool?: { waiting: number; counts: { warm: number; cold: number } } | undefined;
  /** Whether the agent sleeps, where the cluster knows it of agents that other controllers hold too. */
  isAsleep?(agentId: string): boolean;
  /** Where this machine reaches the agents' replicas; empty where an Ingress of the cluster does. */
  readonly endpoints: Endpoints;
}

export interface ClusterContext {
  config: Config;
  database: Database;
  clock: Clock;
  random: () => number;
  log: Log;
  /** Whether this controller holds the agent. */
  responsible(agentId: string): boolean;
  /** Whose agent it is, where this controller holds it. */
  owner(agentId: string): string | undefined;
  /** The class of its user, where this controller holds it. */
  classOf(agentId: string): AgentClass | null | undefined;
  guard: FleetGuard;
  observe: NonNullable<KubernetesOptions["observe"]>;
}

/**
 * The cluster that the settings name, not started yet.
 * @throws {Error} one sentence a person can act on: the kubeconfig is missing or wrong, the database does not answer
 */
export async function createCluster(context: ClusterContext): Promise<RunningCluster> {
  const { config, log } = context;
  if (config.kubernetes !== undefined) return await createKubernetes(context, config.kubernetes);
  return new ProcessesCluster({
    command: config.runtimeCommand,
    stateDir: config.stateDir,
    log,
    guard: context.guard,
    pluginStore: config.plugins.folder,
    machineEnvironment: config.machineEnvironment,
    providerEnvironment: config.providerEnvironment,
    privateHosts: config.privateHosts,
    poolSize: config.poolSize,
    logLines: config.logLines,
    project: config.project,
    readyMs: config.readySeconds * 1000,
    graceMs: config.graceSeconds * 1000,
  });
}

async function createKubernetes(
  { classOf, clock, config, database, guard, log, observe, owner, random, responsible }: ClusterContext,
  settings: KubernetesSettings,
): Promise<RunningCluster> {
  // Loaded here: a controller of processes need not hold the libraries of the other.
  const [{ createClient }, { KubernetesCluster }, { projectPlaces }, { privatePlaces }] = await Promise.all([
    import("./kubernetes/client.ts"),
    import("./kubernetes/kubernetes.ts"),
    import("./kubernetes/project-places.ts"),
    import("./kubernetes/private-places.ts"),
  ]);
  const { kubeconfig, context } = settings;
  const api = await createClient({ kubeconfig, context, observe });
  const { projectCidrs, ...rest } = settings;
  const options = {
    ...rest,
    installation: settings.installation ?? (await installationOf(database, clock, log)),
    providerEnvironment: config.providerEnvironment,
    project: {
      ...config.project,
      places: await projectPlaces(config.project.url, projectCidrs),
    },
    // Tools run in the agents' pods: what they may reach, the pods' policy must let through.
    privatePlaces: await privatePlaces([...config.privateHosts, ...config.tools.privateHosts], log),
    tools: config.tools,
    readyMs: config.readySeconds * 1000,
    graceMs: config.graceSeconds * 1000,
    logLines: config.logLines,
    log,
    clock,
    random,
    responsible: (agentId: string, namespace?: string) => {
      if (!responsible(agentId)) return false;
      const userId = owner(agentId);
      return (
        namespace === undefined ||
        userId === undefined ||
        namespace === `${settings.namespacePrefix}${userId}`
      );
    },
    owner,
    classOf,
    guard,
    databaseId: () => guard.databaseId,
    isOurs: (databaseId: string | undefined) => guard.isOurs(databaseId),
    gone: (held: Tenants) => database.goneWorkloads(held),
    observe,
  };
  return new KubernetesCluster(api, options, await connectOf(settings));
}

/** From a laptop agents are served here, through the API server; in the cluster an Ingress does it. */
async function connectOf({ context, kubeconfig }: KubernetesSettings) {
  if (kubeconfig === undefined) return undefined;
  const [{ loadKubeConfig }, { portForwarding }] = await Promise.all([
    import("./kubernetes/kubeconfig.ts"),
    import("./kubernetes/local/port-forward.ts"),
  ]);
  return await portForwarding(loadKubeConfig(kubeconfig, context));
}

/** How often the database is asked for its name before the start is given up: it may be starting too. */
const TRIES = 30;

async function installationOf(database: Database, clock: Clock, log: Log): Promise<string> {
  for (let tries = 1; ; tries += 1) {
    try {
      return (await database.installation()).installation;
    } catch (error) {
      const problem = errorMessage(error);
      if (tries === TRIES) throw new Error(`The database did not tell its name: ${problem}`);
      if (tries === 1) log.warn("the database does not tell its name yet", { error: problem });
      await new Promise<void>((resolve) => clock.after(1000, resolve));
    }
  }
}
