import assert from "node:assert/strict";
import { test } from "vitest";
import { areOver } from "./commit-visibility.ts";

const over = (snapshot: string, ...xids: number[]) => areOver(new Set(xids), snapshot);

test("a transaction before the snapshot's end that does not run is over", () => {
  assert.equal(over("10:15:", 9, 14), true);
  assert.equal(over("10:15:10,12", 9, 11, 14), true);
  assert.equal(over("10:15:10,12", 12), false);
  assert.equal(over("10:15:", 15), false);
  assert.equal(over("10:15:", 16), false);
});

test("numbers wrap around after 2^32", () => {
  const past = 2n ** 32n;
  assert.equal(over(`${past}:${past + 5n}:`, 4), true);
  assert.equal(over(`${past}:${past + 5n}:`, 0xffff_fff0), true);
  assert.equal(over(`${past}:${past + 5n}:${past + 3n}`, 3), false);
  assert.equal(over(`${past}:${past + 5n}:`, 6), false);
});
