// Reads process ids and start times from the operating system.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { codeOf } from "../errors.ts";

/**
 * When a process started, in the system's own unit; undefined when there is no such process (or only its remains).
 * Id and start time together name one process: an id alone may have been given to another one since.
 */
export function startTimeOf(pid: number): string | undefined {
  if (!existsSync("/proc/self/stat")) return startTimeByPs(pid);
  const fields = statFields(pid);
  return fields && fields[0] !== "Z" ? fields[19] : undefined;
}

/** What follows the command's name in /proc/PID/stat: state, parent, group … (proc(5), field 3 onwards). */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

function startTimeByPs(pid: number): string | undefined {
  try {
    const text = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], {
      encoding: "utf8",
      stdio: "pipe",
    });
    return text.trim().replaceAll(/\s+/g, "_") || undefined;
  } catch {
    return undefined;
  }
}

/** True while the process that had this id and start time is running. */
export function isRunning(process: ProcessMark): boolean {
  return startTimeOf(process.pid) === process.start;
}

/** True while any process of the group is there, remains that nobody has reaped left aside. */
export function groupExists(leader: number): boolean {
  try {
    process.kill(-leader, 0);
  } catch (error) {
    if (codeOf(error) !== "EPERM") return false;
  }
  return startTimeOf(leader) !== undefined || hasMembers(leader);
}

function hasMembers(leader: number): boolean {
  if (!existsSync("/proc/self/stat")) return true;
  return readdirSync("/proc").some((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    const fields = statFields(Number(entry));
    return fields !== undefined && fields[0] !== "Z" && fields[2] === String(leader);
  });
}

/** One process for good: its id, and when it started. */
export interface ProcessMark {
  pid: number;
  start: string;
}

/** The direct children of a process. */
export function childrenOf(parent: number): ProcessMark[] {
  return allWithParents().flatMap(([pid, itsParent]) => {
    const start = itsParent === parent ? startTimeOf(pid) : undefined;
    return start === undefined ? [] : [{ pid, start }];
  });
}

function allWithParents(): [pid: number, parent: number][] {
  if (existsSync("/proc/self/stat")) {
    return readdirSync("/proc").flatMap((entry) => {
      const parent = /^\d+$/.test(entry) ? statFields(Number(entry))?.[1] : undefined;
      return parent === undefined ? [] : [[Number(entry), Number(parent)] as [number, number]];
    });
  }
  const lines = execFileSync("ps", ["-axo", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n");
  return lines.map((line) => line.trim().split(/\s+/).map(Number) as [number, number]);
}

/** Sends a signal to a process, or with a negative id to a group; one that is gone is no error. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // gone already
  }
}
