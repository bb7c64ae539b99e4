// The accounts that replicas run under where the controller is root: a number of its own for each, that no program has.
import { randomInt } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Log } from "../../log.ts";

/** A user and a group of the operating system, by number. No entry in /etc/passwd is needed or made. */
export interface Account {
  uid: number;
  gid: number;
}

/** Between what systems hand to containers and the end of what programs agree is a user: systemd calls it unused. */
const FIRST = 0x7000_0000;
const COUNT = 0x0fff_0000;

/** What root must be able to do for it: chown, pass closed folders, signal others, change group and user. */
const CAPABILITIES = { CHOWN: 0, DAC_OVERRIDE: 1, KILL: 5, SETGID: 6, SETUID: 7 };

/** What is known of this process; tests give their own. */
export interface Surroundings {
  uid: number | undefined;
  /** /proc/self/status, /proc/self/uid_map, /proc/self/gid_map; undefined where there are none. */
  status: string | undefined;
  uidMap: string | undefined;
  gidMap: string | undefined;
  /** Permission bits of a path; undefined when absent. */
  modeOf(path: string): number | undefined;
}

/**
 * Gives each replica an account of its own, where that is possible.
 * @param paths what a replica must reach: the program that runs it, its code, the folder its own folder is in
 * @returns undefined where replicas run under the controller's own account; the log says why, where that is a loss
 */
export function replicaAccounts(
  paths: readonly string[],
  log: Log,
  surroundings: Surroundings = ownSurroundings(),
): (() => Account) | undefined {
  if (surroundings.uid !== 0) return undefined;
  const problem = whyNone(paths, surroundings);
  if (problem !== undefined) {
    log.warn(`agents run as root: ${problem}`);
    return undefined;
  }
  return () => {
    const id = FIRST + randomInt(COUNT);
    return { uid: id, gid: id };
  };
}

function whyNone(
  paths: readonly string[],
  { status, uidMap, gidMap, modeOf }: Surroundings,
): string | undefined {
  if (status === undefined) return "separate accounts work on Linux alone";
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  const missing = Object.entries(CAPABILITIES).filter(([, bit]) => ((effective >> BigInt(bit)) & 1n) === 0n);
  if (missing.length > 0) return `this root lacks ${missing.map(([name]) => `CAP_${name}`).join(", ")}`;
  if (!holds(uidMap) || !holds(gidMap)) return "this container has too few user ids";
  const closed = paths.map((path) => closedTo(path, modeOf)).find((folder) => folder !== undefined);
  if (closed !== undefined)
    return `${closed} is closed to other accounts; keep the program and its data elsewhere`;
  return undefined;
}

/** Whether a map of ids (inside, outside, how many) has all of ours. */
function holds(map: string | undefined): boolean {
  if (map === undefined) return true;
  return map.split("\n").some((line) => {
    const [inside = Number.NaN, , count = 0] = line.trim().split(/\s+/).map(Number);
    return inside <= FIRST && FIRST + COUNT <= inside + count;
  });
}

/** A path that others may not read or run, or the first folder above it that they may not pass. */
function closedTo(path: string, modeOf: Surroundings["modeOf"]): string | undefined {
  const own = modeOf(path);
  if (own !== undefined && (own & 0o005) === 0) return path;
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    const mode = modeOf(folder);
    if (mode !== undefined && (mode & 0o001) === 0) return folder;
    if (folder === dirname(folder)) return undefined;
  }
}

function ownSurroundings(): Surroundings {
  const read = (file: string) => {
    try {
      return readFileSync(file, "utf8");
    } catch {
      return undefined;
    }
  };
  return {
    uid: process.getuid?.(),
    status: read("/proc/self/status"),
    uidMap: read("/proc/self/uid_map"),
    gidMap: read("/proc/self/gid_map"),
    modeOf: (path) => statSync(path, { throwIfNoEntry: false })?.mode,
  };
}
