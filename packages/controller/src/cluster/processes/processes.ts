// The cluster that runs each replica as a child process.

import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import {
  bundleRuntime,
  codeFolders,
  compileCacheDir,
  modelCacheOf,
  permittedCommand,
  runtimeProgram,
  warmCompileCache,
} from "@agent-launchpad/agent-runtime";
import { systemClock } from "../../clock.ts";
import type { ProjectAccess } from "../../config.ts";
import type { FleetGuard } from "../../fleet/guard.ts";
import { Endpoints } from "../../ingress/endpoints.ts";
import { errorMessage, type Log } from "../../log.ts";
import type {
  Cluster,
  ClusterHealth,
  Failure,
  ObservedWorkload,
  ReplicaLog,
  ReplicaSample,
  ReplicaState,
  Workload,
} from "../cluster.ts";
import { LogBudgets } from "../log-budget.ts";
import { ReplicaSet } from "../replica-set.ts";
import { RESTARTS, type RestartLimits } from "../restarts.ts";
import { replicaAccounts } from "./accounts.ts";
import { compileRun } from "./compile-run.ts";
import { CompiledTrees } from "./compiled-trees.ts";
import { Folders, type ReplicaPlace } from "./folders.ts";
import { endLeftovers } from "./leftover-processes.ts";
import { machineMeter } from "./machine.ts";
import { Pool } from "./pool.ts";
import { Replica, type ReplicaOptions } from "./replica.ts";
import { sampleReplicas } from "./samples.ts";
import { StartQueue } from "./start-queue.ts";

export interface ProcessesOptions {
  /** The operator's own command; absent: the agent runtime, under Node's permission model. */
  command?: readonly string[] | undefined;
  stateDir: string;
  log: Log;
  /** The plugin store, which replicas read. */
  pluginStore?: string;
  /** Compares the database with the one that the state folder was made for. */
  guard?: FleetGuard;
  machineEnvironment: Record<string, string>;
  providerEnvironment: Record<string, string>;
  /** Hosts (or host:port) that agents may reach though their addresses are not public. */
  privateHosts?: readonly string[];
  project: ProjectAccess;
  /** How many runtimes wait for an agent, started already; none do with an operator's own command. */
  poolSize?: number;
  /** Lines of one agent that are kept in a minute. */
  logLines?: number;
  restarts?: RestartLimits;
  probeMs?: number;
  readyMs?: number;
  graceMs?: number;
  killMs?: number;
}

/** How long replicas may take to end when the whole cluster stops: whoever stops it waits. */
const STOP_MS = 1000;

/** So long a start may hold up others: longer than one without plugins takes, shorter than one that loads elizaOS. */
const START_LIMIT_MS = 500;

interface Agent {
  set: ReplicaSet;
  /** Everything of it goes once the last replica has ended. */
  leaving: boolean;
}

/** Runs each replica as a child process of this one. */
export class ProcessesCluster implements Cluster {
  readonly kind = "processes";
  readonly outlives = false;
  readonly sleepsWithSecrets = false;
  readonly endpoints = new Endpoints();
  readonly #folders: Folders;
  readonly #warming = new AbortController();
  /** Resolves once the runtime's own code is bundled and compiled. */
  warmed: Promise<void> = Promise.resolve();
  readonly #compiledTrees: CompiledTrees | undefined;
  /** Runtimes that wait for an agent. */
  readonly pool: Pool | undefined;
  readonly #options: ProcessesOptions;
  readonly #replicaOptions: ReplicaOptions;
  readonly #agents = new Map<string, Agent>();
  readonly #budgets: LogBudgets;
  readonly #meter: ReturnType<typeof machineMeter>;
  #watcher: (agentId: string) => void = () => {};
  #logListener: (line: ReplicaLog) => void = () => {};
  #stopped: (() => void)[] | undefined;

