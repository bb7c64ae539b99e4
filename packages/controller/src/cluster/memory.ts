// A cluster of pretended replicas, for tests.

import type { Clock } from "../clock.ts";
import type {
  Cluster,
  ClusterHealth,
  Failure,
  ObservedReplica,
  ObservedWorkload,
  ReplicaLog,
  ReplicaSample,
  Workload,
} from "./cluster.ts";
import { type ReplicaHandle, ReplicaSet, type StableWorkload } from "./replica-set.ts";
import { afterExit } from "./restarts.ts";

/** What a pretended replica does in one life. */
export type Behaviour =
  | { does: "ready"; afterMs: number; crashesAfterMs?: number }
  | { does: "crash"; afterMs: number }
  | { does: "fatal"; afterMs: number; reason: string; message: string }
  | { does: "hang" };

export interface MemoryClusterOptions {
  clock: Clock;
  /** Decides what a life does; `life` counts from 1 for each replica. */
  behave(workload: Workload, life: number): Behaviour;
  /** How long an ending replica takes. */
  endMs?: number;
  /** What survives a crash of the controller, as the state folder does; shared between lives of it. */
  disk?: Map<string, StableWorkload>;
}

/** A cluster without processes, for tests: the same rollouts and restarts, pretended replicas. */
export class MemoryCluster implements Cluster {
  readonly kind = "memory";
  readonly outlives = false;
  readonly sleepsWithSecrets = false;
  readonly #options: MemoryClusterOptions;
  readonly #disk: Map<string, StableWorkload>;
  readonly #sets = new Map<string, ReplicaSet>();
  #watcher: (agentId: string) => void = () => {};
  #names = 0;
  #dead = false;

  constructor(options: MemoryClusterOptions) {
    this.#options = options;
    this.#disk = options.disk ?? new Map();
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    this.crash();
  }

