import assert from "node:assert/strict";
import { test } from "vitest";
import { mb, median, ms, quantile } from "./stats.ts";

test("quantiles are values that were measured", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2);
  assert.equal(quantile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.95), 10);
  assert.ok(Number.isNaN(median([])));
});

test("figures are written short", () => {
  assert.deepEqual([ms(7.04), ms(1234.5), mb(91_400_000)], ["7.0 ms", "1235 ms", "91 MB"]);
});