  constructor(options: ProcessesOptions) {
    const { command, log, machineEnvironment, project, providerEnvironment, stateDir } = options;
    this.#options = options;
    this.#folders = new Folders(stateDir);
    options.guard?.compareWith(() => this.#folders.marks());
    this.#meter = machineMeter(stateDir);
    this.#budgets = new LogBudgets({ clock: systemClock, maxLines: options.logLines });
    const account = replicaAccounts(
      [
        ...reachedBy(command),
        dirname(stateDir),
        ...(options.pluginStore === undefined ? [] : [options.pluginStore]),
      ],
      log,
    );
    this.#compiledTrees = command === undefined ? this.#compileTrees(account) : undefined;
    this.pool = command === undefined ? this.#makePool(account) : undefined;
    this.#replicaOptions = {
      command: command === undefined ? restrictedCommand : () => command,
      account,
      caches:
        command === undefined ? { model: modelCacheOf(compileCacheDir), all: compileCacheDir } : undefined,
      pool: this.pool,
      starts: new StartQueue(2 * availableParallelism(), START_LIMIT_MS),
      folders: this.#folders,
      endpoints: this.endpoints,
      compiledTrees: this.#compiledTrees,
      log,
      machineEnvironment,
      providerEnvironment,
      privateHosts: options.privateHosts ?? [],
      project,
      restarts: options.restarts ?? RESTARTS,
      probeMs: options.probeMs ?? 5000,
      // Later than the controller's own judgement, which is about the whole rollout.
      readyMs: (options.readyMs ?? 120_000) + 5000,
      graceMs: options.graceMs ?? 30_000,
      killMs: options.killMs ?? 5000,
      onLog: (line) => this.#logListener(line),
      budgetOf: (agentId) => this.#budgets.of(agentId),
    };
  }

