// Shapes of the SQL interface between the database and the controller (role service_role).

import { z } from "zod";

const count = z.number().int().min(0);

export const agentSpecSchema = z.object({
  name: z.string(),
  character: z.unknown(),
  plugins: z.array(z.string()).nullish(),
  platforms: z.array(z.string()).nullish(),
  framework: z.string().nullish(),
  model: z.string().nullish(),
  systemPrompt: z.string().nullish(),
  supabaseConfig: z.looseObject({ project_ref: z.string().nullish() }).nullish(),
  settings: z.unknown(),
  resources: z.object({
    memory: z.string(),
    cpu: z.string(),
    memoryBytes: z.number().positive(),
    cpuMillicores: z.number().positive(),
  }),
  scalingPolicy: z.unknown(),
  secretVersions: z.record(z.string(), z.unknown()).nullish(),
  /** The exact packages of its plugins, once they were resolved. */
  resolvedPlugins: z
    .object({
      tree: z.string(),
      engine: z.string(),
      plugins: z.array(z.object({ name: z.string(), version: z.string(), integrity: z.string().nullish() })),
    })
    .nullish(),
});

/** What a user may run at most. */
export const quotaSchema = z.object({
  maxAgents: count,
  maxReplicas: count,
  maxCpuMillicores: count,
  maxMemoryBytes: count,
});

/** What operators give agents' pods, as a pod names it. An empty text or list is as if there were none. */
export const podFieldsSchema = z.object({
  runtimeClassName: z.string().nullish(),
  priorityClassName: z.string().nullish(),
  nodeSelector: z.record(z.string(), z.string()).nullish(),
  tolerations: z.array(z.record(z.string(), z.unknown())).nullish(),
  affinity: z.record(z.string(), z.unknown()).nullish(),
  labels: z.record(z.string(), z.string()).nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
  /** `false`: the pod has users of its own (user namespaces). */
  hostUsers: z.boolean().nullish(),
});

/** What a class of users says of its pods; what is left out is the installation's. SQL judges each field. */
const podClassSchema = podFieldsSchema.extend({
  image: z.string().nullish(),
  ephemeralStorageBytes: z.number().positive().nullish(),
});

/** What operators give the agents of some users. */
export const agentClassSchema = podClassSchema.extend({
  name: z.string(),
  egress: z
    .object({
      allowCidrs: z.array(z.string()).nullish(),
      exceptCidrs: z.array(z.string()).nullish(),
      allowPrivate: z.boolean().nullish(),
      ports: z.array(z.number()).nullish(),
    })
    .nullish(),
});

/** What operators decide of an agent's pods; it counts before what this controller is set to. */
export const platformSchema = z.looseObject({
  /** Its digest. */
  id: z.string().regex(/^[0-9a-f]{16}$/),
  image: z.string().min(1),
  /** Which version's pods, where the controllers make others than before of the same settings. */
  form: z.string().optional(),
  imagePullPolicy: z.enum(["Always", "IfNotPresent", "Never"]).optional(),
  imagePullSecrets: z.array(z.string()).optional(),
  podSecurityContext: z
    .looseObject({
      runAsUser: z.number().optional(),
      runAsGroup: z.number().optional(),
      fsGroup: z.number().optional(),
      supplementalGroups: z.array(z.number()).optional(),
    })
    .optional(),
  /** Null: none. */
  caBundle: z
    .looseObject({ kind: z.enum(["Secret", "ConfigMap"]), name: z.string().min(1), key: z.string().min(1) })
    .nullish(),
  readyMs: z.number().positive().optional(),
  graceMs: z.number().positive().optional(),
  pods: podFieldsSchema.nullish(),
  /** The class of its users, as far as it shapes pods. */
  class: podClassSchema.nullish(),
});

/** All classes, and who has which, as of a version. */
export const classesSchema = z.object({
  version: count,
  classes: z.record(z.string(), agentClassSchema),
  /** Users of agents that have another class than `default`. */
  users: z.record(z.string(), z.string()),
});

export const environmentSchema = z.record(z.string(), z.string());

export const claimSchema = z.object({
  agentId: z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/),
  userId: z.string().nullish(),
  desired: z.enum(["running", "asleep", "stopped", "absent"]),
  generation: count,
  observedGeneration: count,
  revision: count.nullish(),
  restarts: count.nullish(),
  phase: z.string(),
  /** The address that the database shows. */
  url: z.string().nullish(),
  attempts: count.nullish(),
  leaseToken: z.string(),
  /** The database that gives it. */
  installation: z.string(),
  /** Why it is FAILED, where it is. */
  reason: z.string().nullish(),
  targetReplicas: count,
  timings: z.unknown(),
  quota: quotaSchema.nullish(),
  platform: platformSchema.nullish(),
  /** The class of its user, as of this version of all classes. */
  class: agentClassSchema.nullish(),
  classesVersion: count.nullish(),
  /** After how many idle seconds it falls asleep; null: never. */
  idleSeconds: count.nullish(),
  /** Who may call it at its address. */
  visibility: z.enum(["private", "public"]).nullish(),
  spec: agentSpecSchema.nullable(),
  /** Its secrets, where it wakes and this is its first claim; left out: to be asked for. */
  environment: environmentSchema.nullish(),
});

