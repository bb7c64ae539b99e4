// The replicas below a stack, as the operating system sees them, whatever the database says. Linux only.
import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
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
    const agentId = agentOf(entry.pid);
    return agentId === undefined ? [] : [{ ...entry, agentId }];
  });
}

/** Of its environment; a runtime that waited for its agent has none there, and the controller wrote it down beside its folder. */
function agentOf(pid: number): string | undefined {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
    const told = /(?:^|\0)AGENT_ID=([^\0]+)/.exec(environment)?.[1];
    if (told !== undefined) return told;
    const written = readFileSync(join(readlinkSync(`/proc/${pid}/cwd`), "../process.json"), "utf8");
    return (JSON.parse(written) as { agentId?: string }).agentId;
  } catch {
    return undefined; // it ended while it was read
  }
}

/** Number of running replicas per agent. */
export function replicaCounts(stackPid: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { agentId } of replicas(stackPid)) counts.set(agentId, (counts.get(agentId) ?? 0) + 1);
  return counts;
}
