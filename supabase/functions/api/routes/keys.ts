/** Keys of an agent: create, list, revoke. */
import { createdKey, keyList, keyRequest, noQuery, pageQuery } from "../../_shared/contract/index.ts";
import { body, path, query, type Route } from "../../_shared/route.ts";

const agent_id = path("agentId");

export const keyRoutes: readonly Route[] = [
  {
    operationId: "createAgentKey",
    method: "POST",
    path: "/agents/{agentId}/keys",
    tag: "Keys",
    summary: "Create a key that calls an agent at its address",
    description:
      "The key is in this answer and nowhere else: only its hash is stored. An agent has at most 20 keys. `Idempotency-Key` is ignored here.",
    rpc: "create_agent_key",
    args: { agent_id, key: body },
    query: noQuery,
    body: {
      schema: keyRequest,
      required: true,
      example: { name: "website", scopes: ["invoke"], origins: ["https://app.example.com"] },
    },
    success: { status: 201, schema: createdKey, description: "The key." },
    errors: ["AGENT_NOT_FOUND", "CONFLICT", "RESOURCE_LIMIT_EXCEEDED"],
  },
  {
    operationId: "listAgentKeys",
    method: "GET",
    path: "/agents/{agentId}/keys",
    tag: "Keys",
    summary: "List an agent's keys, newest first",
    rpc: "list_agent_keys",
    args: { agent_id, limit: query("limit"), offset: query("offset"), after: query("after") },
    query: pageQuery,
    success: { status: 200, schema: keyList, description: "One page of keys, without the keys themselves." },
    errors: ["AGENT_NOT_FOUND"],
  },
  {
    operationId: "revokeAgentKey",
    method: "DELETE",
    path: "/agents/{agentId}/keys/{keyId}",
    tag: "Keys",
    summary: "Revoke a key",
    description:
      "Every replica refuses it within 5 seconds, and open streams end. A revoked key stays in the list.",
    rpc: "revoke_agent_key",
    args: { agent_id, key_id: path("keyId") },
    query: noQuery,
    success: { status: 204, description: "The key is revoked." },
    errors: ["AGENT_NOT_FOUND", "NOT_FOUND"],
  },
];
