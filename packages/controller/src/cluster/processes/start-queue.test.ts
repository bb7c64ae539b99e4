// How many starts are under way at once, and in which order the others follow.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test, vi } from "vitest";
import { StartQueue } from "./start-queue.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("starts beyond the places wait, and follow in order as places come free", () => {
  const queue = new StartQueue(2, 1000);
  const begun: string[] = [];
  const [a, b] = ["a", "b", "c", "d"].map((name) => queue.enter(() => void begun.push(name)));
  assert.deepEqual(begun, ["a", "b"]);
  b?.();
  b?.();
  assert.deepEqual(begun, ["a", "b", "c"]);
  a?.();
  assert.deepEqual(begun, ["a", "b", "c", "d"]);
});

test("one that leaves before its turn never begins, and takes no place", () => {
  const queue = new StartQueue(1, 1000);
  const begun: string[] = [];
  const [a, b] = ["a", "b", "c"].map((name) => queue.enter(() => void begun.push(name)));
  b?.();
  b?.();
  a?.();
  assert.deepEqual(begun, ["a", "c"]);
});

test("a start that never ends loses its place after the limit, once", () => {
  const queue = new StartQueue(1, 1000);
  const begun: string[] = [];
  const [a] = ["a", "b", "c"].map((name) => queue.enter(() => void begun.push(name)));
  vi.advanceTimersByTime(999);
  assert.deepEqual(begun, ["a"]);
  vi.advanceTimersByTime(1);
  assert.deepEqual(begun, ["a", "b"]);
  a?.();
  assert.deepEqual(begun, ["a", "b"]);
});

test("a start that ends while it begins gives its place to the next", () => {
  const queue = new StartQueue(1, 1000);
  const begun: string[] = [];
  queue.enter(() => void begun.push("a"));
  let leaveB: () => void = () => {};
  leaveB = queue.enter(() => {
    begun.push("b");
    leaveB();
  });
  queue.enter(() => void begun.push("c"));
  vi.advanceTimersByTime(1000);
  assert.deepEqual(begun, ["a", "b", "c"]);
});
