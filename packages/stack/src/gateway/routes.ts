// The routes of Agent Launchpad beside those of a Supabase project. Pure.

import { under } from "@agent-launchpad/local-supabase/gateway/routes.ts";
import type { Target } from "@agent-launchpad/local-supabase/gateway/target.ts";

/** Where a request goes; `path` is what the part sees: the canonical spelling of what was sent. */
export type StackRoute =
  /** `below`: the agent is named by the path, on the gateway's own host, and not by a host of its own. */
  { kind: "agent"; agentId: string; path: string; below: boolean } | { kind: "api" | "docs"; path: string };

const AGENT_HOST = /^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.agents\.localhost(?::\d+)?$/i;

const AGENT_PATH = /^\/agents\/([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(\/.*)?$/;

/**
 * The routing table. Takes the Host header and the parsed target; undefined for what is the project's. Any path on an
 * agent's host belongs to the agent.
 */
export function stackRouteOf(host: string | undefined, { path, search }: Target): StackRoute | undefined {
  const agentId = AGENT_HOST.exec(host ?? "")?.[1];
  if (agentId) return { kind: "agent", agentId: agentId.toLowerCase(), path: path + search, below: false };
  const [, below, rest = ""] = AGENT_PATH.exec(path) ?? [];
  if (below) return { kind: "agent", agentId: below, path: (rest || "/") + search, below: true };
  if (under(path, "/api")) return { kind: "api", path: path + search };
  if (under(path, "/docs")) return { kind: "docs", path };
  return undefined;
}
