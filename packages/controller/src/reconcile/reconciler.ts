// Reconciles one agent: observes, decides, acts on the cluster and reports.

import type { Clock } from "../clock.ts";
import { backoff, jittered } from "../clock.ts";
import type { Cluster, Workload } from "../cluster/cluster.ts";
import { KubeError } from "../cluster/kubernetes/api.ts";
import type { AgentClass, Claim, Database, DeploymentReport } from "../contract.ts";
import { DatabaseError } from "../database.ts";
import { errorMessage, type Log } from "../log.ts";
import type { Provision, Provisioner } from "../plugins/provision.ts";
import { type Decision, decide } from "./decide.ts";
import type { Limits } from "./hopeless.ts";
import { type Held, hold, isNews, isWorthSaying, noteAccepted, reportKey } from "./leased-agent.ts";
import { type Observation, observe } from "./observe.ts";
import { canonical, templateOf } from "./template.ts";

export interface ReconcilerOptions {
  database: Database;
  cluster: Cluster;
  clock: Clock;
  random: () => number;
  log: Log;
  limits: Limits;
  urlOf(agentId: string): string;
  /** Whether this controller's leases may have run out: then nothing may be done. */
  lapsed(): boolean;
  /** Whether what runs of agents that the database does not know may end. */
  mayEnd(gone: readonly string[]): Promise<boolean>;
  /** The database knows something newer: claim. */
  claimNow(): void;
  /** What agents' plugins need, where this controller installs them. */
  plugins?: Pick<Provisioner, "begin"> | undefined;
  /** Look at the agent again after a while, or before, when something changes. */
  lookAgain(agentId: string, milliseconds: number): void;
  /** Let the agent rest for so long, whatever changes: its last pass failed. */
  rest(agentId: string, milliseconds: number): void;
  onPass?(outcome: "worked" | "failed", milliseconds: number): void;
  onPhase?(phase: string): void;
  /** An agent that was woken serves: so long after its claim. */
  onWake?(milliseconds: number): void;
}

/** From the loss of a lease to the end of the replicas: long enough for a claim, should nobody else have it. */
const ABANDON_MS = 250;

/** How often is asked again whether an agent that the database does not know may end. */
const GONE_MS = 30_000;
/** For how long such an agent counts. */
const GONE_WINDOW_MS = 3_600_000;

/** Of an agent whose passes fail: a few attempts soon, then rarely, so that many such agents cost next to nothing. */
export function faultBackoff(faults: number): number {
  return Math.min(300_000, 1000 * 4 ** Math.min(faults - 1, 10));
}

/** What is no fault of the agent's, costs next to nothing to try, and a rest of minutes would outlast. */
function isOutage(error: unknown): boolean {
  if (error instanceof KubeError) return error.code === "UNREACHABLE" || error.code === "TERMINATING";
  return error instanceof DatabaseError;
}

/** Longer than the database works on any call of ours. */
const REPEAT_MS = 30_000;

