/** Removes the stored files of deleted agents. */
import type { Database, Removal } from "./database.ts";
import type { Log } from "./upkeep.ts";

const PER_CLAIM = 20;

/**
 * Claims once and removes what is due. The database says which files remain each time: a run that is lost, or two at once,
 * cost a call and no file. It gives nothing out while operators hold removals. Never throws.
 * @returns whether to claim again
 */
export async function removeDue(database: Database, log: Log): Promise<boolean> {
  try {
    const due = await database.claimRemovals(PER_CLAIM);
    for (const removal of due) await remove(removal, database, log);
    return due.length > 0;
  } catch (error) {
    // What was claimed is given out again after half a minute.
    log("WARN", "Files of deleted agents were not removed", { cause: String(error) });
    return false;
  }
}

async function remove({ agentId, files }: Removal, database: Database, log: Log): Promise<void> {
  try {
    for (const { bucket, names } of files) await database.removeFiles(bucket, names);
  } catch (error) {
    log("WARN", "The files of a deleted agent were not removed", { agentId, cause: String(error) });
    await database.reportRemoval(agentId, error instanceof Error ? error.message : String(error));
    return;
  }
  await database.reportRemoval(agentId);
  const removed = files.reduce((sum, { names }) => sum + names.length, 0);
  if (removed > 0) log("INFO", "Removed the files of a deleted agent", { agentId, removed });
}
