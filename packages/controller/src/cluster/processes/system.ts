// Reads facts about processes from the operating system.

import { execFile, execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

/** Linux counts CPU time in these; the kernel has fixed it for user space. */
const TICKS_PER_SECOND = 100;

const hasProc = process.platform === "linux";

export interface Usage {
  cpuSeconds: number;
  memoryBytes: number;
}

/**
 * A mark of this life of the process id: two processes that get the same id one after the other have different marks,
 * also across a reboot. Undefined when no such process lives (a zombie does not).
 */
export function processMark(pid: number): string | undefined {
  try {
    if (!hasProc) return psMark(pid);
    const stat = statFields(readFileSync(`/proc/${pid}/stat`, "utf8"));
    if (stat.state === "Z" || stat.state === "X") return undefined;
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);
    return `${boot}-${stat.startTicks}`;
  } catch {
    return undefined;
  }
}

/** Resident memory now; undefined when the process is gone or the system does not tell cheaply. */
export async function residentBytes(pid: number): Promise<number | undefined> {
  if (!hasProc) return (await usageOf([pid])).get(pid)?.memoryBytes;
  try {
    // Synchronous: the kernel answers in microseconds, a turn of the thread pool takes longer.
    return readResident(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return undefined;
  }
}

/** CPU time and resident memory of processes; those that are gone are left out. */
export async function usageOf(pids: readonly number[]): Promise<Map<number, Usage>> {
  const usage = new Map<number, Usage>();
  if (pids.length === 0) return usage;
  if (!hasProc) return await psUsage(pids);
  for (const pid of pids) {
    try {
      const [stat, status] = await Promise.all([
        readFile(`/proc/${pid}/stat`, "utf8"),
        readFile(`/proc/${pid}/status`, "utf8"),
      ]);
      const memoryBytes = readResident(status);
      if (memoryBytes === undefined) continue;
      usage.set(pid, { cpuSeconds: statFields(stat).cpuTicks / TICKS_PER_SECOND, memoryBytes });
    } catch {
      // Ended between the listing and the reading.
    }
  }
  return usage;
}

/** The fields of /proc/<pid>/stat that are used here. The name stands in brackets and may hold anything. */
function statFields(text: string): { state: string; cpuTicks: number; startTicks: string } {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return {
    state: fields[0] ?? "",
    cpuTicks: Number(fields[11]) + Number(fields[12]),
    startTicks: fields[19] ?? "",
  };
}

function readResident(status: string): number | undefined {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(status);
  return match === null ? undefined : Number(match[1]) * 1024;
}

function psMark(pid: number): string | undefined {
  const text = execFileSync("ps", ["-o", "stat=,lstart=", "-p", String(pid)], { encoding: "utf8" }).trim();
  if (text === "" || text.startsWith("Z")) return undefined;
  return text.replace(/^\S+\s+/, "").replaceAll(/\s+/g, " ");
}

async function psUsage(pids: readonly number[]): Promise<Map<number, Usage>> {
  const usage = new Map<number, Usage>();
  try {
    const { stdout } = await promisify(execFile)("ps", ["-o", "pid=,rss=,time=", "-p", pids.join(",")]);
    for (const line of stdout.split("\n")) {
      const [pid, kilobytes, time] = line.trim().split(/\s+/);
      if (pid === undefined || kilobytes === undefined || time === undefined) continue;
      usage.set(Number(pid), { cpuSeconds: psSeconds(time), memoryBytes: Number(kilobytes) * 1024 });
    }
  } catch {
    // ps ends with an error when none of the processes lives.
  }
  return usage;
}

/** `[[dd-]hh:]mm:ss[.cc]` as ps writes it, in seconds. */
function psSeconds(time: string): number {
  const [days, clock] = time.includes("-") ? time.split("-") : ["0", time];
  return (clock ?? "").split(":").reduce((sum, part) => sum * 60 + Number(part), 0) + Number(days) * 86_400;
}
