// The main loop: claims agents, renews leases and has each agent reconciled.

import { backoff, type Clock, jittered } from "../clock.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Database, FleetState } from "../contract.ts";
import { DatabaseError, KEY_REFUSED } from "../database.ts";
import { UserClasses } from "../fleet/classes.ts";
import { FleetGuard } from "../fleet/guard.ts";
import { oldestWaits, type Waits } from "../fleet/oldest-waits.ts";
import { Pacer } from "../fleet/pacer.ts";
import { type SettingProblems, settingsTrouble } from "../fleet/settings.ts";
import { errorMessage, type Log } from "../log.ts";
import type { Provisioner } from "../plugins/provision.ts";
import type { Limits } from "../reconcile/hopeless.ts";
import { Reconciler } from "../reconcile/reconciler.ts";
import { KeyedQueue } from "./keyed-queue.ts";
import { Lease } from "./lease.ts";

export interface ControllerOptions {
  worker: string;
  database: Database;
  cluster: Cluster;
  clock: Clock;
  random: () => number;
  log: Log;
  limits: Limits;
  /** Whether anything may be changed or removed; one of its own where none is given. */
  guard?: FleetGuard;
  /** What agents' plugins need, where this controller installs them. */
  plugins?: Pick<Provisioner, "begin"> | undefined;
  pollSeconds: number;
  leaseSeconds: number;
  concurrency: number;
  urlOf(agentId: string): string;
  /** What the heartbeat tells of this controller. */
  describe(): Promise<Record<string, unknown>>;
  onClaim?(outcome: "worked" | "failed", rows: number): void;
  onPass?(outcome: "worked" | "failed", milliseconds: number): void;
  onPhase?(phase: string): void;
  onWake?(milliseconds: number): void;
}

/** A nudge: somebody thinks that there is something to claim. */
export interface Hint {
  agentId?: string | undefined;
  generation?: number | undefined;
}

/** Rows asked for in one claim, beyond those that are being worked on and come again each time. */
const CLAIM_SIZE = 50;
/** The most that the database gives at once. */
const CLAIM_LIMIT = 500;
/** After all leases were released, claims come first. */
const SETTLE_MS = 1000;

