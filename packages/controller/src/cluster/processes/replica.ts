// One replica's process over its lives: start, probe, restart, end.

import { randomBytes } from "node:crypto";
import { EXIT } from "@agent-launchpad/agent-runtime";
import type { ProjectAccess } from "../../config.ts";
import type { Endpoints } from "../../ingress/endpoints.ts";
import { errorMessage, type Log } from "../../log.ts";
import { createRedactor, createSplitRedactor } from "../../shipping/redact.ts";
import { agentConfig } from "../agent-config.ts";
import type { ObservedReplica, ReplicaExit, ReplicaLog, Workload } from "../cluster.ts";
import { explainExit } from "../exit-reason.ts";
import { type ParsedLine, parseLine } from "../lines.ts";
import { type LogBudget, leftOut } from "../log-budget.ts";
import type { ReplicaHandle } from "../replica-set.ts";
import { afterExit, type RestartLimits } from "../restarts.ts";
import type { Account } from "./accounts.ts";
import { Child, type ChildListener } from "./child.ts";
import type { CompiledTrees } from "./compiled-trees.ts";
import { refusedNames, replicaEnvironment, secretValues, withheldKeys, workLater } from "./environment.ts";
import { type Folders, forgetProcess, makePlace, type ReplicaPlace, remove, saveProcess } from "./folders.ts";
import { watchMemory } from "./memory-limit.ts";
import type { Pool } from "./pool.ts";
import { Prober } from "./prober.ts";
import type { StartQueue } from "./start-queue.ts";
import { processMark } from "./system.ts";
import type { Taken } from "./waiting-runtime.ts";

export interface ReplicaOptions {
  /** The command that runs a replica, by where its files are. */
  command(place: ReplicaPlace): readonly string[];
  /** A new account for a replica, where each has its own. */
  account: (() => Account) | undefined;
  /** Compiled code that replicas start from: of agents without plugins, and all; absent: they have no compile cache of their own. */
  caches: { model: string; all: string } | undefined;
  /** Compiled code of plugins; absent: there is none. */
  compiledTrees: CompiledTrees | undefined;
  /** Runtimes that wait for an agent; absent: there are none. */
  pool: Pool | undefined;
  /** Where starts from the beginning wait for their turn. */
  starts: StartQueue;
  folders: Folders;
  endpoints: Endpoints;
  log: Log;
  machineEnvironment: Record<string, string>;
  providerEnvironment: Record<string, string>;
  privateHosts: readonly string[];
  project: ProjectAccess;
  restarts: RestartLimits;
  /** Between probes of a healthy replica. */
  probeMs: number;
  /** A life that is not ready by then is ended. */
  readyMs: number;
  /** How long open requests may take when the replica is no longer wanted. */
  graceMs: number;
  /** How long it may take to end on its own after SIGTERM. */
  killMs: number;
  onLog(line: ReplicaLog): void;
  /** How much an agent's replicas may say together. */
  budgetOf(agentId: string): LogBudget;
}

type Phase = "starting" | "ready" | "unready" | "waiting" | "ending" | "gone";

/** One replica: a process that is started again when it ends on its own, under one name and in one folder. */
export class Replica implements ReplicaHandle {
  readonly name: string;
  readonly workload: Workload;
  readonly #options: ReplicaOptions;
  readonly #changed: () => void;
  readonly #redact: <T>(value: T) => T;
  readonly #redactSplit: (line: string) => string;
  /** Both are those of the runtime that waited, where one did: what a replica keeps in its folder survives its lives. */
  readonly #folder: string;
  readonly #account: Account | undefined;
  /** Whether this life was handed to a waiting runtime that does not listen yet. */
  #handed = false;
  #phase: Phase = "starting";
  #child: Child | undefined;
  #prober: Prober | undefined;
  #stopMemoryWatch: () => void = () => {};
  #leaveStarts: () => void = () => {};
  #timer: NodeJS.Timeout | undefined;
  #port: number | undefined;
  #startedAt = Date.now();
  #readyAt: number | undefined;
  #failures = 0;
  #exit: ReplicaExit | undefined;
  /** Why this life is being ended by us, where it is. */
  #verdict: { reason: string; message: string } | undefined;
  #lastError: ReplicaLog | undefined;
  #lastLine: ReplicaLog | undefined;
  /** The newest line that was not kept: it may say why the process ended. */
  #unread: { line: string; source: string; level: ReplicaLog["level"] } | undefined;
  #life = 0;
  #lines = 0;