/** Brings the agents held by this controller to what is wanted: observe → decide → act, one pass at a time each. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #held = new Map<string, Held>();
  /** Agents that ran here and that the database does not know, since when: an older database may be to blame. */
  readonly #gone = new Map<string, number>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  get held(): ReadonlyMap<string, Held> {
    return this.#held;
  }

  /** Takes a claimed agent; false when it says nothing new. */
  take(claim: Claim): boolean {
    const before = this.#held.get(claim.agentId);
    if (!isNews(before, claim)) return false;
    this.#held.set(claim.agentId, hold(claim, this.#options.clock.now(), before));
    this.#gone.delete(claim.agentId);
    return true;
  }

  /**
   * Gives each held agent the class of its user.
   * @returns the agents that have another one than before
   */
  reclass(classOf: (claim: Claim) => AgentClass | null): string[] {
    const changed: string[] = [];
    for (const [agentId, { claim }] of this.#held) {
      const now = classOf(claim);
      if (canonical(now) === canonical(claim.class ?? null)) continue;
      claim.class = now;
      changed.push(agentId);
    }
    return changed;
  }

  /** The leases may have gone to others: each agent must prove its own before anything is done with it. */
  doubt(): string[] {
    for (const held of this.#held.values()) held.verify = true;
    return [...this.#held.keys()];
  }

  /** One pass over one agent. Never throws: an error is this agent's alone, and it is looked at again later. */
  async pass(agentId: string): Promise<void> {
    const { clock, log } = this.#options;
    const started = clock.now();
    try {
      await this.#pass(agentId);
      this.#options.onPass?.("worked", clock.now() - started);
    } catch (error) {
      this.#options.onPass?.("failed", clock.now() - started);
      log.warn("a pass failed", { agentId, error: errorMessage(error) });
      await this.#giveBack(agentId, error);
    }
  }

  async #pass(agentId: string): Promise<void> {
    const { cluster, clock } = this.#options;
    const held = this.#held.get(agentId);
    if (held === undefined) return await this.#abandon(agentId);
    if (this.#options.lapsed()) return;

    const observed = observe(await cluster.get(agentId));
    if (held.verify) {
      const proof = { currentReplicas: observed.current, readyReplicas: observed.ready };
      if (!(await this.#report(held, proof))) return;
      held.verify = false;
      held.reported = undefined;
    }
    if (held.repeatAt !== undefined && clock.now() >= held.repeatAt) {
      held.repeatAt = undefined;
      held.reported = undefined;
    }
    let decision = this.#judge(held, observed);
    if (decision.actions.some((action) => action.do === "revert") && cluster.refresh !== undefined) {
      // Before anything is given up, the cluster itself is asked: what it told may be behind. Nothing waits after that.
      await this.#environment(held);
      await cluster.refresh(agentId);
      if (!this.#mayAct(held)) return;
      decision = this.#judge(held, observe(await cluster.get(agentId)));
    }
    if (!(await this.#act(held, decision))) return;
    held.faults = 0;
    if (decision.finished) await this.#finish(held);
    const wakeAt = Math.min(
      decision.wakeAt ?? Number.POSITIVE_INFINITY,
      held.repeatAt ?? Number.POSITIVE_INFINITY,
    );
    if (Number.isFinite(wakeAt)) this.#options.lookAgain(agentId, Math.max(1, wakeAt - clock.now()));
  }

  #judge(held: Held, observed: Observation): Decision {
    const { clock, limits, urlOf } = this.#options;
    const { claim, conditions, desired } = held;
    const provision = this.#provision(held, observed);
    return decide(
      { desired, observed, conditions, url: urlOf(claim.agentId), limits, provision },
      clock.now(),
    );
  }

  /** How far the plugins of a generation are that is not applied yet. Begins with them at the first look. */
  #provision(held: Held, observed: Observation): Provision | undefined {
    const { claim } = held;
    const { lookAgain, plugins } = this.#options;
    const applied = observed.workload?.generation ?? 0;
    if (plugins === undefined || claim.desired !== "running" || claim.spec === null) return undefined;
    if (observed.workload !== undefined && applied >= claim.generation) return undefined;
    held.provisioning ??= plugins.begin(claim, () => lookAgain(claim.agentId, 1));
    const provision = held.provisioning?.current;
    if (provision?.state === "ready" && provision.resolved !== undefined) {
      claim.spec.resolvedPlugins = provision.resolved;
      held.template = templateOf(claim.spec, claim.restarts ?? 0);
    }
    return provision;
  }

  /** Does what was decided, then says it; false when the agent is no longer ours to act on. */
  async #act(held: Held, decision: Decision): Promise<boolean> {
    const { cluster } = this.#options;
    const { agentId } = held.claim;
    for (const action of decision.actions) {
      if (action.do === "remove") await cluster.remove(agentId, action.keep);
      else if (action.do === "sleep") {
        const environment = cluster.sleepsWithSecrets ? await this.#environment(held) : {};
        if (!this.#mayAct(held)) return false;
        await cluster.sleep(this.#workload(held, environment));
      } else if (action.do === "revert") {
        const environment = await this.#environment(held);
        if (!this.#mayAct(held)) return false;
        await cluster.revert(this.#workload(held, environment), action.failure);
      } else {
        // The announcement and the secrets travel together: the one call's wait is hidden behind the other's.
        const [accepted, environment] = await Promise.all([
          this.#announce(held, decision.report),
          this.#environment(held),
        ]);
        if (!accepted || !this.#mayAct(held)) return false;
        await cluster.apply(this.#workload(held, environment));
        return true;
      }
    }
    return await this.#announce(held, decision.report);
  }

  async #announce(held: Held, report: DeploymentReport | undefined): Promise<boolean> {
    if (report === undefined) return true;
    if (report.phase === undefined && !isWorthSaying(held, report)) return true;
    return await this.#report(held, report);
  }

  async #report(held: Held, report: DeploymentReport): Promise<boolean> {
    const { database, log } = this.#options;
    const { agentId, generation, leaseToken } = held.claim;
    const result = await database.reportDeployment(agentId, generation, leaseToken, report);
    if (result.accepted) {
      const woken = held.desired.phase === "WAKING" && report.phase === "DEPLOYED";
      if (woken) this.#options.onWake?.(this.#options.clock.now() - held.heldAt);
      noteAccepted(held, report, result.phase);
      if (report.phase !== undefined) {
        this.#options.onPhase?.(report.phase);
        log.info("phase", { agentId, generation, phase: report.phase, reason: report.reason ?? undefined });
      }
      return true;
    }
    log.info("a report was refused", { agentId, generation, phase: report.phase, reason: result.reason });
    switch (result.reason) {
      case "lease_lost":
      case "gone":
        // What runs of it ends in the next pass, unless it is claimed again before.
        this.#forget(held);
        if (result.reason === "gone") this.#gone.set(agentId, this.#options.clock.now());
        this.#options.claimNow();
        this.#options.lookAgain(agentId, ABANDON_MS);
        return false;
      case "stale_generation":
        this.#options.claimNow();
        return false;
      case "transition_refused":
        // The database holds another truth of this generation; said again it would be refused again.
        held.reported = reportKey(report);
        held.reportedLatencyMs = report.application?.responseTimeMs;
        if (report.phase !== undefined) held.desired.observedGeneration = held.desired.generation;
        this.#options.claimNow();
        return true;
    }
  }

  async #environment(held: Held): Promise<Record<string, string>> {
    if (held.environment === undefined) {
      const { agentId, generation, leaseToken } = held.claim;
      held.environment = await this.#options.database.agentEnvironment(agentId, generation, leaseToken);
    }
    return held.environment;
  }

  #workload(held: Held, environment: Record<string, string>): Workload {
    const {
      agentId,
      userId,
      quota,
      class: agentClass,
      generation,
      platform,
      revision,
      targetReplicas,
      spec,
    } = held.claim;
    if (spec === null) throw new Error("the claimed row wants an agent to run and has no spec");
    const provision = held.provisioning?.current;
    const pluginFolder = provision?.state === "ready" ? provision.folder : undefined;
    return {
      agentId,
      userId: userId ?? null,
      quota: quota ?? null,
      class: agentClass ?? null,
      generation,
      revision: revision ?? 0,
      template: held.template,
      replicas: targetReplicas,
      spec,
      ...(pluginFolder === undefined ? {} : { pluginFolder }),
      ...(platform == null ? {} : { platform }),
      environment,
    };
  }

  /** After a wait: whether the agent is still ours, unchanged, and the lease still good. */
  #mayAct(held: Held): boolean {
    return this.#held.get(held.claim.agentId) === held && !this.#options.lapsed();
  }

  /** Nothing of the agent is left to do here: a stopped one goes back, so that any controller may start it again. */
  async #finish(held: Held): Promise<void> {
    const { agentId, leaseToken } = held.claim;
    if (held.desired.state === "stopped" && this.#mayAct(held)) {
      await this.#options.database.releaseDeployment(agentId, leaseToken);
    }
    this.#forget(held);
  }

  #forget(held: Held): void {
    if (this.#held.get(held.claim.agentId) === held) this.#held.delete(held.claim.agentId);
  }

  /** Another controller has the agent, or nobody: nothing of it may run here. */
  async #abandon(agentId: string): Promise<void> {
    const { cluster } = this.#options;
    // Another controller carries on with it, or a later claim of this one.
    if (cluster.outlives) return;
    const workload = await cluster.get(agentId);
    if (workload === undefined || (workload.wanted === 0 && workload.replicas.length === 0)) return;
    if (this.#gone.has(agentId)) {
      this.#gone.set(agentId, this.#options.clock.now());
      if (!(await this.#options.mayEnd(this.#goneLately()))) {
        this.#options.lookAgain(agentId, GONE_MS);
        return;
      }
    }
    if (this.#held.has(agentId)) return;
    await cluster.remove(agentId, true);
  }

  /** Those that ended are counted for a while: one after the other must not get past the brake. */
  #goneLately(): string[] {
    const { clock } = this.#options;
    for (const [agentId, at] of this.#gone) if (clock.now() - at > GONE_WINDOW_MS) this.#gone.delete(agentId);
    return [...this.#gone.keys()];
  }

  /**
   * After an error: with nothing of the agent running here the lease goes back with the error, and the row's backoff
   * says when anybody tries again. With replicas that serve, the lease is kept, since giving it back would let another
   * controller double them; then the wait is kept here.
   */
  async #giveBack(agentId: string, error: unknown): Promise<void> {
    const { cluster, database, log, random } = this.#options;
    const held = this.#held.get(agentId);
    if (held === undefined) {
      this.#options.lookAgain(agentId, 1000);
      return;
    }
    held.faults += 1;
    held.awaitsDatabase = error instanceof DatabaseError;
    // The answer may have been lost on its way: what the database took, and whether the lease is ours, is not known.
    held.reported = undefined;
    held.verify = true;
    held.repeatAt = this.#options.clock.now() + REPEAT_MS;
    if (error instanceof DatabaseError && error.code === "CONFLICT") {
      // The generation has passed, or the lease: nobody's fault, and the next claim or report tells which.
      this.#options.claimNow();
      this.#options.rest(agentId, jittered(backoff(held.faults, 100, 30_000), 0.2, random));
      return;
    }
    try {
      const observed = observe(await cluster.get(agentId));
      if (observed.current + observed.ending === 0 && !this.#options.lapsed()) {
        await database.releaseDeployment(agentId, held.claim.leaseToken, errorMessage(error).slice(0, 500));
        this.#forget(held);
        return;
      }
      // What serves would hide that the change waits: its status says why, until the generation settles.
      if (error instanceof KubeError && held.desired.generation > held.desired.observedGeneration) {
        const why = { reason: "RETRYING", message: errorMessage(error).slice(0, 500) };
        const counts = { currentReplicas: observed.current, readyReplicas: observed.ready };
        if (!(await this.#report(held, { ...counts, ...why }))) return;
        held.reported = undefined;
      }
    } catch (second) {
      log.debug("the lease could not be given back", { agentId, error: errorMessage(second) });
    }
    const wait = isOutage(error) ? backoff(held.faults, 250, 30_000) : faultBackoff(held.faults);
    this.#options.rest(agentId, jittered(wait, 0.2, random));
  }
}
