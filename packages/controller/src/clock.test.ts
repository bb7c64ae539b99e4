import assert from "node:assert/strict";
import { test } from "vitest";
import { backoff, jittered } from "./clock.ts";

test("backoff doubles up to its cap; jitter stays within its share", () => {
  assert.deepEqual(
    [1, 2, 3, 10, 1000].map((attempt) => backoff(attempt, 100, 1000)),
    [100, 200, 400, 1000, 1000],
  );
  assert.equal(
    jittered(100, 0.25, () => 0),
    75,
  );
  assert.equal(
    jittered(100, 0.25, () => 1),
    125,
  );
});
