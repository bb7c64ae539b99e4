// The memory of a tree of processes, read from /proc. Shared pages are counted once for each process in `resident`, and split
// among their users in `proportional`, which is what the machine really has less of.
import { readdirSync, readFileSync } from "node:fs";

/** What Linux counts CPU in for /proc: a hundredth of a second, on every architecture. */
const MS_PER_TICK = 10;

export interface ProcessMemory {
  readonly pid: number;
  readonly command: string;
  readonly resident: number;
  readonly proportional: number;
  /** Of it, anonymous and shared memory without files: other stacks on the machine share files with this one and make the rest smaller. */
  readonly made: number;
}

/** The process and everything below it. Linux only: elsewhere an empty list. */
export function readTree(root: number): ProcessMemory[] {
  return idsBelow(root)
    .map(readMemory)
    .filter((memory) => memory !== undefined);
}

/**
 * Milliseconds of CPU that the process and everything below it have used, by command line, in steps of ten. Of the whole
 * process: a sum over its threads would leave out those that ended, and PostgREST's come and go. Linux only: elsewhere empty.
 */
export function readCpu(root: number): Map<string, number> {
  const used = new Map<string, number>();
  for (const pid of idsBelow(root)) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      const [user, system] = statOf(pid).slice(11, 13);
      const milliseconds = (Number(user) + Number(system)) * MS_PER_TICK;
      used.set(command, (used.get(command) ?? 0) + milliseconds);
    } catch {
      // it ended meanwhile
    }
  }
  return used;
}

function idsBelow(root: number): number[] {
  if (process.platform !== "linux") return [];
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    const parent = Number.isInteger(pid) ? parentOf(pid) : undefined;
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const list = (pid: number): number[] => [pid, ...(children.get(pid) ?? []).flatMap(list)];
  return list(root);
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(statOf(pid)[1]);
  } catch {
    return undefined; // it ended meanwhile
  }
}

/** The fields of /proc/<pid>/stat after the command. The command, in parentheses, may hold spaces and parentheses. */
function statOf(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function readMemory(pid: number): ProcessMemory | undefined {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    const bytes = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1] ?? 0) * 1024;
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
    const made = bytes("Pss_Anon") + bytes("Pss_Shmem");
    return { pid, command, resident: bytes("Rss"), proportional: bytes("Pss"), made };
  } catch {
    return undefined;
  }
}
