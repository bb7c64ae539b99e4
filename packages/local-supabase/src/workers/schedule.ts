/** What cron._parse_schedule makes of a schedule. */
export type Schedule = { seconds: number } | { reboot: true } | Calendar;

/** Times in GMT: the values that each field takes. */
interface Calendar {
  minute: number[];
  hour: number[];
  dom: number[];
  month: number[];
  /** 0 and 7 are Sunday. */
  dow: number[];
  /** The last day of a month, too. */
  lastDay: boolean;
  /** The day must fit as a day of the month and of the week; else either will do. */
  both: boolean;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** February 29th on a given weekday comes again within 40 years (a century that is no leap year between). */
const DAYS = 40 * 366;

/** @returns when the run after `after` is due, in epoch milliseconds; Infinity when absent. */
export function dueAfter(schedule: Schedule, after: number): number {
  if ("seconds" in schedule) return after + schedule.seconds * 1000;
  if ("reboot" in schedule) return Number.POSITIVE_INFINITY;
  const times = [
    ...new Set(schedule.hour.flatMap((hour) => schedule.minute.map((minute) => hour * 60 + minute))),
  ]
    .sort((a, b) => a - b)
    .map((minutes) => minutes * MINUTE_MS);
  const today = Math.floor(after / DAY_MS) * DAY_MS;
  for (let day = today; day <= today + DAYS * DAY_MS; day += DAY_MS) {
    if (!takesDay(schedule, new Date(day), new Date(day + DAY_MS))) continue;
    const time = times.find((offset) => day + offset > after);
    if (time !== undefined) return day + time;
  }
  return Number.POSITIVE_INFINITY;
}

function takesDay({ both, dom, dow, lastDay, month }: Calendar, day: Date, next: Date): boolean {
  if (!month.includes(day.getUTCMonth() + 1)) return false;
  const ofMonth = dom.includes(day.getUTCDate()) || (lastDay && next.getUTCDate() === 1);
  const weekday = day.getUTCDay();
  const ofWeek = dow.includes(weekday) || (weekday === 0 && dow.includes(7));
  return both ? ofMonth && ofWeek : ofMonth || ofWeek;
}