  constructor(workload: Workload, options: ReplicaOptions, changed: () => void) {
    this.name = `${workload.agentId}-${randomName()}`;
    this.workload = workload;
    this.#options = options;
    this.#changed = changed;
    const { agentId, environment, pluginFolder, spec } = workload;
    const later = pluginFolder === undefined && workLater(environment);
    const waiting = later ? options.pool?.take(spec.resources.memoryBytes) : undefined;
    this.#account = waiting === undefined ? options.account?.() : waiting.account;
    this.#folder = waiting?.folder ?? options.folders.ofReplica(agentId, this.name);
    const secrets = secretValues(options.providerEnvironment, workload.environment);
    this.#redact = createRedactor(secrets);
    this.#redactSplit = createSplitRedactor(secrets);
    this.#live(waiting);
  }

  get pid(): number | undefined {
    return this.#phase === "waiting" || this.#phase === "gone" ? undefined : this.#child?.pid;
  }

  get port(): number | undefined {
    return this.#port;
  }

  /** Names this life of the process; counters begin again with each. */
  get life(): string {
    return `${this.name}/${this.#life}`;
  }

  get startedAt(): number {
    return this.#startedAt;
  }

  observe(): ObservedReplica | undefined {
    if (this.#phase === "gone") return undefined;
    const health = this.#prober?.health;
    return {
      name: this.name,
      template: this.workload.template,
      state: this.#phase,
      failures: this.#failures,
      startedAt: this.#startedAt,
      ...(this.#exit === undefined ? {} : { exit: this.#exit }),
      ...(health === undefined ? {} : { health }),
    };
  }

  retry(): void {
    if (this.#phase === "ending" || this.#phase === "gone") return;
    this.#failures = 0;
    this.#exit = undefined;
    if (this.#phase === "waiting") this.#live();
  }

  end(limitMs?: number): void {
    if (this.#phase === "gone") return;
    // Ending already, in its own time; now there is less of it.
    if (this.#phase === "ending") {
      if (limitMs !== undefined) this.#terminate(limitMs);
      return;
    }
    const { endpoints, graceMs, killMs } = this.#options;
    this.#leaveStarts();
    const running = this.#phase !== "waiting" && this.#child !== undefined;
    this.#phase = "ending";
    clearTimeout(this.#timer);
    this.#prober?.stop();
    const drained = endpoints.drain(this.workload.agentId, this.name, limitMs === undefined ? graceMs : 0);
    void drained.then(() => {
      if (running) this.#terminate(limitMs ?? killMs);
      else this.#gone();
    });
  }

  /** @param waiting the runtime that it begins with; absent: it starts one, when it is its turn */
  #live(waiting?: Taken): void {
    this.#life += 1;
    this.#phase = "starting";
    this.#startedAt = Date.now();
    this.#readyAt = undefined;
    this.#port = undefined;
    this.#verdict = undefined;
    this.#lastError = undefined;
    this.#lastLine = undefined;
    this.#unread = undefined;
    this.#handed = waiting !== undefined;
    this.#child = undefined;
    if (waiting === undefined) this.#leaveStarts = this.#options.starts.enter(() => this.#begin());
    else this.#begin(waiting);
  }

  #begin(waiting?: Taken): void {
    const { readyMs } = this.#options;
    const { memoryBytes } = this.workload.spec.resources;
    try {
      // The runtime begins while the folder is made.
      if (waiting !== undefined) this.#child = this.#take(waiting);
      this.#options.folders.makeAgent(this.workload.agentId, this.#account !== undefined);
      this.#child ??= this.#start();
    } catch (error) {
      // Of one that was handed over the exit follows; else it is as if the process had not started, later and from the outside.
      void waiting?.end();
      if (this.#child !== undefined) return;
      const failed = errorMessage(error);
      queueMicrotask(() => this.#exited({ code: null, signal: null, failed }));
      return;
    }
    const { pid } = this.#child;
    if (pid === undefined) return;
    if (waiting === undefined) this.#record(pid);
    this.#stopMemoryWatch = watchMemory(pid, memoryBytes, (bytes) =>
      this.#condemn(
        "OOMKilled",
        `It used ${mebibytes(bytes)} MiB of its ${mebibytes(memoryBytes)} MiB of memory and was ended.`,
      ),
    );
    this.#timer = setTimeout(() => {
      this.#condemn("NEVER_READY", `It was not ready within ${Math.round(readyMs / 1000)} s and was ended.`);
    }, readyMs);
    this.#timer.unref();
    if (this.#life === 1) this.#warnOfVariables();
  }

  #start(): Child {
    const { caches, command, compiledTrees } = this.#options;
    const { pluginFolder } = this.workload;
    const ofPlugins = pluginFolder === undefined ? undefined : compiledTrees?.folder(pluginFolder);
    const shared = pluginFolder === undefined ? caches?.model : caches?.all;
    const place = makePlace(
      this.#folder,
      agentConfig(this.workload),
      this.#account,
      [shared, ofPlugins].filter((cache) => cache !== undefined),
    );
    return new Child({
      command: command({ ...place, readable: pluginFolder === undefined ? [] : [pluginFolder] }),
      environment: {
        ...this.#environment(place),
        ...(caches !== undefined && { NODE_COMPILE_CACHE: place.cacheDir }),
        ...(pluginFolder !== undefined && { AGENT_ELIZA_DIR: pluginFolder }),
      },
      directory: place.dataDir,
      account: this.#account,
      ...this.#listener(),
    });
  }

  #take(waiting: Taken): Child {
    const environment = this.#environment(waiting.place);
    return waiting.handOver(
      this.workload.agentId,
      { config: agentConfig(this.workload), environment },
      this.#listener(),
    );
  }

  #environment({ configFile, dataDir }: ReplicaPlace): Record<string, string> {
    const { machineEnvironment, privateHosts, project, providerEnvironment } = this.#options;
    const { agentId, environment, generation, spec } = this.workload;
    const { memoryBytes } = spec.resources;
    const identity = {
      agentId,
      replica: this.name,
      generation,
      configFile,
      stateDir: dataDir,
      memoryBytes,
      project,
      privateHosts,
    };
    return replicaEnvironment(identity, machineEnvironment, providerEnvironment, environment);
  }