/** What must be known of a claimed row to hand it back when the rest cannot be read. */
export const claimKeySchema = z.object({ agentId: z.string(), leaseToken: z.string() });

/** How far a change of all agents' pods has come; agents are counted once. */
export const rolloutSchema = z.object({
  id: z.string(),
  state: z.enum(["running", "paused", "halted", "undone"]),
  reason: z.string().nullish(),
  image: z.string(),
  previousImage: z.string().nullish(),
  wave: count,
  waveSeconds: z.number(),
  /** Since a replica last became ready. */
  quietSeconds: z.number(),
  soakSeconds: z.number(),
  maxFailures: count,
  percent: count,
  /** A person wants to look before the rest follows. */
  canaryPauses: z.boolean(),
  total: count,
  waiting: count,
  updating: count,
  ready: count,
  /** They serve nobody for reasons of their own: stopped, scaled to nothing, FAILED before. */
  idle: count,
  failed: count,
  problem: z.string().nullish(),
  examples: z.array(z.string()),
});

/** Which database answers, and what operators want of every controller. */
export const fleetSchema = z.object({
  installation: z.string().min(1),
  /** Former databases whose objects this one takes over. */
  adopted: z.array(z.string()),
  hold: z.enum(["removals", "everything"]).nullable(),
  holdReason: z.string().nullish(),
  /** A person's word that so many things may go at once, for so long. */
  release: z.object({ removals: count, seconds: z.number() }).nullable(),
  rollout: rolloutSchema.nullish(),
});

export const heartbeatSchema = z.object({
  alive: z.boolean(),
  held: count,
  pending: count,
  /** By phase, how many seconds the oldest agent of the whole project has waited for its newest change. */
  waiting: z.record(z.string(), z.number()),
  /** Grows with each change of a class of users, or of who has which. */
  classesVersion: count.nullish(),
  /** By field, what is wrong with the settings that this controller says it makes pods of. */
  settings: z.record(z.string(), z.string()).nullish(),
  fleet: fleetSchema,
});

export const reportResultSchema = z.union([
  z.object({ accepted: z.literal(true), phase: z.string() }),
  z.object({
    accepted: z.literal(false),
    reason: z.enum(["lease_lost", "stale_generation", "transition_refused", "gone"]),
    generation: z.number().nullish(),
  }),
]);

export const sleepResultSchema = z.union([
  z.object({ asleep: z.literal(true), generation: count }),
  z.object({ asleep: z.literal(false), reason: z.string() }),
]);

/** What becomes of a request for an agent that may be asleep. */
export const wakeResultSchema = z.discriminatedUnion("state", [
  z.object({ state: z.enum(["awake", "waking"]), phase: z.string(), generation: count }),
  z.object({
    state: z.literal("refused"),
    phase: z.string().nullable(),
    generation: count.nullable(),
    /** For whoever asked, as they are. */
    status: count,
    code: z.string(),
    message: z.string(),
    details: z.unknown(),
  }),
]);

export const ingestResultSchema = z.object({ accepted: count, duplicates: count, unknown: count });
export const releasedSchema = z.object({ released: count });

export const tenantsSchema = z.object({ agents: z.array(z.string()), users: z.array(z.string()) });
export const goneSchema = tenantsSchema.extend({
  /** Those of them whose end the database has seen: stopped, deleted. The others it never heard of. */
  known: tenantsSchema,
  fleet: fleetSchema,
});

export type Quota = z.infer<typeof quotaSchema>;
/** Agents and users, by their ids. */
export type Tenants = z.infer<typeof tenantsSchema>;
export type Platform = z.infer<typeof platformSchema>;
export type Rollout = z.infer<typeof rolloutSchema>;
export type FleetState = z.infer<typeof fleetSchema>;
/** What of a cluster the database does not want any more, and which database says so. */
export type Gone = z.infer<typeof goneSchema>;
export type PodFields = z.infer<typeof podFieldsSchema>;
export type PodClass = z.infer<typeof podClassSchema>;
export type AgentClass = z.infer<typeof agentClassSchema>;
export type Classes = z.infer<typeof classesSchema>;
export type AgentSpec = z.infer<typeof agentSpecSchema>;
export type Claim = z.infer<typeof claimSchema>;
export type Heartbeat = z.infer<typeof heartbeatSchema>;
export type ReportResult = z.infer<typeof reportResultSchema>;
export type SleepResult = z.infer<typeof sleepResultSchema>;
export type WakeResult = z.infer<typeof wakeResultSchema>;
export type IngestResult = z.infer<typeof ingestResultSchema>;

