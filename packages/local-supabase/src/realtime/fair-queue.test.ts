import assert from "node:assert/strict";
import { test } from "vitest";
import { FairQueue } from "./fair-queue.ts";

test("one owner's crowd of work leaves places for the others, and each owner's work keeps its order", async () => {
  const queue = new FairQueue(2, 1);
  const begun: string[] = [];
  const gates: (() => void)[] = [];
  const work = (name: string) =>
    queue.run(name.slice(0, 1), async () => {
      begun.push(name);
      await new Promise<void>((resolve) => gates.push(resolve));
      return name;
    });
  const all = ["a1", "a2", "a3", "b1", "c1", "b2"].map(work);
  const step = async () => {
    await new Promise(setImmediate);
    gates.shift()?.();
    await new Promise(setImmediate);
  };
  await new Promise(setImmediate);
  assert.deepEqual(begun, ["a1", "b1"]);
  for (let n = 0; n < 6; n++) await step();
  assert.deepEqual(await Promise.all(all), ["a1", "a2", "a3", "b1", "c1", "b2"]);
  assert.ok(begun.indexOf("c1") < begun.indexOf("a3"), begun.join());
});

test("work that throws gives its place back", async () => {
  const queue = new FairQueue(1, 1);
  await assert.rejects(
    queue.run("a", () => Promise.reject(new Error("no"))),
    /no/,
  );
  assert.equal(await queue.run("a", async () => 1), 1);
});
