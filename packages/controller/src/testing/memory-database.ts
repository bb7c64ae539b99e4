// Models the database's controller interface in memory.

import type { Clock } from "../clock.ts";
import type {
  AgentClass,
  AgentSpec,
  CallerRefusal,
  Claim,
  ClaimBatch,
  Classes,
  Condition,
  Database,
  DeploymentReport,
  FleetState,
  Gone,
  Heartbeat,
  IngestResult,
  Platform,
  PlatformReport,
  ReportResult,
  SleepResult,
  Tenants,
  WakeResult,
} from "../contract.ts";
import { type Announcement, MemoryRollouts } from "./memory-rollouts.ts";

/** A deployment row of the model. */
export interface Row {
  agentId: string;
  userId: string;
  desired: "running" | "asleep" | "stopped" | "absent";
  generation: number;
  observedGeneration: number;
  revision: number;
  restarts: number;
  phase: string;
  targetReplicas: number;
  currentReplicas: number;
  readyReplicas: number;
  conditions: Condition[];
  application: DeploymentReport["application"];
  reason: string | undefined;
  message: string | undefined;
  spec: AgentSpec;
  idleSeconds: number | undefined;
  /** Answers that the database knows to be open. */
  openAnswers: number;
  platform: Platform | undefined;
  platformSeen: PlatformReport | undefined;
  /** When its replicas first were ready with it. */
  platformAt: number;
  /** The rollout that gave it the platform. */
  rollout: string | undefined;
  /** When its owner last asked for something. */
  changedAt: number;
  holder: string | undefined;
  leaseToken: string | undefined;
  attempts: number;
  nextAttemptAt: number;
  lastError: string | undefined;
}

/** The allowed transitions, as the schema holds them. */
const FROM: Record<string, string[]> = {
  DEPLOYING: ["QUEUED", "STOPPED", "FAILED", "DEPLOYING"],
  DEPLOYED: ["DEPLOYING", "DEPLOYED", "SCALING", "UPDATING", "RESTARTING", "WAKING"],
  ASLEEP: ["SLEEPING", "ASLEEP"],
  FAILED: ["QUEUED", "DEPLOYING", "DEPLOYED", "SCALING", "UPDATING", "RESTARTING", "WAKING", "FAILED"],
  STOPPED: ["STOPPING", "STOPPED"],
  DELETED: ["DELETING", "DELETED"],
};

/** Phases in which an owner may put an agent to sleep. */
const MAY_SLEEP = new Set(["DEPLOYED", "SCALING", "UPDATING", "RESTARTING"]);

/** A model of the SQL interface in memory: leases, generations and refusals as the contract says them. */
export class MemoryDatabase implements Database {
  readonly rows = new Map<string, Row>();
  readonly logs = new Map<string, string>();
  readonly metrics = new Map<string, string>();
  readonly environments = new Map<string, Record<string, string>>();
  /** Wakes whose secrets went with a claim. */
  readonly #given = new Set<string>();
  /** Every accepted phase, in order, as `agent:generation:phase`. */
  readonly transitions: string[] = [];
  readonly calls = new Map<string, number>();
  /** What was told of others' changes, as `agent: what`. */
  readonly corrections: string[] = [];
  /** Classes of users by name, and who has which; see {@link setClass} and {@link assign}. */
  readonly agentClasses = new Map<string, AgentClass>([["default", { name: "default" }]]);
  readonly userClasses = new Map<string, string>();
  #classesVersion = 1;
  /** Which database it is. */
  id: string;
  /** What operators want. */
  readonly fleet: Omit<FleetState, "installation" | "rollout"> = {
    adopted: [],
    hold: null,
    holdReason: null,
    release: null,
  };
  readonly rollouts: MemoryRollouts;
  readonly #clock: Clock;
  readonly #heartbeats = new Map<string, { at: number; lease: number }>();
  readonly #announced = new Map<string, Announcement | undefined>();
  #tokens = 0;

  /** What is wrong with the settings that controllers tell, by field. */
  settings: Record<string, string> = {};

  constructor(clock: Clock, id = "simulated") {
    this.#clock = clock;
    this.id = id;
    this.rollouts = new MemoryRollouts(clock, this.rows);
  }