  async start(): Promise<void> {
    this.#folders.prepare(this.#replicaOptions.account !== undefined);
    await endLeftovers(this.#folders, this.#options.log);
    const { caches } = this.#replicaOptions;
    if (caches !== undefined) {
      this.warmed = this.#warm(caches.all);
      void this.warmed.then(() => {
        if (this.#stopped === undefined) this.pool?.start();
      });
    }
  }

  /** Ends every replica without waiting for open requests; what does not end on its own soon is killed. */
  async stop(): Promise<void> {
    this.#warming.abort();
    const ended = new Promise<void>((resolve) => {
      this.#stopped = [resolve];
    });
    // The complete workloads stay on disk: the next start of an agent that failed may need them.
    for (const { set } of this.#agents.values()) set.freeze(STOP_MS);
    this.#checkStopped();
    await Promise.all([ended, this.pool?.stop()]);
    await this.#compiledTrees?.idle();
  }

  async apply(workload: Workload): Promise<void> {
    this.#refuseWhenStopped();
    this.endpoints.know(workload.agentId);
    this.#agent(workload.agentId).set.apply(workload);
  }

  async revert(workload: Workload, failure: Failure): Promise<void> {
    this.#refuseWhenStopped();
    this.endpoints.know(workload.agentId);
    this.#agent(workload.agentId).set.revert(workload, failure);
  }

  async sleep({ agentId, spec }: Workload): Promise<void> {
    this.#refuseWhenStopped();
    this.endpoints.know(agentId);
    this.#agent(agentId).set.sleep();
    this.pool?.expect(spec.resources.memoryBytes);
  }

  async remove(agentId: string, keep: boolean): Promise<void> {
    this.endpoints.forget(agentId);
    const agent = this.#agents.get(agentId);
    if (agent === undefined) {
      if (!keep) this.#folders.removeAgent(agentId);
      return;
    }
    agent.leaving = !keep;
    agent.set.clear();
    this.#settle(agentId, agent);
  }

  async get(agentId: string): Promise<ObservedWorkload | undefined> {
    if (!this.#agents.has(agentId) && !this.#folders.exists(agentId)) return undefined;
    return this.#agent(agentId).set.observe();
  }

  async list(): Promise<string[]> {
    return [...new Set([...this.#agents.keys(), ...this.#folders.agents()])];
  }

  watch(listener: (agentId: string) => void): void {
    this.#watcher = listener;
  }

  logs(listener: (line: ReplicaLog) => void): void {
    this.#logListener = listener;
  }

  async metrics(): Promise<ReplicaSample[]> {
    return await sampleReplicas(this.#replicas(), this.#options.project.probeSecret);
  }

  async mark(databaseId: string): Promise<void> {
    this.#folders.mark(databaseId);
  }

  async probe(): Promise<ClusterHealth> {
    return {
      healthy: this.#stopped === undefined,
      capacity: { nodes: 1, replicas: this.#replicas().length, ...(await this.#meter()) },
    };
  }

  /** How many replicas are in which state. */
  countStates(): Map<ReplicaState, number> {
    const states = new Map<ReplicaState, number>();
    for (const replica of this.#replicas()) {
      const state = replica.observe()?.state;
      if (state !== undefined) states.set(state, (states.get(state) ?? 0) + 1);
    }
    return states;
  }

  /** Beside everything else: replicas that start meanwhile start slower. */
  async #warm(folder: string): Promise<void> {
    await this.#bundle();
    try {
      await warmCompileCache(this.#warming.signal, join(this.#options.stateDir, "warm"), folder);
    } catch (error) {
      if (this.#warming.signal.aborted) return;
      this.#options.log.warn("agents start slower: their code could not be compiled beforehand", {
        folder,
        error: errorMessage(error),
      });
    }
  }

  async #bundle(): Promise<void> {
    try {
      if (!(await bundleRuntime()))
        this.#options.log.info(
          "agents run from the sources, which needs more memory: esbuild is not installed; `npm ci` installs it",
        );
    } catch (error) {
      this.#options.log.warn("agents run from the sources: their code could not be bundled", {
        error: errorMessage(error),
      });
    }
  }

  #makePool(account: ReplicaOptions["account"]): Pool {
    const { log, machineEnvironment, poolSize = 0 } = this.#options;
    return new Pool({
      size: poolSize,
      command: restrictedCommand,
      account,
      sharedCache: modelCacheOf(compileCacheDir),
      folders: this.#folders,
      log,
      machineEnvironment,
      wanted: () => this.#agents.size > 0,
      busy: () => this.#replicas().some((replica) => replica.observe()?.state === "starting"),
    });
  }

  /** After the runtime's own code, so that two programs do not compile the same. */
  #compileTrees(account: ReplicaOptions["account"]): CompiledTrees | undefined {
    const { log, machineEnvironment, pluginStore } = this.#options;
    if (pluginStore === undefined) return undefined;
    const options = {
      command: restrictedCommand,
      scratch: this.#folders.compileDir,
      account,
      sharedCache: compileCacheDir,
      machineEnvironment,
      signal: this.#warming.signal,
    };
    return new CompiledTrees({
      store: pluginStore,
      log,
      run: async (...args) => {
        await this.warmed;
        await compileRun(options, ...args);
      },
    });
  }

  #replicas(): Replica[] {
    return [...this.#agents.values()].flatMap(({ set }) => set.running as readonly Replica[]);
  }

  #agent(agentId: string): Agent {
    const known = this.#agents.get(agentId);
    if (known !== undefined) return known;
    const set = new ReplicaSet({
      agentId,
      clock: systemClock,
      create: (workload, changed) => new Replica(workload, this.#replicaOptions, changed),
      changed: () => {
        const current = this.#agents.get(agentId);
        if (current !== undefined) this.#settle(agentId, current);
        this.#checkStopped();
        this.#watcher(agentId);
      },
      stable: this.#folders.readStable(agentId),
      saveStable: (workload) => this.#saveStable(agentId, workload),
    });
    const agent = { set, leaving: false };
    this.#agents.set(agentId, agent);
    return agent;
  }

  /** Forgets an agent that leaves, once nothing of it runs. */
  #settle(agentId: string, agent: Agent): void {
    if (!agent.leaving || !agent.set.empty) return;
    this.#agents.delete(agentId);
    try {
      this.#folders.removeAgent(agentId);
    } catch (error) {
      // The folder is still there, so the agent is too, and its removal is tried again.
      this.#options.log.warn("an agent's folder could not be removed", {
        agentId,
        error: errorMessage(error),
      });
    }
    this.#watcher(agentId);
  }

  #saveStable(agentId: string, workload: Parameters<Folders["saveStable"]>[1]): void {
    if (this.#stopped !== undefined) return;
    try {
      this.#folders.saveStable(agentId, workload);
    } catch (error) {
      this.#options.log.warn("a workload could not be written down", { agentId, error: errorMessage(error) });
    }
  }

  #refuseWhenStopped(): void {
    if (this.#stopped !== undefined) throw new Error("the cluster is being stopped");
  }

  #checkStopped(): void {
    if (this.#stopped === undefined || this.#replicas().length > 0) return;
    for (const resolve of this.#stopped.splice(0)) resolve();
  }
}

/** The files and folders without which a replica cannot run. */
function reachedBy(command: readonly string[] | undefined): string[] {
  const own = [process.execPath, runtimeProgram, ...codeFolders()];
  return command === undefined ? own : command.filter((word) => isAbsolute(word) && existsSync(word));
}

function restrictedCommand({ cacheDir, configFile, dataDir, readable = [] }: ReplicaPlace): string[] {
  return permittedCommand({ cacheDir, configFile, stateDir: dataDir, readable });
}
