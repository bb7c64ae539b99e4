import { Cron } from "croner";

/** When a job runs: every so many seconds, or at the times of a cron pattern (GMT). */
export type Schedule = { everyMs: number } | { next: (after: Date) => Date | null };

/** Reads a schedule of cron.job. Throws an Error when it is not one (cron.schedule refuses those first). */
export function parseSchedule(text: string): Schedule {
  const seconds = /^([1-9]|[1-5][0-9])\s+seconds?$/i.exec(text.trim());
  if (seconds) return { everyMs: Number(seconds[1]) * 1000 };
  // pg_cron writes '$' for the last day of a month.
  const fields = text.trim().split(/\s+/);
  const pattern =
    fields.length === 5
      ? fields.map((field, i) => (i === 2 && field === "$" ? "L" : field)).join(" ")
      : text.trim();
  const cron = new Cron(pattern, {
    timezone: "UTC",
    paused: true,
    ...(fields.length === 5 ? { mode: "5-part" as const } : {}),
  });
  return { next: (after) => cron.nextRun(after) };
}

/** @returns when the run after `after` is due, in epoch milliseconds; Infinity when there is none. */
export function dueAfter(schedule: Schedule, after: number): number {
  if ("everyMs" in schedule) return after + schedule.everyMs;
  return schedule.next(new Date(after))?.getTime() ?? Number.POSITIVE_INFINITY;
}
