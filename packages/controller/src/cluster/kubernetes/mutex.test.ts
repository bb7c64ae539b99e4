import assert from "node:assert/strict";
import { test } from "vitest";
import { KeyedMutex } from "./mutex.ts";

test("one at a time for each key, in order, also after a failure; keys do not wait for each other", async () => {
  const mutex = new KeyedMutex();
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = mutex.run("a", async () => {
    await gate.promise;
    order.push("first");
    throw new Error("it failed");
  });
  const second = mutex.run("a", async () => order.push("second"));
  await mutex.run("b", async () => order.push("other"));
  gate.resolve();
  await assert.rejects(first, /it failed/);
  await second;
  assert.deepEqual(order, ["other", "first", "second"]);
});
