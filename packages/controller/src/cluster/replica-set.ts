// Runs the replicas of one agent and steps through its rollouts.

import type { Clock } from "../clock.ts";
import type { Failure, ObservedReplica, ObservedWorkload, Workload } from "./cluster.ts";
import { isComplete, planRollout } from "./rollout.ts";

/** One replica, whatever it is made of. */
export interface ReplicaHandle {
  readonly name: string;
  /** Undefined once it has ended for good. */
  observe(): ObservedReplica | undefined;
  /** Lets it finish what it does and ends it; with a limit in milliseconds, ends it by then at the latest. */
  end(limitMs?: number): void;
  /** Forgets its failures and starts it now, if it waits. */
  retry(): void;
}

export interface ReplicaSetOptions {
  agentId: string;
  clock: Clock;
  /** Makes and starts a replica; it calls `changed` whenever its observation changes. */
  create(workload: Workload, changed: () => void): ReplicaHandle;
  /** Told after every change. */
  changed(): void;
  /** The last complete workload, as an earlier controller left it (without environment), and where to keep it. */
  stable?: StableWorkload | undefined;
  saveStable(workload: StableWorkload | undefined): void;
}

/** What is kept of a complete workload: everything but its secrets. */
export type StableWorkload = Omit<Workload, "environment">;

/**
 * The replicas of one agent: holds what was applied, and after every change takes the next step of the rollout.
 * Synchronous throughout, so that two events never interleave.
 */
export class ReplicaSet {
  readonly #options: ReplicaSetOptions;
  readonly #replicas = new Map<string, ReplicaHandle>();
  #current: Workload | undefined;
  #stable: Workload | StableWorkload | undefined;
  #failure: Failure | undefined;
  #progressedAt: number;
  #readyBefore = 0;
  #converging = false;
  #again = false;
  #frozen = false;
  #asleep = false;

  constructor(options: ReplicaSetOptions) {
    this.#options = options;
    this.#stable = options.stable;
    this.#progressedAt = options.clock.now();
  }

  /** Applies a newer workload. The same generation again changes nothing, an older one is ignored. */
  apply(workload: Workload): void {
    if (this.#current !== undefined && workload.generation <= this.#current.generation) return;
    this.#current = workload;
    this.#failure = undefined;
    this.#asleep = false;
    this.#progressed();
    for (const replica of this.#replicas.values()) {
      if (replica.observe()?.template === workload.template) replica.retry();
    }
    this.converge();
  }

  /** See {@link Cluster.revert}. */
  revert(workload: Workload, failure: Failure): void {
    if (this.#current !== undefined && workload.generation < this.#current.generation) return;
    if (this.#failure !== undefined && workload.generation === this.#current?.generation) return;
    const stable = this.#stable;
    this.#current =
      stable !== undefined && stable.template !== workload.template
        ? { environment: workload.environment, ...stable, generation: workload.generation }
        : { ...workload, replicas: this.#ready(workload.template) };
    this.#failure = failure;
    this.#asleep = false;
    this.converge();
  }

  /** See {@link Cluster.sleep}. What was complete last stays written down: a wake that fails may go back to it. */
  sleep(): void {
    if (this.#asleep) return;
    this.#asleep = true;
    this.#current = undefined;
    this.#failure = undefined;
    this.converge();
  }

  /** Wants nothing any more. Told twice, it does nothing more: who reacts to changes may tell it at each of them. */
  clear(): void {
    const active = this.#observed().some((replica) => replica.state !== "ending");
    if (this.#current === undefined && this.#stable === undefined && !active) return;
    this.#current = undefined;
    this.#failure = undefined;
    this.#asleep = false;
    if (this.#stable !== undefined) {
      this.#stable = undefined;
      this.#options.saveStable(undefined);
    }
    this.converge();
  }

  /** Ends every replica, soon, and starts none any more; what was wanted stays written down. */
  freeze(limitMs: number): void {
    this.#frozen = true;
    for (const replica of this.#replicas.values()) replica.end(limitMs);
  }

  get empty(): boolean {
    return this.#replicas.size === 0;
  }

  get running(): readonly ReplicaHandle[] {
    return [...this.#replicas.values()];
  }

  observe(): ObservedWorkload {
    return {
      agentId: this.#options.agentId,
      generation: this.#current?.generation ?? 0,
      template: this.#current?.template ?? "",
      wanted: this.#current?.replicas ?? 0,
      ...(this.#failure === undefined ? {} : { failure: this.#failure }),
      ...(this.#asleep ? { asleep: true } : {}),
      replicas: this.#observed(),
      progressedAt: this.#progressedAt,
    };
  }

  /** Takes steps until there is none left, then tells. Safe to call from within a step. */
  converge(): void {
    if (this.#converging) {
      this.#again = true;
      return;
    }
    this.#converging = true;
    try {
      do {
        this.#again = false;
        this.#step();
      } while (this.#again);
    } finally {
      this.#converging = false;
    }
    this.#options.changed();
  }

  #step(): void {
    for (const [name, replica] of this.#replicas) {
      if (replica.observe() === undefined) this.#replicas.delete(name);
    }
    if (this.#frozen) return;
    const current = this.#current;
    const wanted = current?.replicas ?? 0;
    const template = current?.template ?? "";
    const observed = this.#observed();

    const ready = this.#ready(template);
    if (ready > this.#readyBefore) this.#progressed();
    this.#readyBefore = ready;

    const plan = planRollout(wanted, template, observed);
    for (const name of plan.stop) this.#replicas.get(name)?.end();
    if (current !== undefined) {
      for (let started = 0; started < plan.start; started += 1) {
        const replica = this.#options.create(current, () => this.converge());
        this.#replicas.set(replica.name, replica);
      }
    }
    if (plan.start > 0 || plan.stop.length > 0) this.#again = true;
    else if (current !== undefined && this.#failure === undefined) this.#settle(current, observed);
  }

  #settle(current: Workload, observed: ObservedReplica[]): void {
    if (this.#stable?.generation === current.generation) return;
    if (!isComplete(current.replicas, current.template, observed)) return;
    this.#stable = current;
    const { environment: _, ...kept } = current;
    this.#options.saveStable(kept);
  }

  #observed(): ObservedReplica[] {
    return [...this.#replicas.values()]
      .map((replica) => replica.observe())
      .filter((seen) => seen !== undefined);
  }

  #ready(template: string): number {
    return this.#observed().filter((seen) => seen.template === template && seen.state === "ready").length;
  }

  #progressed(): void {
    this.#progressedAt = this.#options.clock.now();
    this.#readyBefore = this.#ready(this.#current?.template ?? "");
  }
}
