import assert from "node:assert/strict";
import { test } from "vitest";
import { SimulatedClock } from "../testing/simulated-clock.ts";
import { LogBudget, LogBudgets } from "./log-budget.ts";

test("lines beyond a minute's share are left out, and their number is said once", async () => {
  const clock = new SimulatedClock();
  const budget = new LogBudget({ clock, maxLines: 3, maxBytes: 1000 });
  const said: number[] = [];
  const admitted = () => budget.admits(10, clock.now(), (dropped) => said.push(dropped));
  assert.deepEqual([1, 2, 3, 4, 5].map(admitted), [true, true, true, false, false]);
  assert.deepEqual(said, []);
  await clock.advance(60_000);
  assert.deepEqual(said, [2]);
  assert.ok(admitted());
  await clock.advance(60_000);
  assert.deepEqual(said, [2], "a quiet minute says nothing");
});

test("bytes count, too", () => {
  const clock = new SimulatedClock();
  const budget = new LogBudget({ clock, maxLines: 100, maxBytes: 1000 });
  assert.deepEqual(
    [600, 600, 10].map((bytes) => budget.admits(bytes, clock.now(), () => {})),
    [true, false, false],
  );
});

test("a log that is read late is judged by when it was written", async () => {
  const clock = new SimulatedClock();
  const budget = new LogBudget({ clock, maxLines: 2 });
  const said: number[] = [];
  const hourAgo = clock.now() - 3_600_000;
  const kept = Array.from({ length: 9 }, (_, i) =>
    budget.admits(10, hourAgo + i * 20_000, (dropped) => said.push(dropped)),
  );
  assert.deepEqual(kept, [true, true, false, true, true, false, true, true, false]);
  await clock.advance(1000);
  assert.deepEqual(said, [1, 1, 1]);
});

test("an agent that was silent for long has no budget in memory", async () => {
  const clock = new SimulatedClock();
  const budgets = new LogBudgets({ clock, maxLines: 2 });
  const first = budgets.of("a");
  first.admits(10, clock.now(), () => {});
  assert.equal(budgets.of("a"), first);
  await clock.advance(3_600_000);
  budgets.of("b");
  assert.notEqual(budgets.of("a"), first);
});
