// Ends the replicas that an earlier controller left running, its waiting runtimes, and its compiling of plugins.

import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "../../log.ts";
import { killGroup } from "./child.ts";
import type { Folders, Leftover } from "./folders.ts";
import { processMark } from "./system.ts";

/** They lost their controller and are ending on their own already; longer than this nobody waits. */
const GRACE_MS = 2000;

/**
 * Ends the processes that an earlier controller left behind, and removes their folders. A process is known by its id
 * and its mark: another one that got the same id later is never touched.
 */
export async function endLeftovers(folders: Folders, log: Log): Promise<void> {
  const alive = (leftover: Leftover) => processMark(leftover.pid) === leftover.mark;
  let rest = folders.leftovers().filter(alive);
  for (const leftover of rest) signal(leftover.pid, "SIGTERM");
  for (const deadline = Date.now() + GRACE_MS; rest.length > 0 && Date.now() < deadline; ) {
    await sleep(25);
    rest = rest.filter(alive);
  }
  for (const { agentId, replica, pid } of rest) {
    log.warn("a replica of an earlier controller did not end and was killed", { agentId, replica, pid });
    killGroup(pid);
    signal(pid, "SIGKILL");
  }
  while (rest.some(alive)) await sleep(25);
  folders.sweep();
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}
