/** The system as a whole: health, and the figures of the fleet. */
import { health, noQuery, systemMetrics } from "../../_shared/contract/index.ts";
import type { Route } from "../../_shared/route.ts";

export const systemRoutes: readonly Route[] = [
  {
    operationId: "getHealth",
    method: "GET",
    path: "/health",
    tag: "System",
    summary: "Read the health of every component",
    description:
      "200 whatever the health is; read `status`. A component that is down shows within ten seconds.",
    rpc: "get_health",
    args: {},
    query: noQuery,
    success: { status: 200, schema: health, description: "Health, measured now." },
    errors: [],
  },
  {
    operationId: "getSystemMetrics",
    method: "GET",
    path: "/system/metrics",
    tag: "System",
    summary: "Read the figures of the fleet and the capacity of its cluster",
    rpc: "get_system_metrics",
    args: {},
    query: noQuery,
    success: {
      status: 200,
      schema: systemMetrics,
      description: "Figures; null where it could not be measured.",
    },
    errors: [],
  },
];
