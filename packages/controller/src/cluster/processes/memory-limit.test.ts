import assert from "node:assert/strict";
import { test } from "vitest";
import { heapMebibytes } from "./memory-limit.ts";

test("the heap leaves room for the rest of the process", () => {
  const mebibyte = 1024 * 1024;
  assert.deepEqual(
    [64, 128, 256, 1024, 4096].map((limit) => heapMebibytes(limit * mebibyte)),
    [24, 80, 192, 768, 3072],
  );
});