  /** All replicas are gone at once and nobody is told, as when the controller's process dies. */
  crash(): void {
    this.#dead = true;
    for (const agentId of this.#sets.keys())
      for (const replica of this.#replicas(agentId)) replica.breakOff();
    this.#sets.clear();
  }

  async apply(workload: Workload): Promise<void> {
    this.#set(workload.agentId).apply(workload);
  }

  async revert(workload: Workload, failure: Failure): Promise<void> {
    this.#set(workload.agentId).revert(workload, failure);
  }

  async sleep(workload: Workload): Promise<void> {
    this.#set(workload.agentId).sleep();
  }

  async remove(agentId: string, keep: boolean): Promise<void> {
    const set = this.#sets.get(agentId);
    if (set === undefined) {
      if (!keep) this.#disk.delete(agentId);
      return;
    }
    set.clear();
    if (set.empty && !keep) this.#forget(agentId);
    else if (!keep) this.#ending.add(agentId);
  }

  readonly #ending = new Set<string>();

  async get(agentId: string): Promise<ObservedWorkload | undefined> {
    const set = this.#sets.get(agentId);
    if (set === undefined && this.#disk.has(agentId)) return this.#set(agentId).observe();
    return set?.observe();
  }

  async list(): Promise<string[]> {
    return [...this.#sets.keys()];
  }

  watch(listener: (agentId: string) => void): void {
    this.#watcher = listener;
  }

  logs(_listener: (line: ReplicaLog) => void): void {}

  async metrics(): Promise<ReplicaSample[]> {
    return [...this.#sets.keys()].flatMap((agentId) =>
      this.#replicas(agentId)
        .filter((replica) => replica.observe() !== undefined)
        .map((replica) => replica.sample(agentId)),
    );
  }

  async probe(): Promise<ClusterHealth> {
    return { healthy: !this.#dead, capacity: {} };
  }

  /** Replicas that are not ending, over all agents or one. */
  running(agentId?: string): ObservedReplica[] {
    const sets = agentId === undefined ? [...this.#sets.values()] : [this.#sets.get(agentId)];
    return sets
      .flatMap((set) => set?.running ?? [])
      .map((replica) => replica.observe())
      .filter((seen) => seen !== undefined && seen.state !== "ending") as ObservedReplica[];
  }

  /**
   * A request that takes so long, at a ready replica; one that is being ended finishes it first.
   * @param done told whether it was answered, or broke off with its replica
   * @returns whether there is a ready replica
   */
  serve(agentId: string, milliseconds: number, done: (answered: boolean) => void): boolean {
    const ready = this.#replicas(agentId).find((replica) => replica.observe()?.state === "ready");
    ready?.serve(milliseconds, done);
    return ready !== undefined;
  }

  #replicas(agentId: string): MemoryReplica[] {
    return [...(this.#sets.get(agentId)?.running ?? [])] as MemoryReplica[];
  }

  /** Ends a replica as a fault would. */
  kill(agentId: string, name: string): void {
    const replica = this.#sets.get(agentId)?.running.find((one) => one.name === name);
    (replica as MemoryReplica | undefined)?.exit({ fatal: false, reason: "CRASHED", message: "killed" });
  }

  #set(agentId: string): ReplicaSet {
    const known = this.#sets.get(agentId);
    if (known !== undefined) return known;
    const set = new ReplicaSet({
      agentId,
      clock: this.#options.clock,
      create: (workload, changed) => {
        this.#names += 1;
        return new MemoryReplica(`${agentId}-${this.#names}`, workload, this.#options, () => {
          if (!this.#dead) changed();
        });
      },
      changed: () => {
        if (this.#dead) return;
        if (this.#ending.has(agentId) && set.empty) this.#forget(agentId);
        this.#watcher(agentId);
      },
      stable: this.#disk.get(agentId),
      saveStable: (workload) => {
        if (workload === undefined) this.#disk.delete(agentId);
        else this.#disk.set(agentId, workload);
      },
    });
    this.#sets.set(agentId, set);
    return set;
  }

  #forget(agentId: string): void {
    this.#sets.delete(agentId);
    this.#ending.delete(agentId);
    this.#disk.delete(agentId);
    this.#watcher(agentId);
  }
}

class MemoryReplica implements ReplicaHandle {
  readonly name: string;
  readonly #workload: Workload;
  readonly #options: MemoryClusterOptions;
  readonly #changed: () => void;
  #observed: ObservedReplica | undefined;
  #readyAt: number | undefined;
  #life = 0;
  #cancel: () => void = () => {};
  readonly #open = new Set<(answered: boolean) => void>();
  #idleSince: number;

  constructor(name: string, workload: Workload, options: MemoryClusterOptions, changed: () => void) {
    this.name = name;
    this.#workload = workload;
    this.#options = options;
    this.#changed = changed;
    const startedAt = options.clock.now();
    this.#idleSince = startedAt;
    this.#observed = { name, template: workload.template, state: "starting", failures: 0, startedAt };
    this.#live();
  }

  observe(): ObservedReplica | undefined {
    return this.#observed;
  }

  end(): void {
    if (this.#observed === undefined || this.#observed.state === "ending") return;
    this.#become({ state: "ending" });
    this.#cancel();
    this.#endWhenDone();
  }

  #endWhenDone(): void {
    if (this.#open.size > 0) return;
    this.#later(this.#options.endMs ?? 10, () => {
      this.#observed = undefined;
      this.#changed();
    });
  }

  serve(milliseconds: number, done: (answered: boolean) => void): void {
    const end = (answered: boolean) => {
      if (!this.#open.delete(end)) return;
      this.#idleSince = this.#options.clock.now();
      done(answered);
      if (this.#observed?.state === "ending") this.#endWhenDone();
    };
    this.#open.add(end);
    this.#options.clock.after(milliseconds, () => end(true));
  }

  /** Its process is gone, and with it what it worked on. */
  breakOff(): void {
    for (const end of [...this.#open]) end(false);
  }

  sample(agentId: string): ReplicaSample {
    const idle = (this.#options.clock.now() - this.#idleSince) / 1000;
    return {
      agentId,
      replica: this.name,
      cpuLimit: 1,
      memoryLimit: 1,
      cpuSeconds: null,
      memoryBytes: null,
      networkIn: null,
      networkOut: null,
      life: `${this.name}/${this.#life}`,
      startedAt: this.#observed?.startedAt ?? 0,
      requests: null,
      idleSeconds: this.#observed?.state !== "ready" ? null : this.#open.size > 0 ? 0 : idle,
    };
  }

  retry(): void {
    if (this.#observed === undefined || this.#observed.state === "ending") return;
    const { exit: _, ...rest } = this.#observed;
    this.#observed = { ...rest, failures: 0 };
    if (rest.state === "waiting") this.#live();
  }

  exit(how: { fatal: boolean; reason: string; message: string }): void {
    const observed = this.#observed;
    if (observed === undefined || observed.state === "ending") return;
    this.breakOff();
    const now = this.#options.clock.now();
    const next = afterExit(observed.failures, this.#readyAt, now, how.fatal);
    this.#become({
      state: "waiting",
      failures: next.failures,
      exit: { code: how.fatal ? 78 : 1, signal: null, at: now, ...how },
    });
    this.#later(next.delayMs, () => this.#live());
    this.#changed();
  }

  #live(): void {
    this.#life += 1;
    this.#readyAt = undefined;
    this.#become({ state: "starting", startedAt: this.#options.clock.now() });
    const behaviour = this.#options.behave(this.#workload, this.#life);
    if (behaviour.does === "hang") return;
    this.#later(behaviour.afterMs, () => {
      if (behaviour.does === "ready") {
        this.#readyAt = this.#options.clock.now();
        this.#idleSince = this.#readyAt;
        this.#become({ state: "ready" });
        if (behaviour.crashesAfterMs !== undefined) {
          this.#later(behaviour.crashesAfterMs, () =>
            this.exit({ fatal: false, reason: "CRASHED", message: "exit code 1" }),
          );
        }
        this.#changed();
      } else if (behaviour.does === "fatal") {
        this.exit({ fatal: true, reason: behaviour.reason, message: behaviour.message });
      } else this.exit({ fatal: false, reason: "CRASHED", message: "exit code 1" });
    });
  }

  #become(part: Partial<ObservedReplica>): void {
    if (this.#observed !== undefined) this.#observed = { ...this.#observed, ...part };
  }

  #later(milliseconds: number, action: () => void): void {
    this.#cancel();
    this.#cancel = this.#options.clock.after(milliseconds, action);
  }
}
