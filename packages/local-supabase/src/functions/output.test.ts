import assert from "node:assert/strict";
import { afterEach, beforeEach, test, vi } from "vitest";
import { batchOutput } from "./output.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function rig() {
  const written: string[] = [];
  return {
    written,
    output: batchOutput({ write: (text) => written.push(text), waitMs: 20, mostWaiting: 30 }),
  };
}

test("lines within 20 ms are one write, in their order", () => {
  const { written, output } = rig();
  output.line("one");
  vi.advanceTimersByTime(19);
  output.line("two");
  assert.deepEqual(written, []);
  vi.advanceTimersByTime(1);
  assert.deepEqual(written, ["one\ntwo\n"]);
  output.line("three");
  vi.advanceTimersByTime(20);
  assert.deepEqual(written, ["one\ntwo\n", "three\n"]);
});

test("more than the bound is written at once", () => {
  const { written, output } = rig();
  output.line("x".repeat(20));
  output.line("y".repeat(20));
  assert.deepEqual(written, [`${"x".repeat(20)}\n${"y".repeat(20)}\n`]);
  vi.advanceTimersByTime(100);
  assert.equal(written.length, 1);
});

test("flush writes what waits, once", () => {
  const { written, output } = rig();
  output.line("last words");
  output.flush();
  output.flush();
  vi.advanceTimersByTime(100);
  assert.deepEqual(written, ["last words\n"]);
});
