// Explains why a replica's process ended.

import type { ReplicaLog } from "./cluster.ts";

const OUT_OF_HEAP = /heap out of memory|Allocation failed/i;

/**
 * Says why a process ended, from its exit and the last thing it said.
 * @param last its last error, or else its last line; already redacted
 */
export function explainExit(
  how: { code: number | null; signal: string | null; failed?: string },
  last: Pick<ReplicaLog, "message" | "metadata"> | undefined,
): { reason: string; message: string } {
  if (how.failed !== undefined) {
    return { reason: "SPAWN_FAILED", message: `The process could not be started: ${how.failed}` };
  }
  const said = last?.message.trim().slice(0, 500) ?? "";
  if (OUT_OF_HEAP.test(said)) {
    return { reason: "OOMKilled", message: "It ran out of the heap that its memory limit allows." };
  }
  if (how.code === 78) {
    const reason = last?.metadata.reason;
    return {
      reason: typeof reason === "string" && /^[A-Z][A-Z0-9_]{0,63}$/.test(reason) ? reason : "INVALID_CONFIG",
      message: said === "" ? "The agent's configuration cannot work." : said,
    };
  }
  const end = how.signal === null ? `It exited with code ${how.code}.` : `It was ended by ${how.signal}.`;
  return {
    reason: "CRASHED",
    message: said === "" ? `${end} It said nothing.` : `${end} Its last words: ${said}`,
  };
}
