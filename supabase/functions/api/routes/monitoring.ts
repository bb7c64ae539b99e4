/** Monitoring: what an agent uses and says. */
import { agentLogs, agentMetrics, logsQuery, metricsQuery } from "../../_shared/contract/index.ts";
import { path, query, type Route } from "../../_shared/route.ts";

const agent_id = path("agentId");

export const monitoringRoutes: readonly Route[] = [
  {
    operationId: "getAgentMetrics",
    method: "GET",
    path: "/agents/{agentId}/metrics",
    tag: "Monitoring",
    summary: "Read the latest figures of an agent, over all replicas",
    description: "With `range` or `resolution` also what was, by the minute or the hour.",
    rpc: "get_agent_metrics",
    args: { agent_id, range: query("range"), resolution: query("resolution") },
    query: metricsQuery,
    success: {
      status: 200,
      schema: agentMetrics,
      description: "Figures; null where it could not be measured.",
    },
    errors: ["AGENT_NOT_FOUND"],
  },
  {
    operationId: "getAgentLogs",
    method: "GET",
    path: "/agents/{agentId}/logs",
    tag: "Monitoring",
    summary: "Read an agent's latest log lines",
    rpc: "get_agent_logs",
    args: {
      agent_id,
      lines: query("lines"),
      since: query("since"),
      level: query("level"),
      text: query("text"),
      after: query("after"),
    },
    query: logsQuery,
    success: { status: 200, schema: agentLogs, description: "Log lines, oldest first." },
    errors: ["AGENT_NOT_FOUND"],
  },
];