/**
 * The loops: claim (on a hint, on a timer, at start), heartbeat, and a queue of agents to look at. Level-triggered:
 * a lost hint or event costs time, never work.
 */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #lease: Lease;
  readonly #queue: KeyedQueue;
  readonly reconciler: Reconciler;
  readonly guard: FleetGuard;
  readonly #pacer: Pacer;
  readonly #classes: UserClasses;
  #stopped = false;
  #released = false;
  #claiming = false;
  /** A claim is wanted, or was and did not work. */
  #owed = false;
  /** A claim failed: its answer may have been lost. */
  #uncertain = false;
  /** Heartbeats in a row whose count of leases was not the one known here. */
  #strayBeats = 0;
  #failures = 0;
  #cancelPulse: () => void = () => {};
  #cancelRetry: () => void = () => {};
  #contacted = false;
  /** The last call of a loop got no answer. */
  #away = false;
  #keyRefused = false;
  /** The database was compared with the installation. */
  #compared = false;
  /** Why the settings of this controller make no pods; then nothing is claimed. */
  #settings: string | undefined;
  /** What the last heartbeat said of agents that wait, by phase, in seconds. */
  #waiting: Waits = {};

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.guard = options.guard ?? new FleetGuard(options);
    this.#pacer = new Pacer({ ...options, note: (note) => options.cluster.note?.(note) });
    this.#lease = new Lease(options.leaseSeconds);
    this.#classes = new UserClasses({
      load: () => options.database.classes(),
      changed: () => {
        for (const agentId of this.reconciler.reclass((claim) => this.#classes.of(claim)))
          this.#queue.enqueue(agentId);
      },
      log: options.log,
    });
    this.reconciler = new Reconciler({
      database: options.database,
      cluster: options.cluster,
      clock: options.clock,
      random: options.random,
      log: options.log,
      limits: options.limits,
      urlOf: options.urlOf,
      lapsed: () => this.#stopped || this.#lease.lapsed(options.clock.now()) || !this.guard.mayChange,
      mayEnd: (gone) => this.#mayEnd(gone),
      claimNow: () => this.hint(),
      ...(options.plugins ? { plugins: options.plugins } : {}),
      lookAgain: (agentId, milliseconds) => this.#queue.enqueueAfter(agentId, milliseconds),
      rest: (agentId, milliseconds) => this.#queue.rest(agentId, milliseconds),
      ...(options.onPass ? { onPass: options.onPass } : {}),
      ...(options.onPhase ? { onPhase: options.onPhase } : {}),
      ...(options.onWake ? { onWake: options.onWake } : {}),
    });
    this.#queue = new KeyedQueue(options.clock, options.concurrency, (agentId) =>
      this.reconciler.pass(agentId),
    );
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** Whether the database has not answered for so long that nothing may be done. */
  get lapsed(): boolean {
    return this.#lease.lapsed(this.#options.clock.now());
  }

  /** How long the oldest agent of the project has waited, by phase, in seconds; nothing while the database is down. */
  get waits(): Waits {
    if (this.lapsed) return {};
    return oldestWaits(this.#waiting, this.reconciler.held.values(), this.#options.clock.now());
  }

  /** Why nothing can be done, as a sentence for people; undefined while the database answers. */
  get trouble(): string | undefined {
    if (this.#keyRefused) return KEY_REFUSED;
    if (this.guard.trouble !== undefined) return this.guard.trouble;
    if (this.#settings !== undefined) return this.#settings;
    return this.lapsed ? "The database has not answered lately." : undefined;
  }

  /** Starts the loops; returns at once, the database need not answer yet. */
  start(): void {
    this.#options.cluster.watch((agentId) => this.#queue.enqueue(agentId));
    this.hint();
    this.#pulse();
  }

  /** Claims soon. Hints that come while a claim is under way make one more claim together. */
  hint(hint: Hint = {}): void {
    if (this.#stopped) return;
    if (hint.agentId !== undefined && hint.generation !== undefined) {
      const held = this.reconciler.held.get(hint.agentId);
      if (held !== undefined && held.claim.generation >= hint.generation) return;
    }
    this.#owed = true;
    if (!this.#claiming) void this.#claim();
  }

  /** An agent's lease may have gone to others: it must be proved before anything more is done. */
  doubt(agentId: string): void {
    const held = this.reconciler.held.get(agentId);
    if (held === undefined) return;
    held.verify = true;
    this.#queue.bringForward(agentId);
  }

  /** Ends the loops. The caller then ends the cluster and calls {@link release}. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPulse();
    this.#cancelRetry();
    await this.#queue.stop();
  }

  /** Gives all leases back, once nothing runs here any more. */
  async release(): Promise<void> {
    await this.#options.database.releaseWorker(this.#options.worker);
  }

  async #claim(): Promise<void> {
    const { clock, database, leaseSeconds, log, random, worker } = this.#options;
    this.#claiming = true;
    this.#cancelRetry();
    try {
      while (this.#owed && !this.#stopped) {
        this.#owed = false;
        if (!this.#compared || this.guard.trouble !== undefined) await this.#askWho();
        if (this.guard.trouble !== undefined || this.#settings !== undefined) {
          this.#owed = true;
          this.#cancelRetry = clock.after(this.#options.pollSeconds * 1000, () => void this.#claim());
          return;
        }
        if (this.#uncertain) await this.#compare();
        if (!this.#released) await this.#releaseAll();
        const sentAt = clock.now();
        const size = Math.min(CLAIM_LIMIT, CLAIM_SIZE + this.#underWay());
        const batch = await database.claimDeployments(worker, size, leaseSeconds);
        // Since the last heartbeat another database may have come to answer.
        if (batch.claims.some(({ installation }) => !this.guard.isAnswering(installation))) {
          this.#compared = false;
          this.#owed = true;
          await database.releaseWorker(worker);
          continue;
        }
        this.#renewed(sentAt);
        let news = 0;
        for (const claim of batch.claims) {
          const known = this.reconciler.held.get(claim.agentId)?.claim.generation;
          this.#classes.learn(claim.classesVersion);
          if (!this.reconciler.take({ ...claim, class: this.#classes.of(claim) })) continue;
          news += 1;
          if (known === claim.generation) this.#queue.enqueue(claim.agentId);
          else this.#queue.bringForward(claim.agentId);
        }
        this.#options.onClaim?.("worked", news);
        for (const row of batch.unreadable) {
          log.error("a claimed row cannot be read", { agentId: row.agentId, problem: row.problem });
          await database.releaseDeployment(row.agentId, row.leaseToken, row.problem);
        }
        if (news >= CLAIM_SIZE) this.#owed = true;
      }
      this.#failures = 0;
    } catch (error) {
      this.#owed = true;
      this.#away = true;
      // Only the answer may have been lost: then the database gave leases of which nothing is known here.
      this.#uncertain = true;
      this.#failures += 1;
      this.#options.onClaim?.("failed", 0);
      const facts = { error: errorMessage(error), failures: this.#failures };
      const refused = error instanceof DatabaseError && error.kind === "key";
      if (refused && !this.#keyRefused) log.error("a claim failed", facts);
      else if (this.#failures === 1) log.warn("a claim failed", facts);
      else log.debug("a claim failed", facts);
      // Another failure tells nothing of the key.
      if (refused) this.#keyRefused = true;
      if (!this.#stopped) {
        const wait = jittered(backoff(this.#failures, 100, this.#options.pollSeconds * 1000), 0.2, random);
        this.#cancelRetry = clock.after(wait, () => void this.#claim());
      }
    } finally {
      this.#claiming = false;
    }
  }

  /**
   * Begins from nothing: what an earlier life of this worker held nobody holds, its replicas ended with it. With agents
   * in hand it is the way back from an unknown state: they are claimed again at once, and keep running meanwhile; each
   * that is not among the claimed must prove its lease.
   */
  async #releaseAll(): Promise<void> {
    const { database, describe, leaseSeconds, worker } = this.#options;
    await database.releaseWorker(worker);
    // The database forgets with the leases who this worker is: it is told before the claim, not only by the next heartbeat.
    await database.heartbeat(worker, leaseSeconds, await describe());
    this.#released = true;
    for (const agentId of this.reconciler.doubt()) this.#queue.enqueueAfter(agentId, SETTLE_MS);
  }

  /**
   * Before anything is claimed: whether the database is the installation's, and whether it takes the settings that pods are
   * made of. What is found is told with it.
   */
  async #askWho(): Promise<void> {
    const { cluster, database, describe, leaseSeconds, worker } = this.#options;
    const { fleet, settings } = await database.heartbeat(worker, leaseSeconds, await describe());
    if (this.#learn(fleet)) this.#resume();
    this.#judge(settings);
    if (this.guard.trouble === undefined && this.#settings !== undefined) return;
    if (this.guard.trouble === undefined) {
      await cluster.mark?.(fleet.installation);
      this.#compared = true;
      return;
    }
    // What was claimed before it was known belongs to that database's own controllers. Then operators are told there.
    if (this.#compared) await database.releaseWorker(worker);
    this.#compared = false;
    await database.heartbeat(worker, leaseSeconds, await describe());
  }

  #judge(problems: SettingProblems | null | undefined): void {
    const trouble = settingsTrouble(problems);
    if (trouble !== undefined && trouble !== this.#settings) this.#options.log.error(trouble);
    this.#settings = trouble;
  }

  /** @returns whether work goes on that had to rest */
  #learn(fleet: FleetState): boolean {
    const { guard } = this;
    const before = guard.mayChange;
    guard.learn(fleet);
    return !before && guard.mayChange;
  }

  /** Leases may have passed on meanwhile, and agents were not looked at. */
  #resume(): void {
    for (const agentId of this.reconciler.doubt()) this.#queue.bringForward(agentId);
    this.hint();
  }

  /** Of agents that run here and that the database does not know: whether they may end. It is asked again who it is. */
  async #mayEnd(gone: readonly string[]): Promise<boolean> {
    if (this.#learn(await this.#options.database.installation())) this.#resume();
    const total = new Set([...gone, ...this.reconciler.held.keys()]).size;
    return this.guard.mayRemove && this.guard.judge("replicas", gone, total);
  }

  /** After a claim whose answer was lost: whether the database thinks that this worker holds more than it knows of. */
  async #compare(): Promise<void> {
    if (this.#released) {
      const held = await this.#heartbeat();
      if (held > this.reconciler.held.size) this.#released = false;
    }
    this.#uncertain = false;
  }

  /** One heartbeat after the other. It says how much there is to claim: an idle controller needs no other call. */
  #pulse(): void {
    const { clock, leaseSeconds, pollSeconds, random } = this.#options;
    if (this.#stopped) return;
    const period = Math.min(pollSeconds, leaseSeconds / 3) * 1000;
    this.#cancelPulse = clock.after(jittered(period * 0.95, 0.05, random), () => {
      void this.#beat().finally(() => this.#pulse());
    });
  }

  async #beat(): Promise<void> {
    const { clock, log } = this.#options;
    // Before the first claim nothing is held: there is nothing to keep alive.
    if (!this.#released) return;
    try {
      const calm = () => !this.#claiming && this.#queue.size === 0;
      const calmBefore = calm();
      const held = await this.#heartbeat();
      const known = this.reconciler.held.size;
      // Numbers taken in the middle of a change say nothing; taken in calm, twice, they do.
      this.#strayBeats = calmBefore && calm() && held !== known ? this.#strayBeats + 1 : 0;
      if (this.#strayBeats < 2) return;
      log.warn("the database counts other leases than this controller knows", { held, known });
      this.#strayBeats = 0;
      if (held > known) {
        this.#released = false;
        this.hint();
      } else for (const agentId of this.reconciler.doubt()) this.#queue.bringForward(agentId);
    } catch (error) {
      this.#away = true;
      if (error instanceof DatabaseError && error.kind === "key") this.#keyRefused = true;
      const lapsed = this.#lease.lapsed(clock.now());
      log.warn("a heartbeat failed", { error: errorMessage(error), lapsed });
    }
  }

  /** @returns how many agents this worker holds, by the database's count */
  async #heartbeat(): Promise<number> {
    const { clock, database, describe, leaseSeconds, worker } = this.#options;
    const report = await describe();
    const sentAt = clock.now();
    const answer = await database.heartbeat(worker, leaseSeconds, report);
    const { held, pending, waiting, fleet, classesVersion } = answer;
    this.#waiting = waiting;
    // Before the renewal, which brings passes forward.
    const resumes = this.#learn(fleet);
    this.#renewed(sentAt);
    if (resumes) this.#resume();
    this.#classes.learn(classesVersion);
    if (pending > 0) this.hint();
    await this.#pace(fleet);
    return held;
  }

  async #pace(fleet: FleetState): Promise<void> {
    if (!this.guard.mayChange) return;
    const after = await this.#pacer.look(fleet);
    if (after === undefined) return;
    this.#learn(after);
    this.hint();
  }

  #renewed(sentAt: number): void {
    const now = this.#options.clock.now();
    const first = !this.#contacted;
    // Judged by when the answer came: the database may have taken the renewal at any time before.
    const lapsed = this.#lease.lapsed(now);
    this.#lease.renewed(sentAt, now);
    this.#contacted = true;
    this.#keyRefused = false;
    if (lapsed && !first) {
      this.#options.log.warn(
        "the lease had run out; every agent's own lease is checked before anything is done",
      );
      for (const agentId of this.reconciler.doubt()) this.#queue.bringForward(agentId);
      return;
    }
    if (!this.#away) return;
    this.#away = false;
    for (const [agentId, held] of this.reconciler.held) {
      if (held.awaitsDatabase) this.#queue.bringForward(agentId);
    }
  }

  #underWay(): number {
    let count = 0;
    for (const { desired } of this.reconciler.held.values()) {
      if (desired.generation > desired.observedGeneration) count += 1;
    }
    return count;
  }
}
