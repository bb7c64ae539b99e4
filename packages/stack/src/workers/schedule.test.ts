import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { dueAfter, parseSchedule } from "./schedule.ts";

const due = (schedule: string, after: string) => {
  const time = dueAfter(parseSchedule(schedule), Date.parse(after));
  return time === Number.POSITIVE_INFINITY ? "never" : new Date(time).toISOString();
};

describe("schedules of cron.job", () => {
  const cases: [schedule: string, after: string, due: string][] = [
    ["30 seconds", "2026-03-01T10:00:00Z", "2026-03-01T10:00:30.000Z"],
    ["1 second", "2026-03-01T10:00:00Z", "2026-03-01T10:00:01.000Z"],
    ["* * * * *", "2026-03-01T10:00:00Z", "2026-03-01T10:01:00.000Z"],
    ["*/15 * * * *", "2026-03-01T10:16:00Z", "2026-03-01T10:30:00.000Z"],
    ["5 4 * * *", "2026-03-01T10:00:00Z", "2026-03-02T04:05:00.000Z"],
    ["0 0 * * 7", "2026-03-02T00:00:00Z", "2026-03-08T00:00:00.000Z"],
    ["0 12 * mar mon-wed", "2026-03-01T10:00:00Z", "2026-03-02T12:00:00.000Z"],
    ["0 0 $ * *", "2026-02-10T00:00:00Z", "2026-02-28T00:00:00.000Z"],
    // both days restricted: either will do, as in every cron
    ["0 0 13 * 5", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00.000Z"],
    ["@hourly", "2026-03-01T10:16:00Z", "2026-03-01T11:00:00.000Z"],
    ["0 0 30 2 *", "2026-03-01T00:00:00Z", "never"],
  ];
  for (const [schedule, after, expected] of cases) {
    test(`${schedule} after ${after}`, () => assert.equal(due(schedule, after), expected));
  }

  test("what is no schedule throws", () => {
    for (const bad of ["", "61 * * * *", "0 seconds", "60 seconds", "* * * *", "* * * * * *x"]) {
      assert.throws(() => parseSchedule(bad), bad);
    }
  });
});