  #listener(): ChildListener {
    return {
      onOutput: (line) => this.#output(line, "stdout", "INFO"),
      onErrorOutput: (line) => this.#output(line, "stderr", "ERROR"),
      onExit: (exit) => this.#exited(exit),
    };
  }

  #record(pid: number): void {
    try {
      const mark = processMark(pid);
      if (mark !== undefined) saveProcess(this.#folder, pid, mark, this.workload.agentId);
    } catch (error) {
      // Without the record its end of stdin still ends it when the controller dies.
      this.#options.log.warn("a process could not be written down", { pid, error: errorMessage(error) });
    }
  }

  #output(line: string, source: string, level: ReplicaLog["level"]): void {
    const kept = this.#options
      .budgetOf(this.workload.agentId)
      .admits(line.length, Date.now(), (dropped) => this.#sayDropped(dropped));
    // A flood costs no more than this; but a replica that starts is heard: it says where it listens.
    if (!kept && this.#phase !== "starting") {
      this.#lines += 1;
      this.#unread = { line, source, level };
      return;
    }
    const { message, ...facts } = parseLine(line, { source, level });
    const entry = this.#entry(this.#redact({ ...facts, message: this.#redactSplit(message) }));
    this.#lastLine = entry;
    if (entry.level === "ERROR") this.#lastError = entry;
    if (kept) this.#options.onLog(entry);
    const port = entry.metadata.port;
    const listening = entry.source === "runtime" && entry.message === "listening" && typeof port === "number";
    if (listening && this.#phase === "starting" && this.#port === undefined) this.#probe(port);
  }

  #probe(port: number): void {
    this.#leaveStarts();
    this.#handed = false;
    this.#port = port;
    this.#prober = new Prober({
      port,
      probeMs: this.#options.probeMs,
      onReady: () => this.#ready(port),
      onUnready: () => this.#unready(),
      onDead: (message) => this.#condemn("UNHEALTHY", message),
      onHealth: () => this.#changed(),
    });
  }

  #ready(port: number): void {
    if (this.#phase !== "starting" && this.#phase !== "unready") return;
    clearTimeout(this.#timer);
    this.#phase = "ready";
    this.#readyAt ??= Date.now();
    this.#options.endpoints.add(this.workload.agentId, this.name, port, () => this.#prober?.suspect());
    this.#changed();
    const { pluginFolder, spec } = this.workload;
    // Its plugins start, and it runs: whoever starts with them later may find them compiled.
    if (pluginFolder !== undefined)
      void this.#options.compiledTrees?.compile(pluginFolder, spec.plugins ?? []);
  }

  #unready(): void {
    if (this.#phase !== "ready") return;
    this.#phase = "unready";
    this.#options.endpoints.remove(this.workload.agentId, this.name);
    this.#changed();
  }

  /** Ends this life for a reason of ours; it counts as if it had ended on its own. */
  #condemn(reason: string, message: string): void {
    if (this.#verdict !== undefined || this.pid === undefined) return;
    this.#verdict = { reason, message };
    this.#options.endpoints.remove(this.workload.agentId, this.name);
    this.#child?.kill();
  }

  #terminate(limitMs: number): void {
    this.#child?.terminate();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#child?.kill(), limitMs);
    this.#timer.unref();
  }

  #exited(how: { code: number | null; signal: string | null; failed?: string }): void {
    clearTimeout(this.#timer);
    this.#leaveStarts();
    this.#stopMemoryWatch();
    this.#prober?.stop();
    this.#prober = undefined;
    this.#child = undefined;
    this.#options.endpoints.remove(this.workload.agentId, this.name);
    if (this.#phase === "ending" || this.#phase === "gone") {
      this.#gone();
      return;
    }
    forgetProcess(this.#folder);
    if (this.#handed && this.#verdict === undefined && how.code !== EXIT.configuration) {
      // A fault of the agent shows again in the next life; one of the waiting runtime does not count as the agent's.
      this.#options.log.info("a runtime ended while it was handed out; its agent starts from the beginning", {
        replica: this.name,
        ...how,
      });
      this.#live();
      return;
    }
    if (this.#unread !== undefined) {
      const { line, source, level } = this.#unread;
      this.#lastLine = this.#entry(this.#redact(parseLine(line, { source, level })));
    }
    const now = Date.now();
    const why = this.#verdict ?? explainExit(how, this.#lastError ?? this.#lastLine);
    const fatal = this.#verdict === undefined && how.code === EXIT.configuration;
    const next = afterExit(this.#failures, this.#readyAt, now, fatal, this.#options.restarts);
    this.#failures = next.failures;
    this.#exit = { code: how.code, signal: how.signal, at: now, fatal, ...why };
    this.#phase = "waiting";
    this.#timer = setTimeout(() => this.#live(), next.delayMs);
    this.#timer.unref();
    this.#say("ERROR", why.message, {
      reason: why.reason,
      exitCode: how.code,
      signal: how.signal,
      failures: next.failures,
      nextStartMs: next.delayMs,
    });
    this.#changed();
  }

  #gone(): void {
    if (this.#phase === "gone") return;
    this.#phase = "gone";
    try {
      remove(this.#folder);
    } catch (error) {
      this.#options.log.warn("a replica's folder could not be removed", {
        replica: this.name,
        error: errorMessage(error),
      });
    }
    this.#changed();
  }

  #warnOfVariables(): void {
    const { environment } = this.workload;
    const refused = refusedNames(environment);
    if (refused.length > 0)
      this.#say(
        "WARN",
        `These secrets are not handed on, their names are reserved: ${refused.join(", ")}`,
        {},
      );
    const { because, names } = withheldKeys(this.#options.providerEnvironment, environment);
    if (names.length > 0) {
      const why = `This agent sets ${because.join(", ")}, which may lead requests elsewhere`;
      this.#say(
        "WARN",
        `${why}: the operator's ${names.join(", ")} stay out. Set a key of the agent's own, or remove it.`,
        {},
      );
    }
  }

  #sayDropped(dropped: number): void {
    const { message, metadata } = leftOut(dropped);
    this.#say("WARN", message, metadata);
  }

  /** A line of the controller's own in the agent's log. */
  #say(level: ReplicaLog["level"], message: string, metadata: Record<string, unknown>): void {
    const timestamp = new Date().toISOString();
    this.#options.onLog(
      this.#entry(this.#redact({ timestamp, level, message, source: "controller", metadata })),
    );
  }

  #entry(line: ParsedLine): ReplicaLog {
    this.#lines += 1;
    return { agentId: this.workload.agentId, replica: this.name, sequence: this.#lines, ...line };
  }
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}

/** Six characters that are easy to read and never form a word's ending that matters (base32 without padding). */
function randomName(): string {
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  return [...randomBytes(6)].map((byte) => alphabet[byte & 31]).join("");
}
