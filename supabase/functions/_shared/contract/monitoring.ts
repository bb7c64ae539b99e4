/** What an agent uses, and what it says. */
import { z } from "zod";
import { agentId, nextCursor, timestamp, userId } from "./primitives.ts";

const figure = z.number().nullable();
const count = z.int().min(0);
const usage = z.object({ usage: figure, limit: figure, percentage: figure });

/** A minute or an hour of the past. */
const point = z
  .object({
    timestamp,
    replicas: count,
    samples: count,
    cpu: z.object({ usage: figure, max: figure, limit: figure }),
    memory: z.object({ usage: figure, max: figure, limit: figure }),
    network: z.object({ bytesIn: figure, bytesOut: figure }),
    requests: z.object({ total: count, success: count, errors: count }),
    responseTimeMs: figure,
  })
  .meta({ id: "MetricsPoint" });

/** GET …/metrics; a figure nobody could measure is null. */
export const agentMetrics = z
  .object({
    agentId,
    user_id: userId,
    replicas: z.int().min(0).meta({ description: "Replicas that reported within two minutes." }),
    metrics: z.object({
      cpu: usage.meta({ description: "Cores." }),
      memory: usage.meta({ description: "Bytes." }),
      network: z.object({ bytesIn: figure, bytesOut: figure }),
      requests: z.object({ total: count, success: count, errors: count, rate: z.number().min(0) }),
      supabase: z.object({
        database_connections: figure,
        real_time_subscriptions: figure,
        rls_queries_per_minute: figure,
        auth_requests_per_hour: figure,
      }),
    }),
    timestamp,
    history: z
      .object({ resolution: z.enum(["minute", "hour"]), points: z.array(point) })
      .optional()
      .meta({ description: "Where the query asked for it: oldest first." }),
  })
  .meta({ id: "AgentMetrics" });

export const logLevels = ["INFO", "WARN", "ERROR", "DEBUG"] as const;
const logLevel = z.enum(logLevels).meta({ id: "LogLevel" });

const logEntry = z
  .object({
    id: z.string(),
    timestamp,
    level: logLevel,
    message: z.string(),
    source: z.string(),
    metadata: z.record(z.string(), z.unknown()),
  })
  .meta({ id: "LogEntry" });

/** GET …/logs */
export const agentLogs = z
  .object({
    agentId,
    user_id: userId,
    logs: z.array(logEntry),
    totalLines: z.int().min(0),
    truncated: z.boolean(),
    nextCursor: nextCursor.meta({
      description: "Pass it as `after` to read older lines; null where there are none.",
    }),
    real_time_available: z.boolean(),
    search: z
      .object({ scanned: count, complete: z.boolean() })
      .optional()
      .meta({ description: "How far a search for `text` looked." }),
    notice: z
      .string()
      .optional()
      .meta({ description: "Why new lines are not here: the operator sends them elsewhere." }),
  })
  .meta({ id: "AgentLogs" });

export type AgentMetrics = z.infer<typeof agentMetrics>;
export type LogEntry = z.infer<typeof logEntry>;
export type AgentLogs = z.infer<typeof agentLogs>;
