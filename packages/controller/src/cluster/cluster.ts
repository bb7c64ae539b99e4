// The interface between the controller and whatever runs agents, with the types both sides share.

import type { AgentClass, AgentSpec, LogRow, Platform, Quota } from "../contract.ts";

/**
 * What runs agents. Small on purpose: the controller says what should run (`apply`, `revert`, `remove`), the cluster
 * makes it so on its own, without a gap, and tells (`watch`) when something changed.
 */
export interface Cluster {
  readonly kind: string;
  /**
   * Workloads live on without this controller, and another one carries on with them: what it holds no longer, it
   * leaves alone. Otherwise they are its own children, and end with its lease.
   */
  readonly outlives: boolean;
  /** An agent's secrets stay in the cluster while it sleeps: {@link Cluster.sleep} needs them. Otherwise they are not read for it. */
  readonly sleepsWithSecrets: boolean;
  /** Takes over what an earlier controller left behind: adopted or ended, never doubled. */
  start(): Promise<void>;
  /** Ends what must not outlive the controller. */
  stop(): Promise<void>;
  /**
   * Makes the agent's workload this one. Idempotent by generation; returns when accepted, not when ready.
   * @throws {Error} when the cluster cannot take it now; it may be tried again
   */
  apply(workload: Workload): Promise<void>;
  /**
   * Gives up on the workload: goes back to the last one that was complete, or, where there is none, keeps only the
   * replicas that are ready. The failure is remembered for this generation, so that nothing tries again on its own.
   */
  revert(workload: Workload, failure: Failure): Promise<void>;
  /**
   * Reads again what {@link Cluster.get} tells of the agent, where that may be behind what there is.
   * @throws {Error} when it cannot be read now
   */
  refresh?(agentId: string): Promise<void>;
  /**
   * Ends every replica after its open requests, and keeps everything else of the agent: a request to its address is held
   * by a controller, which wakes it. Idempotent. {@link apply} of a later generation brings replicas back.
   */
  sleep(workload: Workload): Promise<void>;
  /** Ends every replica; `keep` = stopped, may come back; otherwise everything of the agent goes. Idempotent. */
  remove(agentId: string, keep: boolean): Promise<void>;
  /** What there is of the agent; undefined when there is nothing at all. */
  get(agentId: string): Promise<ObservedWorkload | undefined>;
  /** The agents of which there is something. */
  list(): Promise<string[]>;
  watch(listener: (agentId: string) => void): void;
  logs(listener: (line: ReplicaLog) => void): void;
  /** One sample per running replica, taken now. */
  metrics(): Promise<ReplicaSample[]>;
  /** Whether the cluster itself works, and how large it is. */
  probe(): Promise<ClusterHealth>;
  /** Writes down that this database owns what is here, where single objects do not say so. */
  mark?(databaseId: string): Promise<void>;
  /** Writes down what concerns all agents (a brake, a hold, a rollout) where the cluster's operators look. Never fails. */
  note?(note: FleetNote): void;
}

/** What a controller did for all agents together. */
export interface FleetNote {
  type: "Normal" | "Warning";
  /** One word for machines: `RemovalsStopped`. */
  reason: string;
  /** What was done or tried: `Remove`. */
  action: string;
  /** A sentence for people, without secrets. */
  text: string;
}

export interface Workload {
  agentId: string;
  /** Whose it is; null where the database no longer tells. */
  userId: string | null;
  /** What this user may run at most; null = not known, then nothing is bounded. */
  quota: Quota | null;
  /** What operators give the pods of this user's agents; null = what the installation gives all. */
  class: AgentClass | null;
  generation: number;
  revision: number;
  /** Fingerprint of all that a replica is started with: same template, same replica. */
  template: string;
  replicas: number;
  /** It sleeps: it has no replicas, and its address leads to the controllers. */
  asleep?: boolean;
  spec: AgentSpec;
  /** Where its plugins, and elizaOS, are installed on this machine; left out: where the runtime looks on its own. */
  pluginFolder?: string | undefined;
  /** What operators decide of its replicas; left out: what this controller is set to. */
  platform?: Platform | undefined;
  environment: Record<string, string>;
}

export interface Failure {
  reason: string;
  message: string;
}

/** The place where an agent lives is being deleted, and does not go. */
export const TERMINATING = "NamespaceTerminating";

/**
 * Reasons of a generation that was refused as it is: by a rule of the cluster that its operators may change, or a quota that
 * others use up. It is tried again now and then; what failed on its own is not.
 */
