/** The paths of one agent. */
import { invalid } from "./errors.ts";

/**
 * The path of an agent. An id that is empty, or dots, would name another path.
 * @throws AgentLaunchpadError VALIDATION_ERROR for such an id
 */
export function pathOf(agentId: string, verb?: string): string {
  if (typeof agentId !== "string" || /^\.{0,2}$/.test(agentId)) {
    throw invalid("agentId", "Must be the id of an agent");
  }
  return `/api/agents/${encodeURIComponent(agentId)}${verb === undefined ? "" : `/${verb}`}`;
}
