// Clears a stale lock file or an orphaned server out of a data folder.

import { existsSync, readFileSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { StackError } from "../errors.ts";
import type { ClusterPaths } from "./paths.ts";

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** Whether a live process is the postmaster of this folder; process ids are used again after a crash or a reboot. */
function isPostmasterOf(pid: number, data: string): boolean {
  if (process.platform !== "linux") return true; // cannot be distinguished here: trust the file
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(data);
  } catch {
    return false;
  }
}

/**
 * Clears what an earlier run left in a data folder: a stale postmaster.pid is removed, a server whose stack is gone is
 * ended. Throws a StackError when the server belongs to a stack that still runs.
 */
export async function clearLeftoverServer(paths: ClusterPaths): Promise<void> {
  const file = join(paths.data, "postmaster.pid");
  if (!existsSync(file)) return;
  const pid = Number.parseInt(readFileSync(file, "utf8"), 10);
  if (!(pid > 0) || !isAlive(pid) || !isPostmasterOf(pid, paths.data)) {
    rmSync(file, { force: true });
    return;
  }
  const owner = existsSync(paths.owner) ? Number(JSON.parse(readFileSync(paths.owner, "utf8")).pid) : 0;
  if (owner > 0 && owner !== process.pid && isAlive(owner)) {
    throw new StackError(
      `${paths.folder} is in use by the stack running as process ${owner}; stop that one or choose another --data-dir.`,
    );
  }
  // Not our child, so no event tells of its end.
  for (const [signal, patience] of [
    ["SIGINT", 3000],
    ["SIGQUIT", 3000],
  ] as const) {
    process.kill(pid, signal);
    for (let waited = 0; waited < patience; waited += 25) {
      if (!isAlive(pid)) return;
      await delay(25);
    }
  }
  throw new StackError(
    `A PostgreSQL (process ${pid}) left by an earlier run holds ${paths.data} and does not end; end it by hand.`,
  );
}
