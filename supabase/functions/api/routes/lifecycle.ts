/** Lifecycle: what is wanted of a deployed agent. None of these waits for the cluster. */
import type { z } from "zod";
import {
  allStopped,
  deployed,
  type ErrorCode,
  emptyRequest,
  initiated,
  noQuery,
  restarted,
  rollbackRequest,
  rolledBack,
  scaled,
  scaleRequest,
} from "../../_shared/contract/index.ts";
import { body, bodyField, path, type Route } from "../../_shared/route.ts";

const agent_id = path("agentId");

/** A POST on one agent: recorded and on its way. */
function verb(
  name: string,
  rpc: string,
  summary: string,
  schema: z.ZodType,
  errors: readonly ErrorCode[],
  over: Partial<Route> = {},
): Route {
  return {
    operationId: `${name}Agent`,
    method: "POST",
    path: `/agents/{agentId}/${name}`,
    tag: "Lifecycle",
    summary,
    rpc,
    args: { agent_id },
    query: noQuery,
    body: { schema: emptyRequest, required: false },
    success: { status: 202, schema, description: "The change is recorded and on its way." },
    errors: ["AGENT_NOT_FOUND", "CONFLICT", ...errors],
    ...over,
  };
}

const quota: readonly ErrorCode[] = ["RESOURCE_LIMIT_EXCEEDED"];
const gated: readonly ErrorCode[] = [...quota, "SECURITY_SCAN_FAILED"];

export const lifecycleRoutes: readonly Route[] = [
  verb(
    "deploy",
    "deploy_agent",
    "Deploy a definition, or deploy again after STOPPED or FAILED",
    deployed,
    gated,
  ),
  verb("scale", "scale_agent", "Set the number of replicas and the scaling policy", scaled, quota, {
    args: { agent_id, scale: body },
    body: {
      schema: scaleRequest,
      required: true,
      example: { replicas: 2, scaling_policy: { min_replicas: 1, max_replicas: 5, target_cpu: 70 } },
    },
  }),
  verb("restart", "restart_agent", "Replace every replica, without a gap", restarted, []),
  verb("stop", "stop_agent", "Stop every replica; the agent can be started again", initiated, []),
  verb("start", "start_agent", "Start a stopped agent", initiated, gated),
  verb(
    "sleep",
    "sleep_agent",
    "End every replica until a request, a message or a call of wake",
    initiated,
    [],
  ),
  verb("wake", "wake_agent", "Wake an agent that is asleep", initiated, [
    "BUDGET_EXHAUSTED",
    "PLUGIN_NOT_ALLOWED",
    ...gated,
  ]),
  verb(
    "rollback",
    "rollback_agent",
    "Run an earlier revision again, as a new revision",
    rolledBack,
    ["NOT_FOUND", ...gated],
    {
      args: { agent_id, revision: bodyField("revision") },
      body: { schema: rollbackRequest, required: false, example: {} },
    },
  ),
  verb("stop-all", "stop_all_agents", "Stop every agent of the caller: the kill switch", allStopped, [], {
    operationId: "stopAllAgents",
    path: "/agents/stop-all",
    args: {},
    errors: [],
  }),
];
