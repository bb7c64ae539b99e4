import assert from "node:assert/strict";
import { test } from "vitest";
import { afterExit } from "./restarts.ts";

const LIMITS = { baseMs: 500, capMs: 60_000, stableMs: 10_000 };
const NOW = 1_000_000;

const CASES: [
  what: string,
  failures: number,
  readyAgo: number | undefined,
  fatal: boolean,
  expected: [number, number],
][] = [
  ["the first exit waits half a second", 0, undefined, false, [1, 500]],
  ["each further one twice as long", 3, undefined, false, [4, 4000]],
  ["at most a minute", 20, undefined, false, [21, 60_000]],
  ["a short life does not count as stable", 3, 9_999, false, [4, 4000]],
  ["after a stable life the count begins again", 3, 10_000, false, [1, 500]],
  ["what cannot work waits the longest", 0, undefined, true, [1, 60_000]],
];

for (const [what, failures, readyAgo, fatal, [count, delayMs]] of CASES) {
  test(`restarts: ${what}`, () => {
    const readyAt = readyAgo === undefined ? undefined : NOW - readyAgo;
    assert.deepEqual(afterExit(failures, readyAt, NOW, fatal, LIMITS), { failures: count, delayMs });
  });
}
