// A disk without space: said as that, whatever the part that met it calls it (an input/output error, a database that fails).
import { statfs } from "node:fs/promises";
import { codeOf, reasonOf, StackError } from "./errors.ts";

/** With less than this nothing of the stack can work: one segment of the database's log is 4 MB. */
const LEAST_BYTES = 8 * 1024 * 1024;
const FULL = /ENOSPC|EDQUOT|no space left on device|disk quota exceeded|\b53100\b/i;

/** Whether an error, or what a program said as it ended, comes from a full disk. */
export function saysFull(error: unknown): boolean {
  return FULL.test(`${codeOf(error) ?? ""} ${reasonOf(error)}`);
}

/**
 * The sentence for a person when the disk that holds a folder is full.
 * @param error what went wrong, where something did
 * @returns undefined when there is space, and the error speaks of something else
 */
export async function fullDisk(folder: string, error?: unknown): Promise<StackError | undefined> {
  const free = await freeBytes(folder);
  const full = (free !== undefined && free < LEAST_BYTES) || (error !== undefined && saysFull(error));
  if (!full) return undefined;
  const left = free === undefined ? "" : ` (${(free / 1e6).toFixed(1)} MB free)`;
  return new StackError(
    `The disk that holds ${folder} is full${left}: free some space, then start again. What is stored is not damaged.`,
  );
}

async function freeBytes(folder: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