export type TerminalPhase = "DEPLOYED" | "ASLEEP" | "FAILED" | "STOPPED" | "DELETED";

export interface Condition {
  type: string;
  status: "True" | "False" | "Unknown";
  reason: string;
  message: string;
  lastTransitionTime: string;
}

export interface DeploymentReport {
  phase?: "DEPLOYING" | TerminalPhase;
  currentReplicas?: number;
  readyReplicas?: number;
  url?: string;
  conditions?: Condition[];
  application?: {
    status: "HEALTHY" | "DEGRADED" | "UNHEALTHY";
    startedAt: string | null;
    responseTimeMs: number | null;
  };
  /** Without a phase: how far the one that goes on is; null: there is nothing to tell any more. */
  reason?: string | null;
  message?: string | null;
  /** What was found changed by others and is put back: told in an event. */
  corrections?: readonly string[];
  /** The platform that was applied last, and how far its replicas are. */
  platform?: PlatformReport;
}

export interface PlatformReport {
  id: string;
  /**
   * stuck: what was there before serves on, and the new replicas do not become ready. idle: nothing serves, for reasons of the
   * agent's own, or nothing is wanted.
   */
  state: "updating" | "ready" | "stuck" | "idle";
  problem?: string;
}

export interface LogRow {
  agentId: string;
  replica: string;
  /** Grows with each line of the replica; a line that is told twice has the same. */
  sequence: number;
  timestamp: string;
  level: "DEBUG" | "INFO" | "WARN" | "ERROR";
  message: string;
  source: string;
  metadata: Record<string, unknown>;
}

export interface MetricRow {
  agentId: string;
  replica: string;
  sequence: number;
  timestamp: string;
  cpuUsage: number | null;
  cpuLimit: number;
  memoryUsage: number | null;
  memoryLimit: number;
  networkIn: number | null;
  networkOut: number | null;
  requestsTotal: number | null;
  requestsSuccess: number | null;
  requestsErrors: number | null;
  requestRate: number | null;
  responseTimeMs: number | null;
}

/** The database as the controller sees it; the real one speaks HTTP, tests keep it in memory. */
export interface Database {
  claimDeployments(worker: string, maxCount: number, leaseSeconds: number): Promise<ClaimBatch>;
  heartbeat(worker: string, leaseSeconds: number, report: Record<string, unknown>): Promise<Heartbeat>;
  releaseWorker(worker: string): Promise<number>;
  reportDeployment(
    agentId: string,
    generation: number,
    leaseToken: string,
    report: DeploymentReport,
  ): Promise<ReportResult>;
  releaseDeployment(agentId: string, leaseToken: string, error?: string): Promise<void>;
  agentEnvironment(agentId: string, generation: number, leaseToken: string): Promise<Record<string, string>>;
  /** Every replica is idle for the agent's idle time: it sleeps, unless the database knows of open work. */
  sleepDeployment(agentId: string, generation: number, leaseToken: string): Promise<SleepResult>;
  /** Somebody asks for the agent at its address. Needs no lease; a thousand calls are one wake. */
  wakeDeployment(agentId: string, cause: string, credential?: string): Promise<WakeResult>;
  /** Whether a user's token lets its bearer read the agent; undefined: it does. */
  judgeToken(agentId: string, token: string): Promise<CallerRefusal | undefined>;
  classes(): Promise<Classes>;
  /** The database's own name, which marks everything made for it in a cluster, and what operators want. */
  installation(): Promise<FleetState>;
  /** Decides about the wave that was seen; another controller may have been faster. */
  advanceRollout(rollout: string, wave: number, decision: string, reason?: string): Promise<FleetState>;
  /** Of what a cluster holds, what nobody wants any more (user ids are UUIDs). */
  goneWorkloads(held: Tenants): Promise<Gone>;
  /** Rows come as finished JSON texts: what is spooled is sent as it is. */
  ingestLogs(rows: readonly string[]): Promise<IngestResult>;
  ingestMetrics(rows: readonly string[]): Promise<IngestResult>;
}

/** Why a caller is not let in, as the answer to it. */
export interface CallerRefusal {
  status: number;
  code: string;
  message: string;
}

export interface ClaimBatch {
  claims: Claim[];
  /** Rows that were claimed and cannot be understood: to be handed back, so that they block nobody. */
  unreadable: { agentId: string; leaseToken: string; problem: string }[];
}
