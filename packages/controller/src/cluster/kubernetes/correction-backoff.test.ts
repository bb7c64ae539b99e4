import assert from "node:assert/strict";
import { test } from "node:test";
import { SimulatedClock } from "../../testing/simulated-clock.ts";
import { Calm } from "./correction-backoff.ts";

test("the first time at once; again and again, less and less often; after a quiet time at once again", async () => {
  const clock = new SimulatedClock();
  const start = clock.now();
  const done: number[] = [];
  const calm = new Calm(clock, (key) => attempt(key));
  function attempt(key: string): void {
    // Somebody undoes it at once, each time.
    while (calm.allows(key)) done.push((clock.now() - start) / 1000);
  }
  attempt("a");
  await clock.advance(20_000);
  assert.deepEqual(done, [0, 1, 3, 7, 15]);
  assert.ok(calm.allows("b"), "another key is not held up");
  calm.forget("a");
  await clock.advance(3_600_000);
  assert.equal(done.length, 5, "forgotten: nobody is called");
  assert.ok(calm.allows("a"));
});
