import assert from "node:assert/strict";
import { test } from "node:test";
import { SimulatedClock } from "../../testing/simulated-clock.ts";
import { LogBudget } from "./log-budget.ts";

test("lines beyond a minute's share are dropped, and their number is said once", async () => {
  const clock = new SimulatedClock();
  const budget = new LogBudget(clock, 3, 1000);
  const said: number[] = [];
  const say = (dropped: number) => said.push(dropped);
  const admitted = () => budget.admits(10, say);
  assert.deepEqual([1, 2, 3, 4, 5].map(admitted), [true, true, true, false, false]);
  assert.deepEqual(said, []);
  await clock.advance(60_000);
  assert.deepEqual(said, [2]);
  assert.ok(admitted());
  await clock.advance(60_000);
  assert.deepEqual(said, [2], "a quiet minute says nothing");
});

test("bytes count, too", () => {
  const budget = new LogBudget(new SimulatedClock(), 100, 1000);
  assert.deepEqual(
    [600, 600, 10].map((bytes) => budget.admits(bytes, () => {})),
    [true, false, false],
  );
});
