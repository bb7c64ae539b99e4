// The replicas below a stack, as the operating system sees them, whatever the database says. Linux only.
import { readFileSync } from "node:fs";
import { type ProcessEntry, tree } from "./processes.ts";

/** Whether processes can be listed here. */
export const canListProcesses = process.platform === "linux";

export interface Replica extends ProcessEntry {
  agentId: string;
}

/** Every process of an agent runtime below a stack's process. */
export function replicas(stackPid: number): Replica[] {
  return tree(stackPid).flatMap((entry) => {
    if (!/agent-runtime\/(src\/main\.ts|dist\/main\.mjs)/.test(entry.command)) return [];
    try {
      const environment = readFileSync(`/proc/${entry.pid}/environ`, "utf8");
      const agentId = /(?:^|\0)AGENT_ID=([^\0]+)/.exec(environment)?.[1];
      return agentId === undefined ? [] : [{ ...entry, agentId }];
    } catch {
      return []; // it ended while it was read
    }
  });
}

/** Number of running replicas per agent. */
export function replicaCounts(stackPid: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { agentId } of replicas(stackPid)) counts.set(agentId, (counts.get(agentId) ?? 0) + 1);
  return counts;
}
