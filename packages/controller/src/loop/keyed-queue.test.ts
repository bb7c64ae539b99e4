import assert from "node:assert/strict";
import { test } from "vitest";
import { SimulatedClock } from "../testing/simulated-clock.ts";
import { KeyedQueue } from "./keyed-queue.ts";

function rig(concurrency: number) {
  const clock = new SimulatedClock();
  const log: string[] = [];
  const open = new Map<string, () => void>();
  const queue = new KeyedQueue(clock, concurrency, async (key) => {
    log.push(key);
    await new Promise<void>((resolve) => open.set(key, resolve));
  });
  const finish = async (key: string) => {
    open.get(key)?.();
    await clock.advance(1);
  };
  return { clock, finish, log, queue };
}

test("a key never runs twice at once; asked for while it runs, it runs once more", async () => {
  const { finish, log, queue } = rig(4);
  for (let time = 0; time < 3; time += 1) queue.enqueue("a");
  assert.deepEqual(log, ["a"]);
  await finish("a");
  assert.deepEqual(log, ["a", "a"]);
  await finish("a");
  assert.deepEqual(log, ["a", "a"]);
  assert.equal(queue.size, 0);
});

test("a key that hangs blocks itself alone", async () => {
  const { finish, log, queue } = rig(2);
  for (const key of ["poison", "a", "b"]) queue.enqueue(key);
  assert.deepEqual(log, ["poison", "a"]);
  await finish("a");
  await finish("b");
  assert.deepEqual(log, ["poison", "a", "b"]);
});

test("work that asks for itself lets everything else run", async () => {
  const clock = new SimulatedClock();
  let turns = 0;
  const queue = new KeyedQueue(clock, 1, async (key) => {
    turns += 1;
    if (turns < 1000) queue.enqueue(key);
  });
  queue.enqueue("a");
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(turns, 1);
  await clock.advance(1);
  assert.equal(turns, 1000);
});

test("a later time is kept until something asks earlier", async () => {
  const { clock, finish, log, queue } = rig(1);
  queue.enqueueAfter("a", 1000);
  queue.enqueueAfter("b", 1000);
  queue.enqueue("a");
  await finish("a");
  await clock.advance(2000);
  assert.deepEqual(log, ["a", "b"]);
});

test("stop waits for what runs and takes no more", async () => {
  const { finish, log, queue } = rig(1);
  queue.enqueue("a");
  queue.enqueue("b");
  let stopped = false;
  const stopping = queue.stop().then(() => {
    stopped = true;
  });
  await Promise.resolve();
  assert.ok(!stopped);
  await finish("a");
  await stopping;
  queue.enqueue("c");
  assert.deepEqual(log, ["a"]);
});
