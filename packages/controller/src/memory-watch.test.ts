import assert from "node:assert/strict";
import { test } from "vitest";
import { silentLog } from "./log.ts";
import { MemoryWatch, memoryLimit } from "./memory-watch.ts";
import { SimulatedClock } from "./testing/simulated-clock.ts";

test("a limit is one only below the machine's memory", () => {
  assert.equal(memoryLimit(512, 4096), 512);
  assert.equal(memoryLimit(0, 4096), undefined, "the platform does not say");
  assert.equal(memoryLimit(2 ** 64, 4096), undefined, "no control group");
});

test("from 85 % of the limit on it warns, once an hour", async () => {
  const clock = new SimulatedClock();
  const said: unknown[] = [];
  let used = 400;
  const log = { ...silentLog, warn: (_: string, facts?: object) => said.push(facts) };
  const watch = new MemoryWatch({ clock, log, limit: 1e9, used: () => used * 1e6 });
  watch.start();
  await clock.advance(600_000);
  assert.deepEqual(said, []);
  used = 860;
  await clock.advance(1_800_000);
  assert.deepEqual(said, [{ usedMegabytes: 860, limitMegabytes: 1000 }]);
  await clock.advance(3_600_000);
  assert.equal(said.length, 2);
  watch.stop();
  await clock.advance(7_200_000);
  assert.equal(said.length, 2);
});

test("without a limit it never looks", async () => {
  const clock = new SimulatedClock();
  const watch = new MemoryWatch({
    clock,
    log: silentLog,
    limit: undefined,
    used: () => assert.fail("it looked"),
  });
  watch.start();
  await clock.advance(600_000);
});
