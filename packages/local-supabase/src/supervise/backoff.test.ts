import assert from "node:assert/strict";
import { test } from "vitest";
import { nextRestart } from "./backoff.ts";

test("the delay doubles with each failure in a row, up to the longest", () => {
  const delays: number[] = [];
  let failures = 0;
  for (let i = 0; i < 8; i++) {
    const next = nextRestart(failures, 100);
    failures = next.failures;
    delays.push(next.delayMs);
  }
  assert.deepEqual(delays, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
});

test("a long life makes the next failure a first one", () => {
  assert.deepEqual(nextRestart(6, 30_000), { delayMs: 250, failures: 1 });
  assert.deepEqual(nextRestart(6, 29_999), { delayMs: 10_000, failures: 7 });
});
