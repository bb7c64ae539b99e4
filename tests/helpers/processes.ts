// Looks at the machine's processes, for tests that assert that none is left.
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface ProcessEntry {
  pid: number;
  parent: number;
  command: string;
}

/** Every live process (Linux: from /proc; unreaped remains left aside). */
export function processes(): ProcessEntry[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (state === "Z") return [];
      const command = readFileSync(`/proc/${entry}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      return [{ pid: Number(entry), parent: Number(parent), command }];
    } catch {
      return []; // it ended while we looked
    }
  });
}

/** A process and everything below it. */
export function tree(root: number): ProcessEntry[] {
  const all = processes();
  const below = (pid: number): ProcessEntry[] =>
    all.filter(({ parent }) => parent === pid).flatMap((entry) => [entry, ...below(entry.pid)]);
  return [...all.filter(({ pid }) => pid === root), ...below(root)];
}

/** Those of the given processes that still run (the same id with the same command). */
export function stillRunning(entries: readonly ProcessEntry[]): ProcessEntry[] {
  const now = new Map(processes().map((entry) => [entry.pid, entry.command]));
  return entries.filter(({ pid, command }) => now.get(pid) === command);
}

/** How long tests wait for what comes: on a busy machine it comes late, and a test that fails waits once. */
export const PATIENCE_MS = 60_000;

/** Waits until a condition holds that no event announces. Throws after the time. */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  timeoutMs = PATIENCE_MS,
): Promise<NonNullable<T>> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > until) throw new Error(`not within ${timeoutMs / 1000} s: ${what}`);
    await sleep(25);
  }
}
