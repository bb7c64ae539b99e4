// A temporary folder for one run: whatever its tests and the programs they start leave there goes with it.
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

/** Short, since paths of Unix sockets below it may have 107 characters. Then the process's id. */
const NAME = /^lt-(\d+)-/;

/**
 * Makes it, and names it to this process and its children by TMPDIR. A run within a test of another stays in that one's. Folders
 * of runs that were killed are removed.
 */
export function useOwnTemporaryFolder(): void {
  const parent = tmpdir();
  if (NAME.test(basename(parent))) return;
  for (const name of readdirSync(parent)) {
    const pid = NAME.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) remove(join(parent, name));
  }
  const folder = mkdtempSync(join(parent, `lt-${process.pid}-`));
  chmodSync(folder, 0o1777); // as /tmp: programs of other accounts work in folders below it
  process.env.TMPDIR = folder;
  process.once("exit", () => remove(folder));
}

/** What cannot be removed is left to the next run: another account's file, or a program that ends later and still writes. */
function remove(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {}
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