  /** As it is now, as a backup of it would be; leases and all. */
  copy(id = this.id): MemoryDatabase {
    const copy = new MemoryDatabase(this.#clock, id);
    for (const [agentId, row] of this.rows) copy.rows.set(agentId, structuredClone(row));
    for (const [name, one] of this.agentClasses) copy.agentClasses.set(name, structuredClone(one));
    for (const [userId, name] of this.userClasses) copy.userClasses.set(userId, name);
    copy.#classesVersion = this.#classesVersion;
    for (const [agentId, environment] of this.environments)
      copy.environments.set(agentId, { ...environment });
    return copy;
  }

  // What operators ask for.

  /** Creates or replaces a class of users. */
  setClass(name: string, value: Omit<AgentClass, "name">): void {
    this.agentClasses.set(name, { ...value, name });
    this.#classesVersion += 1;
  }

  /** Gives a user a class. */
  assign(userId: string, name: string): void {
    this.userClasses.set(userId, name);
    this.#classesVersion += 1;
  }

  // What users ask for.

  launch(agentId: string, spec: AgentSpec, replicas = 1, userId = "user"): void {
    this.rows.set(agentId, {
      agentId,
      userId,
      desired: "running",
      generation: 1,
      observedGeneration: 0,
      revision: 1,
      restarts: 0,
      phase: "QUEUED",
      targetReplicas: replicas,
      currentReplicas: 0,
      readyReplicas: 0,
      conditions: [],
      application: undefined,
      reason: undefined,
      message: undefined,
      spec,
      idleSeconds: undefined,
      openAnswers: 0,
      platform: this.rollouts.stable,
      platformSeen: undefined,
      platformAt: Number.NEGATIVE_INFINITY,
      rollout: undefined,
      changedAt: this.#clock.now(),
      holder: undefined,
      leaseToken: undefined,
      attempts: 0,
      nextAttemptAt: 0,
      lastError: undefined,
    });
  }

  /** How long the agent may be idle before it falls asleep. */
  setIdle(agentId: string, seconds: number | undefined): void {
    this.#change(agentId, "SCALING", (row) => {
      row.idleSeconds = seconds;
    });
  }

  /** By its owner; what works is not put to sleep. */
  sleep(agentId: string): boolean {
    const row = this.row(agentId);
    if (row.desired !== "running" || !MAY_SLEEP.has(row.phase) || row.openAnswers > 0) return false;
    row.desired = "asleep";
    this.#renew(row, "SLEEPING");
    return true;
  }

  /** By its owner or by a message. A stopped one stays stopped. */
  wake(agentId: string): void {
    const row = this.row(agentId);
    if (row.desired !== "asleep") return;
    row.desired = "running";
    this.#renew(row, "WAKING");
  }

  scale(agentId: string, replicas: number): void {
    this.#change(agentId, "SCALING", (row) => {
      row.targetReplicas = replicas;
    });
  }

  update(agentId: string, spec: Partial<AgentSpec>): void {
    this.#change(agentId, "UPDATING", (row) => {
      row.spec = { ...row.spec, ...spec };
      row.revision += 1;
    });
  }

  restart(agentId: string): void {
    this.#change(agentId, "RESTARTING", (row) => {
      row.restarts += 1;
    });
  }

  stop(agentId: string): void {
    this.#change(agentId, "STOPPING", (row) => {
      row.desired = "stopped";
    });
  }

  startAgain(agentId: string): void {
    this.#change(agentId, "STOPPED", (row) => {
      row.desired = "running";
    });
  }

  delete(agentId: string): void {
    this.#change(agentId, "DELETING", (row) => {
      row.desired = "absent";
    });
  }

  #change(agentId: string, phase: string, change: (row: Row) => void): void {
    const row = this.row(agentId);
    if (row.desired === "absent") return;
    if (row.desired === "stopped" && phase !== "DELETING" && phase !== "STOPPED") return;
    if (row.desired === "running" && phase === "STOPPED") return;
    // A sleeper takes changes for its next wake; a restart, a start wakes it.
    const asleep = row.desired === "asleep";
    change(row);
    if (asleep && (phase === "SCALING" || phase === "UPDATING")) this.#renew(row, row.phase);
    else if (asleep && phase === "RESTARTING") {
      row.desired = "running";
      this.#renew(row, "WAKING");
    } else this.#renew(row, asleep && phase === "STOPPED" ? "WAKING" : phase);
  }

  #renew(row: Row, phase: string): void {
    row.changedAt = this.#clock.now();
    row.generation += 1;
    row.phase = phase;
    row.attempts = 0;
    row.nextAttemptAt = 0;
  }

  row(agentId: string): Row {
    const row = this.rows.get(agentId);
    if (row === undefined) throw new Error(`no row of ${agentId}`);
    return row;
  }

  // What the controller calls.

  async claimDeployments(worker: string, maxCount: number, leaseSeconds: number): Promise<ClaimBatch> {
    this.#count("claim_deployments");
    this.#beat(worker, leaseSeconds);
    const claims: Claim[] = [];
    for (const row of this.rows.values()) {
      if (claims.length >= maxCount) break;
      const claimable = this.#claimable(row, worker);
      if (claimable === "no") continue;
      if (claimable === "new") {
        this.#tokens += 1;
        row.holder = worker;
        row.leaseToken = `token-${this.#tokens}`;
      }
      claims.push({ ...this.#claim(row), ...this.#environmentOfWoken(row) });
    }
    return structuredClone({ claims, unreadable: [] });
  }

  async heartbeat(worker: string, leaseSeconds: number, report: Record<string, unknown>): Promise<Heartbeat> {
    this.#count("heartbeat_controller");
    this.#beat(worker, leaseSeconds);
    this.#announced.set(worker, report.platform as Announcement | undefined);
    this.rollouts.hear(
      [...this.#announced].flatMap(([one, said]) => (said !== undefined && this.#alive(one) ? [said] : [])),
    );
    const rows = [...this.rows.values()];
    return {
      alive: true,
      held: rows.filter((row) => row.holder === worker).length,
      pending: rows.filter((row) => this.#claimable(row, worker) !== "no").length,
      waiting: {},
      classesVersion: this.#classesVersion,
      settings: this.settings,
      fleet: this.#fleet(),
    };
  }

  async releaseWorker(worker: string): Promise<number> {
    this.#count("release_worker");
    let released = 0;
    for (const row of this.rows.values()) {
      if (row.holder !== worker) continue;
      row.holder = undefined;
      row.leaseToken = undefined;
      released += 1;
    }
    return released;
  }

  async reportDeployment(
    agentId: string,
    generation: number,
    leaseToken: string,
    report: DeploymentReport,
  ): Promise<ReportResult> {
    this.#count("report_deployment");
    const row = this.rows.get(agentId);
    if (row === undefined || row.phase === "DELETED")
      return { accepted: false, reason: "gone", generation: 0 };
    if (!this.#holds(row, leaseToken)) {
      return { accepted: false, reason: "lease_lost", generation: row.generation };
    }
    if (row.generation !== generation) {
      return { accepted: false, reason: "stale_generation", generation: row.generation };
    }
    if (report.phase !== undefined && report.phase !== row.phase) {
      if (!FROM[report.phase]?.includes(row.phase)) {
        return { accepted: false, reason: "transition_refused", generation: row.generation };
      }
      this.transitions.push(`${agentId}:${generation}:${report.phase}`);
      row.phase = report.phase;
    }
    if (report.phase !== undefined && report.phase !== "DEPLOYING") {
      row.observedGeneration = generation;
      row.attempts = 0;
    }
    if (report.phase === "DELETED") {
      row.holder = undefined;
      row.leaseToken = undefined;
    }
    if (report.phase !== undefined || report.reason !== undefined) {
      row.reason = report.reason ?? undefined;
      row.message = report.message ?? undefined;
    }
    if (report.platform !== undefined) {
      if (report.platform.id !== row.platformSeen?.id) row.platformAt = Number.NEGATIVE_INFINITY;
      if (report.platform.state === "ready" && row.platformAt === Number.NEGATIVE_INFINITY)
        row.platformAt = this.#clock.now();
      row.platformSeen = report.platform;
    }
    for (const what of report.corrections ?? []) this.corrections.push(`${agentId}: ${what}`);
    row.currentReplicas = report.currentReplicas ?? row.currentReplicas;
    row.readyReplicas = report.readyReplicas ?? row.readyReplicas;
    row.conditions = report.conditions ?? row.conditions;
    row.application = report.application ?? row.application;
    return { accepted: true, phase: row.phase };
  }

  async releaseDeployment(agentId: string, leaseToken: string, error?: string): Promise<void> {
    this.#count("release_deployment");
    const row = this.rows.get(agentId);
    if (row === undefined || row.leaseToken !== leaseToken) return;
    row.holder = undefined;
    row.leaseToken = undefined;
    if (error !== undefined) {
      row.attempts += 1;
      row.lastError = error;
      row.nextAttemptAt = this.#clock.now() + Math.min(300_000, 1000 * 3 ** (row.attempts - 1));
    }
  }

  async agentEnvironment(
    agentId: string,
    _generation: number,
    leaseToken: string,
  ): Promise<Record<string, string>> {
    this.#count("agent_environment");
    const row = this.rows.get(agentId);
    if (row === undefined || !this.#holds(row, leaseToken)) throw new Error("42501 the lease is not yours");
    return { ...this.environments.get(agentId) };
  }

  async sleepDeployment(agentId: string, generation: number, leaseToken: string): Promise<SleepResult> {
    this.#count("sleep_deployment");
    const row = this.rows.get(agentId);
    if (row === undefined || row.phase === "DELETED") return { asleep: false, reason: "GONE" };
    if (!this.#holds(row, leaseToken)) return { asleep: false, reason: "LEASE_LOST" };
    if (row.idleSeconds === undefined) return { asleep: false, reason: "OFF" };
    if (row.openAnswers > 0) return { asleep: false, reason: "ANSWER_OPEN" };
    const settled = row.generation === generation && row.observedGeneration === generation;
    if (!settled || row.phase !== "DEPLOYED" || !this.sleep(agentId))
      return { asleep: false, reason: "BUSY" };
    this.transitions.push(`${agentId}:${row.generation}:SLEEPING`);
    return { asleep: true, generation: row.generation };
  }

  /** The token `owner` is the owner's of every agent. */
  async judgeToken(_agentId: string, token: string): Promise<CallerRefusal | undefined> {
    this.#count("judge_caller");
    if (token === "owner") return undefined;
    return { status: 401, code: "INVALID_API_KEY", message: "The token is missing, invalid or expired" };
  }

  /** Every agent is private. */
  async wakeDeployment(agentId: string, cause = "request"): Promise<WakeResult> {
    this.#count("wake_deployment");
    const row = this.rows.get(agentId);
    const refused = (status: number, code: string, message: string): WakeResult => ({
      state: "refused",
      phase: row?.phase ?? null,
      generation: row?.generation ?? null,
      status,
      code,
      message,
      details: null,
    });
    if (row === undefined || row.desired === "absent")
      return refused(404, "AGENT_NOT_FOUND", "No such agent.");
    if (row.desired === "stopped") return refused(409, "CONFLICT", "This agent is stopped.");
    if (row.desired === "asleep" && cause === "anonymous")
      return refused(401, "INVALID_API_KEY", "Send a key of this agent.");
    this.wake(agentId);
    if (row.phase === "FAILED" && row.readyReplicas === 0)
      return refused(500, "DEPLOYMENT_FAILED", row.message ?? "It failed.");
    const { generation, phase } = row;
    return { state: phase === "WAKING" ? "waking" : "awake", phase, generation };
  }

  async classes(): Promise<Classes> {
    this.#count("controller_classes");
    return structuredClone({
      version: this.#classesVersion,
      classes: Object.fromEntries(this.agentClasses),
      users: Object.fromEntries([...this.userClasses].filter(([, name]) => name !== "default")),
    });
  }

  async installation(): Promise<FleetState> {
    this.#count("controller_installation");
    return this.#fleet();
  }

  #fleet(): FleetState {
    return structuredClone({ installation: this.id, ...this.fleet, rollout: this.rollouts.state });
  }

  async advanceRollout(
    rollout: string,
    wave: number,
    decision: string,
    reason?: string,
  ): Promise<FleetState> {
    this.#count("advance_rollout");
    this.rollouts.advance(rollout, wave, decision, reason);
    return this.#fleet();
  }

  async goneWorkloads(held: Tenants): Promise<Gone> {
    this.#count("gone_workloads");
    const known = (agentId: string) => {
      const row = this.rows.get(agentId);
      if (row === undefined || row.phase === "DELETED") return false;
      const stopped = row.phase === "STOPPED" && row.desired === "stopped";
      return !stopped || row.observedGeneration < row.generation || row.holder !== undefined;
    };
    const rows = [...this.rows.values()].filter(({ phase }) => phase !== "DELETED");
    const users = new Set(rows.map(({ userId }) => userId));
    return {
      agents: held.agents.filter((agentId) => !known(agentId)),
      users: held.users.filter((userId) => !users.has(userId)),
      known: {
        agents: held.agents.filter((agentId) => {
          const row = this.rows.get(agentId);
          return row !== undefined && (row.phase === "DELETED" || row.desired === "stopped");
        }),
        users: held.users.filter((userId) => [...this.rows.values()].some((row) => row.userId === userId)),
      },
      fleet: this.#fleet(),
    };
  }

  async ingestLogs(rows: readonly string[]): Promise<IngestResult> {
    this.#count("ingest_log_lines");
    return this.#ingest(this.logs, rows);
  }

  async ingestMetrics(rows: readonly string[]): Promise<IngestResult> {
    this.#count("ingest_agent_metrics");
    return this.#ingest(this.metrics, rows);
  }

  #ingest(into: Map<string, string>, rows: readonly string[]): IngestResult {
    let duplicates = 0;
    for (const text of rows) {
      const row = JSON.parse(text) as { agentId: string; replica: string; sequence: number };
      const key = `${row.agentId}/${row.replica}/${row.sequence}`;
      if (into.has(key)) duplicates += 1;
      into.set(key, text);
    }
    return { accepted: rows.length - duplicates, duplicates, unknown: 0 };
  }

  #claimable(row: Row, worker: string): "no" | "same" | "new" {
    if (row.phase === "DELETED") return "no";
    if (row.nextAttemptAt > this.#clock.now()) return "no";
    const pending = row.generation > row.observedGeneration;
    const lives = row.desired === "running" || row.desired === "asleep";
    const outdated = row.desired === "running" && row.platform?.id !== row.platformSeen?.id;
    if (row.holder === worker) return pending || outdated ? "same" : "no";
    if (row.holder !== undefined && this.#alive(row.holder)) return "no";
    return pending || lives ? "new" : "no";
  }

  /** The secrets go with the first claim of a wake alone. */
  #environmentOfWoken(row: Row): Pick<Claim, "environment"> {
    const key = `${row.agentId} ${row.generation} ${row.leaseToken}`;
    if (row.phase !== "WAKING" || row.desired !== "running" || this.#given.has(key)) return {};
    this.#given.add(key);
    return { environment: { ...this.environments.get(row.agentId) } };
  }

  #claim(row: Row): Claim {
    return {
      agentId: row.agentId,
      userId: row.userId,
      installation: this.id,
      reason: row.phase === "FAILED" ? row.reason : null,
      desired: row.desired,
      generation: row.generation,
      observedGeneration: row.observedGeneration,
      revision: row.revision,
      restarts: row.restarts,
      phase: row.phase,
      attempts: row.attempts,
      leaseToken: row.leaseToken ?? "",
      targetReplicas: row.targetReplicas,
      timings: {},
      platform: row.platform ?? null,
      class: this.agentClasses.get(this.userClasses.get(row.userId) ?? "default") ?? null,
      classesVersion: this.#classesVersion,
      idleSeconds: row.idleSeconds ?? null,
      spec: row.desired === "absent" ? null : row.spec,
    };
  }

  #holds(row: Row, leaseToken: string): boolean {
    return row.holder !== undefined && row.leaseToken === leaseToken && this.#alive(row.holder);
  }

  #alive(worker: string): boolean {
    const beat = this.#heartbeats.get(worker);
    return beat !== undefined && this.#clock.now() - beat.at < beat.lease;
  }

  #beat(worker: string, leaseSeconds: number): void {
    this.#heartbeats.set(worker, { at: this.#clock.now(), lease: leaseSeconds * 1000 });
  }

  #count(name: string): void {
    this.calls.set(name, (this.calls.get(name) ?? 0) + 1);
  }
}

/** A spec for tests. */
export function specOf(part: Partial<AgentSpec> = {}): AgentSpec {
  return {
    name: "test",
    character: {},
    plugins: [],
    platforms: [],
    framework: "model",
    model: null,
    systemPrompt: null,
    settings: {},
    resources: { memory: "256Mi", cpu: "500m", memoryBytes: 256 * 1024 * 1024, cpuMillicores: 500 },
    scalingPolicy: null,
    secretVersions: {},
    ...part,
  };
}
