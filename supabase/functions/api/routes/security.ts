/** Security: what happened, and what is wrong. */
import {
  emptyRequest,
  noQuery,
  securityEvents,
  securityEventsQuery,
  securityScan,
} from "../../_shared/contract/index.ts";
import { path, query, type Route } from "../../_shared/route.ts";

export const securityRoutes: readonly Route[] = [
  {
    operationId: "listSecurityEvents",
    method: "GET",
    path: "/security/events",
    tag: "Security",
    summary: "List the caller's security events, newest first",
    rpc: "list_security_events",
    args: {
      limit: query("limit"),
      severity: query("severity"),
      event_type: query("event_type"),
      since: query("since"),
      after: query("after"),
    },
    query: securityEventsQuery,
    success: { status: 200, schema: securityEvents, description: "Events." },
    errors: [],
  },
  {
    operationId: "scanAgent",
    method: "POST",
    path: "/security/scan/{agentId}",
    tag: "Security",
    summary: "Scan an agent: posture, known vulnerabilities, the database's controls",
    rpc: "scan_agent",
    args: { agent_id: path("agentId") },
    query: noQuery,
    body: { schema: emptyRequest, required: false },
    success: {
      status: 200,
      schema: securityScan,
      description:
        "What was found; a source that could not be asked says `unavailable`, and then nothing passes.",
    },
    errors: ["AGENT_NOT_FOUND", "CONFLICT"],
  },
];
