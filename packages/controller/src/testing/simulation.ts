// Simulates controllers over pretended clusters and the model of the database.

import type { Cluster, Workload } from "../cluster/cluster.ts";
import { type Behaviour, MemoryCluster } from "../cluster/memory.ts";
import type { StableWorkload } from "../cluster/replica-set.ts";
import type { Database } from "../contract.ts";
import { DatabaseError } from "../database.ts";
import { IdleWatch } from "../idle/watch.ts";
import { Door } from "../ingress/door.ts";
import { waker } from "../ingress/wake.ts";
import { silentLog } from "../log.ts";
import { Controller } from "../loop/controller.ts";
import { Faults, type Life } from "./faults.ts";
import { MemoryDatabase } from "./memory-database.ts";
import { SimulatedClock, seededRandom } from "./simulated-clock.ts";

export interface SimulationOptions {
  seed: number;
  controllers: number;
  /** Whether replicas live on when their controller dies, as on Kubernetes, or end with it, as processes do. */
  replicasSurvive: boolean;
  /** How often replicas are sampled, in seconds; left out: never, so that none falls asleep. */
  sampleSeconds?: number;
}

/** A controller's place in the simulation: its lives come and go, its disk (and perhaps its cluster) stays. */
interface Site {
  worker: string;
  disk: Map<string, StableWorkload>;
  cluster: MemoryCluster;
  life: SiteLife | undefined;
}

interface SiteLife extends Life {
  controller: Controller;
  /** Where requests to agents without a ready replica wait. */
  door: Door;
}

/** What a model name makes of a replica. */
function behave(workload: Workload): Behaviour {
  if (workload.spec.model === "crash") return { does: "crash", afterMs: 30 };
  if (workload.spec.model === "fatal") {
    return { does: "fatal", afterMs: 20, reason: "PLUGIN_NOT_FOUND", message: "no such plugin" };
  }
  return { does: "ready", afterMs: 50 };
}

/**
 * Controllers, a model of the database and pretended clusters under one simulated clock and one seeded randomness.
 * While `faults` is on, every call may be slow, fail before or after it took effect, or end its controller.
 */
export class Simulation {
  readonly clock = new SimulatedClock();
  /** Another one may come in its place. */
  database = new MemoryDatabase(this.clock);
  readonly random: () => number;
  readonly sites: Site[];
  readonly faults: Faults;
  crashes = 0;
  /** Told when a controller asks the database to put an agent to sleep: how long its busiest replica was idle, in seconds. */
  onAsleep: ((agentId: string, idleSeconds: number) => void) | undefined;
  /** Told when a life ends: whoever waits at its door gets no answer. */
  onCrash: ((worker: string) => void) | undefined;
  readonly #options: SimulationOptions;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.random = seededRandom(options.seed);
    this.faults = new Faults(this.clock, this.random);
    this.sites = Array.from({ length: options.controllers }, (_, index) => {
      const disk = new Map<string, StableWorkload>();
      const cluster = new MemoryCluster({ clock: this.clock, behave, disk });
      return { worker: `worker-${index}`, disk, cluster, life: undefined };
    });
    for (const site of this.sites) this.#start(site);
  }

  /** A webhook, which may get lost. */
  hint(): void {
    for (const site of this.sites) if (!this.faults.on || this.random() < 0.5) site.life?.controller.hint();
  }

  /** See {@link Faults.pause}. */
  pause(index: number, milliseconds: number): void {
    const life = this.sites[index]?.life;
    if (life !== undefined) this.faults.pause(life, milliseconds);
  }

  /** Ends whatever fault is still going on, and waits until all is calm. */
  async calm(milliseconds: number): Promise<void> {
    this.faults.on = false;
    await this.clock.advance(milliseconds);
  }

  #start(site: Site): void {
    const life: SiteLife = {
      dead: false,
      pausedUntil: 0,
      held: [],
      controller: undefined as never,
      door: undefined as never,
    };
    const clock = this.faults.clockOf(life);
    if (!this.#options.replicasSurvive) {
      site.cluster.crash();
      site.cluster = new MemoryCluster({ clock, behave, disk: site.disk });
    }
    life.controller = new Controller({
      worker: site.worker,
      database: this.#faulty<Database>(() => this.database, true, site, life),
      cluster: this.#faulty<Cluster>(() => site.cluster, false, site, life),
      clock,
      random: this.random,
      log: silentLog,
      limits: { readyMs: 60_000, crashLimit: 3 },
      pollSeconds: 5,
      leaseSeconds: 15,
      concurrency: 3,
      urlOf: (agentId) => `http://${agentId}.test`,
      describe: async () => ({}),
    });
    const database = this.#faulty<Database>(() => this.database, true, site, life);
    life.door = new Door({
      wake: waker({ database, claim: () => life.controller.hint() }),
      isReady: (agentId) => site.cluster.running(agentId).some(({ state }) => state === "ready"),
      clock,
      log: silentLog,
    });
    site.life = life;
    life.controller.start();
    if (this.#options.sampleSeconds !== undefined) this.#sample(site, life, this.#options.sampleSeconds);
  }

  /** Samples the replicas again and again, and lets idle agents sleep. */
  #sample(site: Site, life: SiteLife, seconds: number): void {
    const clock = this.faults.clockOf(life);
    const cluster = this.#faulty<Cluster>(() => site.cluster, false, site, life);
    const database = this.#faulty<Database>(() => this.database, true, site, life);
    const { controller } = life;
    let idle = new Map<string, number>();
    const watch = new IdleWatch({
      database: {
        sleepDeployment: (agentId, generation, leaseToken) => {
          this.onAsleep?.(agentId, idle.get(agentId) ?? 0);
          return database.sleepDeployment(agentId, generation, leaseToken);
        },
      },
      cluster,
      clock,
      log: silentLog,
      held: () => controller.reconciler.held,
      mayAct: () => !controller.lapsed,
      claimNow: () => controller.hint(),
      doubt: (agentId) => controller.doubt(agentId),
    });
    const look = async () => {
      const samples = await cluster.metrics();
      idle = new Map();
      for (const { agentId, idleSeconds } of samples)
        idle.set(agentId, Math.min(idleSeconds ?? 0, idle.get(agentId) ?? Number.POSITIVE_INFINITY));
      await watch.look(samples);
    };
    const again = () => {
      clock.after(seconds * 1000, () => {
        look()
          .catch(() => {})
          .finally(again);
      });
    };
    again();
  }

  #crash(site: Site, life: SiteLife): void {
    if (life.dead) return;
    life.dead = true;
    this.crashes += 1;
    this.onCrash?.(site.worker);
    if (!this.#options.replicasSurvive) site.cluster.crash();
    else site.cluster.watch(() => {});
    this.clock.after(10 + this.random() * 8000, () => this.#start(site));
  }

  #faulty<T extends Database | Cluster>(target: () => T, late: boolean, site: Site, life: SiteLife): T {
    return new Proxy({} as T, {
      get: (_, name) => {
        const object = target();
        const value: unknown = Reflect.get(object, name, object);
        if (typeof value !== "function") return value;
        const method = value.bind(object) as (...args: unknown[]) => unknown;
        if (name === "watch") return method;
        return (...args: unknown[]) =>
          this.faults.call(() => method(...args), life, {
            late,
            failure: (why) => new DatabaseError("unreachable", why),
            crash: () => this.#crash(site, life),
          });
      },
    });
  }
}
