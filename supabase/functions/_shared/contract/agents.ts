/** What the agent verbs answer. Clients must tolerate further fields: these are what is promised. */
import { z } from "zod";
import { agentId, agentStatus, eventId, healthState, nextCursor, timestamp, userId } from "./primitives.ts";

const replicas = z.int().min(0);
const url = z
  .string()
  .nullable()
  .meta({ description: "Where the agent answers; null until it has an address." });

const visibility = z
  .enum(["private", "public"])
  .meta({ description: "Who may send messages to the agent's address." });

/** POST /api/agents */
export const launched = z
  .object({
    agentId,
    status: agentStatus,
    user_id: userId,
    createdAt: timestamp,
    estimatedDeployTime: z.string().meta({ example: "under 1 minute" }),
    supabase_integration: z.object({
      tables_created: z.boolean(),
      rls_policies_applied: z.boolean(),
      real_time_enabled: z.boolean(),
    }),
    warnings: z
      .array(z.object({ field: z.string(), message: z.string() }))
      .meta({ description: "What the definition says without effect, and why." }),
  })
  .meta({ id: "LaunchedAgent" });

const condition = z.object({
  type: z.string(),
  status: z.enum(["True", "False", "Unknown"]),
  reason: z.string().nullish(),
  message: z.string().nullish(),
  lastTransitionTime: z.string().nullish(),
});

const platform = z.object({
  name: z.string().meta({ example: "discord" }),
  plugin: z
    .string()
    .nullable()
    .meta({ description: "The plugin that serves it; null: none of the agent's does." }),
  status: z.enum(["CONNECTED", "CONNECTING", "DISCONNECTED", "UNKNOWN"]).meta({
    description: "UNKNOWN: the plugin runs and does not say whether it is connected.",
  }),
  account: z.string().nullable().meta({ description: "The bot's name there.", example: "ada#0420" }),
  message: z
    .string()
    .nullable()
    .meta({ description: "Why it is not connected, in the platform's own words." }),
  since: timestamp.nullable().meta({ description: "Since when `status` is so." }),
});

/** GET /api/agents/{agentId}/status */
export const agentStatusReport = z
  .object({
    agentId,
    name: z.string(),
    status: agentStatus,
    activity: z.enum(["idle", "thinking", "responding", "error"]),
    user_id: userId,
    visibility,
    url,
    addresses: z
      .object({
        host: z.string().nullable().meta({ description: "The same as `url`." }),
        path: z.string().nullable().meta({
          description: "The same door below the stack's own address, without a host name; null elsewhere.",
        }),
      })
      .meta({ description: "Where the agent answers. Both need a key or its owner's token." }),
    reason: z
      .string()
      .nullable()
      .meta({ description: "Why the phase is what it is, in one word.", example: "PLUGIN_NOT_FOUND" }),
    message: z.string().nullable().meta({ description: "The same, in a sentence a person can act on." }),
    conditions: z.array(condition),
    platforms: z
      .array(platform)
      .meta({ description: "The platforms that plugins serve or `platforms` names, and their connections." }),
    sleep: z
      .object({
        since: timestamp.nullable().meta({ description: "Since when it is asleep; null: it is awake." }),
        reason: z.string().nullable().meta({
          description:
            "Asleep: `IDLE` or `REQUESTED`. Awake: what kept it awake when it was last idle (`ANSWER_OPEN`, `HOLDS_CONNECTION`), or `PLUGIN_WORKS`: it is never idle.",
        }),
        wakes24h: z.int().min(0),
        lastWakeMs: z
          .int()
          .nullable()
          .meta({ description: "How long the last wake took, until a replica was ready." }),
      })
      .meta({ description: "Sleep and wake: see `idle`." }),
    generation: z.int().nullable().meta({ description: "What is wanted; null where never deployed." }),
    observedGeneration: z
      .int()
      .nullable()
      .meta({ description: "Up to which generation the cluster has followed." }),
    revision: z.int().nullable(),
    health: z.object({
      overall: healthState,
      kubernetes: z.object({
        status: healthState,
        replicas,
        readyReplicas: replicas,
        targetReplicas: replicas,
      }),
      application: z.object({
        status: healthState,
        uptime: z.string().nullable().meta({ example: "2h 15m" }),
        responseTime: z.string().nullable().meta({ example: "45ms" }),
      }),
      supabase: z.object({
        connection: healthState,
        real_time_active: z.boolean(),
        rls_policies: z.enum(["ACTIVE", "INACTIVE"]),
      }),
    }),
    supabase_config: z.object({
      project_ref: z.string().nullable(),
      tables: z.object({ conversations: z.string(), metrics: z.string(), logs: z.string() }),
    }),
    deployedAt: timestamp.nullable(),
    lastUpdated: timestamp,
  })
  .meta({ id: "AgentStatusReport" });

