import assert from "node:assert/strict";
import { test } from "vitest";
import { SimulatedClock } from "../../testing/simulated-clock.ts";
import { CorrectionBackoff } from "./correction-backoff.ts";

test("the first time at once; again and again, less and less often; after a quiet time at once again", async () => {
  const clock = new SimulatedClock();
  const start = clock.now();
  const done: number[] = [];
  const backoff = new CorrectionBackoff(clock, (key) => attempt(key));
  function attempt(key: string): void {
    // Somebody undoes it at once, each time.
    while (backoff.allows(key)) done.push((clock.now() - start) / 1000);
  }
  attempt("a");
  await clock.advance(20_000);
  assert.deepEqual(done, [0, 1, 3, 7, 15]);
  assert.ok(backoff.allows("b"), "another key is not held up");
  backoff.forget("a");
  await clock.advance(3_600_000);
  assert.equal(done.length, 5, "forgotten: nobody is called");
  assert.ok(backoff.allows("a"));
});
