// CPU time that the parts of a stack have used, read from /proc.
import { readFileSync } from "node:fs";
import { readTree } from "./processes.ts";

export type Part = "Postgres" | "PostgREST" | "function" | "gateway and the rest";

const PARTS: [Part, RegExp][] = [
  ["Postgres", /^\S*postgres(:|\s|$)/],
  ["PostgREST", /postgrest/],
  ["function", /deno/],
];
const TICKS_PER_SECOND = 100;

/** Milliseconds of CPU by part: of all processes below this one, which makes the load and is left out. Linux only. */
export function cpuByPart(): Map<Part, number> {
  const used = new Map<Part, number>();
  for (const { pid, command } of readTree(process.pid)) {
    if (pid === process.pid) continue;
    const part = PARTS.find(([, pattern]) => pattern.test(command))?.[0] ?? "gateway and the rest";
    used.set(part, (used.get(part) ?? 0) + milliseconds(pid));
  }
  return used;
}

function milliseconds(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
  } catch {
    return 0; // it ended meanwhile
  }
}