const summary = z
  .object({
    agentId,
    name: z.string(),
    status: agentStatus,
    user_id: userId,
    platforms: z.array(z.string()),
    supabase_integration: z.boolean(),
    createdAt: timestamp,
    url,
  })
  .meta({ id: "AgentSummary" });

/** GET /api/agents */
export const agentList = z
  .object({
    agents: z.array(summary),
    total: z.int().min(0),
    limit: z.int(),
    offset: z.int(),
    nextCursor,
    user_id: userId,
  })
  .meta({ id: "AgentList" });

/** GET /api/agents/{agentId}: the whole definition. */
export const agent = z
  .object({
    agentId,
    name: z.string(),
    description: z.string().nullable(),
    status: agentStatus,
    user_id: userId,
    url,
    role: z.string().nullable(),
    avatar: z.string().nullable(),
    framework: z.string(),
    model: z.string().nullable(),
    system_prompt: z.string().nullable(),
    settings: z.record(z.string(), z.unknown()),
    character: z.record(z.string(), z.unknown()).nullable(),
    plugins: z.array(z.string()),
    platforms: z.array(z.string()),
    resources: z.object({ memory: z.string(), cpu: z.string(), replicas }),
    scaling_policy: z.record(z.string(), z.unknown()).nullable(),
    supabase_config: z.record(z.string(), z.unknown()).nullable(),
    visibility,
    maxTokensPerDay: z.int().nullable(),
    idle: z.object({ afterSeconds: z.int() }).nullable(),
    environment: z.array(z.string()).meta({ description: "Names of the secrets." }),
    generation: z.int().nullable(),
    revision: z.int().nullable(),
    createdAt: timestamp,
    updatedAt: timestamp,
    deployedAt: timestamp.nullable(),
  })
  .meta({ id: "Agent" });

/** What every verb on a deployed agent tells. */
const change = {
  agentId,
  user_id: userId,
  status: agentStatus,
  generation: z.int().min(1).meta({ description: "Grows with every change of what is wanted." }),
  revision: z.int().min(1).meta({ description: "Which configuration is wanted." }),
  supabase_event_id: eventId,
};

/** POST …/scale */
export const scaled = z
  .object({
    ...change,
    currentReplicas: replicas,
    targetReplicas: replicas,
    scaling_event_logged: z.boolean(),
    updatedAt: timestamp,
  })
  .meta({ id: "ScaledAgent" });

/** PUT /api/agents/{agentId} */
export const updated = z
  .object({
    agentId,
    user_id: userId,
    status: agentStatus,
    changes_applied: z.record(z.string(), z.boolean()).meta({
      description: "For each part of what runs that the request named: whether it changed.",
    }),
    supabase_event_id: eventId,
    updatedAt: timestamp,
  })
  .meta({ id: "UpdatedAgent" });

/** POST …/deploy */
export const deployed = z
  .object({ ...change, message: z.string(), estimatedDeployTime: z.string(), timestamp })
  .meta({ id: "DeployedAgent" });

/** POST …/restart */
export const restarted = z
  .object({
    ...change,
    message: z.string(),
    supabase_event_logged: z.boolean(),
    real_time_notification_sent: z.boolean(),
    timestamp,
  })
  .meta({ id: "RestartedAgent" });

/** POST …/stop, …/start, …/sleep and …/wake */
export const initiated = z
  .object({ ...change, message: z.string(), timestamp })
  .meta({ id: "InitiatedChange" });

/** POST …/rollback */
export const rolledBack = z
  .object({ ...change, rolledBackTo: z.int().min(1), message: z.string(), timestamp })
  .meta({ id: "RolledBackAgent" });

/** DELETE /api/agents/{agentId} */
export const deleted = z
  .object({
    agentId,
    user_id: userId,
    status: agentStatus,
    message: z.string(),
    supabase_cleanup: z.object({
      data_retention_policy: z.string().meta({ example: "30_days" }),
      personal_data_removal: z.string().meta({ example: "immediate" }),
      audit_log_preserved: z.boolean(),
    }),
    supabase_event_id: eventId,
    timestamp,
  })
  .meta({ id: "DeletedAgent" });

export type LaunchedAgent = z.infer<typeof launched>;
export type AgentStatusReport = z.infer<typeof agentStatusReport>;
export type AgentSummary = z.infer<typeof summary>;
export type AgentList = z.infer<typeof agentList>;
export type Agent = z.infer<typeof agent>;
export type ScaledAgent = z.infer<typeof scaled>;
export type UpdatedAgent = z.infer<typeof updated>;
export type DeployedAgent = z.infer<typeof deployed>;
export type RestartedAgent = z.infer<typeof restarted>;
export type RolledBackAgent = z.infer<typeof rolledBack>;
export type InitiatedChange = z.infer<typeof initiated>;
export type DeletedAgent = z.infer<typeof deleted>;
