// Puts agents to sleep whose replicas say that they are idle, as far as the database knows of no open work.

import type { Clock } from "../clock.ts";
import type { Cluster, ReplicaSample } from "../cluster/cluster.ts";
import type { Database } from "../contract.ts";
import { errorMessage, type Log } from "../log.ts";
import type { Held } from "../reconcile/leased-agent.ts";
import { observe } from "../reconcile/observe.ts";
import { isIdle, maySleep } from "./idle.ts";

export interface IdleWatchOptions {
  database: Pick<Database, "sleepDeployment">;
  cluster: Pick<Cluster, "get">;
  clock: Clock;
  log: Log;
  held(): ReadonlyMap<string, Held>;
  /** Whether anything may be done with what is held. */
  mayAct(): boolean;
  /** The database knows something newer: claim. */
  claimNow(): void;
  /** What is held may be no longer ours: its lease must be proved. */
  doubt(agentId: string): void;
}

/** How long an agent is left alone that the database keeps awake. */
const AGAIN_MS = 60_000;

/** Looks at each sample of the replicas; one look at a time. */
export class IdleWatch {
  readonly #options: IdleWatchOptions;
  /** By agent: when the database last kept it awake. */
  readonly #keptAwake = new Map<string, number>();
  #looking = false;

  constructor(options: IdleWatchOptions) {
    this.#options = options;
  }

  /** Asks the database to put to sleep what these samples show to be idle. Never throws: the next sample comes. */
  async look(samples: readonly ReplicaSample[]): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      await this.#look(samples);
    } catch (error) {
      this.#options.log.debug("idle agents could not be put to sleep", { error: errorMessage(error) });
    } finally {
      this.#looking = false;
    }
  }

  async #look(samples: readonly ReplicaSample[]): Promise<void> {
    const { claimNow, clock, cluster, database, held, log, mayAct } = this.#options;
    const byAgent = Map.groupBy(samples, (sample) => sample.agentId);
    for (const agentId of this.#keptAwake.keys()) if (!held().has(agentId)) this.#keptAwake.delete(agentId);
    for (const [agentId, own] of byAgent) {
      const one = held().get(agentId);
      if (one === undefined || !mayAct() || !maySleep(one, clock.now())) continue;
      const keptAwake = this.#keptAwake.get(agentId);
      // Counted both ways: the machine's clock may be set back.
      if (keptAwake !== undefined && Math.abs(clock.now() - keptAwake) < AGAIN_MS) continue;
      const observed = observe(await cluster.get(agentId));
      const { generation, idleSeconds, leaseToken } = one.claim;
      if (!isIdle(idleSeconds ?? Number.POSITIVE_INFINITY, observed, own)) continue;
      const answer = await database.sleepDeployment(agentId, generation, leaseToken);
      if (answer.asleep) {
        log.info("idle: it falls asleep", { agentId, generation: answer.generation });
        claimNow();
      } else {
        log.debug("idle, and kept awake", { agentId, reason: answer.reason });
        this.#keptAwake.set(agentId, clock.now());
        if (answer.reason === "LEASE_LOST" || answer.reason === "BUSY") this.#options.doubt(agentId);
      }
    }
  }
}
