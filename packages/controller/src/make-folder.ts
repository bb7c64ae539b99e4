// Makes folders that operators name.
import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Makes a folder, and those above it. Not Node's own `recursive`: below /proc, where nothing can be made, it tries for ever
 * (Node 24).
 * @param mode of the folders that are made; one that is there stays as it is
 * @throws an error of the system
 */
export function makeFolder(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
    const above = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || above === path || existsSync(above))
      throw error;
    makeFolder(above, mode);
    makeFolder(path, mode);
  }
}
