/** Health of the system and the figures of the fleet. Every figure is measured; null where nobody could. */
import { z } from "zod";
import { timestamp, userId } from "./primitives.ts";

const figure = z.number().nullable();
const count = z.int().min(0);
const permissions = z.array(z.string()).meta({ description: "The permissions in force." });

/** UNAVAILABLE: no sign of life within eight seconds. UNKNOWN: nothing here can tell. */
const componentState = z
  .enum(["HEALTHY", "DEGRADED", "UNAVAILABLE", "UNKNOWN"])
  .meta({ id: "ComponentState" });
const summary = z.enum(["HEALTHY", "DEGRADED"]);

/** GET /api/health */
export const health = z
  .object({
    status: summary.meta({ description: "DEGRADED when any component is degraded or down." }),
    timestamp,
    version: z.string(),
    user_id: userId,
    components: z.object({
      supabase: z.object({
        status: summary,
        database: z.object({
          status: componentState,
          responseTime: z.string().regex(/^\d+(\.\d+)?ms$/),
          connections: count,
          rls_active: z.boolean(),
        }),
        auth: z.object({ status: componentState, active_sessions: count, jwt_valid: z.boolean() }),
        realtime: z.object({
          status: componentState,
          active_connections: count.nullable(),
          subscriptions: count.nullable(),
        }),
        storage: z.object({ status: componentState, buckets: count, total_size: z.string() }),
        edge_functions: z.object({ status: componentState }),
      }),
      kubernetes: z.object({
        status: componentState,
        nodes: count,
        pods: count,
        message: z.string().nullable(),
        user_agents: count,
      }),
      container_registry: z.object({
        status: componentState,
        available: z.boolean().nullable(),
        last_scan: timestamp.nullable(),
      }),
    }),
    user_permissions: permissions,
  })
  .meta({ id: "Health" });

const capacity = z.object({ total: figure, used: figure, percentage: figure });

/** GET /api/system/metrics */
export const systemMetrics = z
  .object({
    system: z.object({
      totalAgents: count,
      runningAgents: count,
      failedAgents: count,
      deployments: z.object({
        successful: count,
        failed: count,
        successRate: figure.meta({ description: "Percent; of the last 30 days." }),
      }),
    }),
    resources: z.object({
      cpu: capacity.meta({ description: "Cores." }),
      memory: capacity.meta({ description: "Bytes." }),
      storage: capacity.meta({ description: "Bytes." }),
    }),
    timestamp,
  })
  .meta({ id: "SystemMetrics" });

export type Health = z.infer<typeof health>;
export type SystemMetrics = z.infer<typeof systemMetrics>;
