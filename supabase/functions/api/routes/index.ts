/** The route table: every verb of `/api`. The router and the OpenAPI document are both made from it. */
import type { Route } from "../../_shared/route.ts";
import { agentRoutes } from "./agents.ts";
import { keyRoutes } from "./keys.ts";
import { lifecycleRoutes } from "./lifecycle.ts";
import { monitoringRoutes } from "./monitoring.ts";
import { pluginRoutes } from "./plugins.ts";
import { securityRoutes } from "./security.ts";
import { systemRoutes } from "./system.ts";
import { usageRoutes } from "./usage.ts";
import { userRoutes } from "./users.ts";

export const routes: readonly Route[] = [
  ...agentRoutes,
  ...keyRoutes,
  ...lifecycleRoutes,
  ...monitoringRoutes,
  ...pluginRoutes,
  ...securityRoutes,
  ...systemRoutes,
  ...usageRoutes,
  ...userRoutes,
];
