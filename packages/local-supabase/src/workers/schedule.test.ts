import assert from "node:assert/strict";
import { test } from "vitest";
import { dueAfter, type Schedule } from "./schedule.ts";

const all = (low: number, high: number) => Array.from({ length: high - low + 1 }, (_, i) => low + i);
const daily = {
  minute: [5],
  hour: [4],
  dom: all(1, 31),
  month: all(1, 12),
  dow: all(0, 7),
  lastDay: false,
  both: true,
};

const cases: [what: string, schedule: Schedule, after: string, due: string][] = [
  ["so many seconds", { seconds: 30 }, "2026-03-01T10:00:00Z", "2026-03-01T10:00:30.000Z"],
  ["a start", { reboot: true }, "2026-03-01T10:00:00Z", "never"],
  ["every day", daily, "2026-03-01T10:00:00Z", "2026-03-02T04:05:00.000Z"],
  ["the same day", daily, "2026-03-01T04:04:59Z", "2026-03-01T04:05:00.000Z"],
  ["not the same minute again", daily, "2026-03-01T04:05:00Z", "2026-03-02T04:05:00.000Z"],
  [
    "times in order, however they are written",
    { ...daily, minute: [30, 0], hour: [9, 8] },
    "2026-03-01T08:30:00Z",
    "2026-03-01T09:00:00.000Z",
  ],
  [
    "either day",
    { ...daily, dom: [13], dow: [5], both: false },
    "2026-03-01T00:00:00Z",
    "2026-03-06T04:05:00.000Z",
  ],
  ["both days", { ...daily, dom: [13], dow: [5] }, "2026-03-14T00:00:00Z", "2026-11-13T04:05:00.000Z"],
  ["7 is Sunday", { ...daily, dow: [7] }, "2026-03-02T00:00:00Z", "2026-03-08T04:05:00.000Z"],
  [
    "the last day of a month",
    { ...daily, dom: [], lastDay: true },
    "2026-02-10T00:00:00Z",
    "2026-02-28T04:05:00.000Z",
  ],
  [
    "a leap day on a Monday",
    { ...daily, dom: [29], month: [2], dow: [1] },
    "2072-03-01T00:00:00Z",
    "2112-02-29T04:05:00.000Z",
  ],
  ["a day that never comes", { ...daily, dom: [30], month: [2] }, "2026-03-01T00:00:00Z", "never"],
  ["no minute at all", { ...daily, minute: [] }, "2026-03-01T00:00:00Z", "never"],
];

for (const [what, schedule, after, expected] of cases) {
  test(`due after ${after}: ${what}`, () => {
    const time = dueAfter(schedule, Date.parse(after));
    assert.equal(time === Number.POSITIVE_INFINITY ? "never" : new Date(time).toISOString(), expected);
  });
}