export const REFUSALS: ReadonlySet<string> = new Set([
  "INVALID_OBJECT",
  "QUOTA_EXCEEDED",
  "FORBIDDEN_BY_POLICY",
  TERMINATING,
]);

/** What keeps something from coming up, in words a person can act on. */
export interface Hindrance extends Failure {
  /** Waiting cannot help: a person must change something. */
  fatal: boolean;
}

export type ReplicaState =
  /** A process is up, not ready yet. */
  | "starting"
  | "ready"
  /** Was ready, now refuses or does not answer. */
  | "unready"
  /** Ended on its own; waits for its next start. */
  | "waiting"
  /** Is being ended, on purpose. */
  | "ending";

/** How many replicas are not what they should be. */
export interface Hindered {
  outdated: number;
  /** By the reason that keeps them from becoming ready. */
  blocked: ReadonlyMap<string, number>;
}

export interface ReplicaExit {
  code: number | null;
  signal: string | null;
  /** CRASHED, OOMKilled, UNHEALTHY, NEVER_READY, SPAWN_FAILED, or the runtime's own reason. */
  reason: string;
  message: string;
  at: number;
  /** Starting again cannot help. */
  fatal: boolean;
}

export interface ObservedReplica {
  name: string;
  template: string;
  /** The id of its platform, where it has one. */
  platform?: string;
  state: ReplicaState;
  /** Exits in a row since the last stable life. */
  failures: number;
  exit?: ReplicaExit;
  /** Why it does not come up now: its image, no room for it, its configuration. */
  blocked?: Hindrance;
  startedAt: number;
  health?: { status: "ok" | "degraded"; responseTimeMs: number };
}

/** Whether what stands in front of the agents serves this one, where it tells. */
export interface Exposure {
  status: "True" | "False" | "Unknown";
  reason: string;
  message: string;
}

export interface ObservedWorkload {
  agentId: string;
  /** The generation applied last; 0 when none was. */
  generation: number;
  template: string;
  /** The id of the platform that was applied last, where the cluster knows of such. */
  platform?: string;
  /** What was tried last of platforms and refused for good, while the generation itself is in place; and when it is tried again. */
  refusedPlatform?: { id: string; failure: Failure; retryAt: number };
  /** How many replicas the cluster works towards. */
  wanted: number;
  failure?: Failure;
  /** When the generation is tried again on its own, where its failure is a refusal that may pass. */
  retryAt?: number;
  /**
   * What somebody else changed or removed of what was applied, in words a person understands; it is applied again and
   * told in an event. Left out or empty: everything is as it was applied.
   */
  drift?: readonly string[];
  /** Why replicas that are wanted are not even made: a quota, a namespace that is being deleted. */
  blocked?: Hindrance;
  /** It was put to sleep: nothing starts replicas, and its address leads to a controller. */
  asleep?: boolean;
  /** Nothing is left of it, and {@link blocked} says why it cannot be made again. */
  gone?: boolean;
  exposure?: Exposure;
  /** A person keeps the controller's hands off it: it is watched, and nothing of it is changed. */
  paused?: boolean;
  replicas: ObservedReplica[];
  /** When the rollout began or last came forward. */
  progressedAt: number;
}

/** A line that a replica wrote, in the form in which the database stores it. */
export type ReplicaLog = LogRow;

export interface ReplicaSample {
  agentId: string;
  replica: string;
  cpuLimit: number;
  memoryLimit: number;
  /** CPU seconds used since the process began; null where the system does not tell. */
  cpuSeconds: number | null;
  /** Cores in use of late, where the system tells that itself; it counts before what follows from {@link cpuSeconds}. */
  cpuRate?: number;
  memoryBytes: number | null;
  networkIn: number | null;
  networkOut: number | null;
  /** Which process life the counters belong to: they begin again with each. */
  life: string;
  /** When that life began. */
  startedAt: number;
  requests: { total: number; success: number; errors: number; seconds: number } | null;
  /** How long it has had no work at all; 0: it works. Null: it does not tell, which counts as work. */
  idleSeconds: number | null;
}

export interface ClusterHealth {
  healthy: boolean;
  message?: string;
  /** nodes, replicas, and {total, used} of cpu (cores), memory and storage (bytes): what GET /api/system/metrics adds up. */
  capacity: Record<string, unknown>;
  /** The registry that images come from, where the cluster pulls any. */
  registry?: { status: "HEALTHY" | "DEGRADED" | "UNKNOWN"; message?: string };
}
