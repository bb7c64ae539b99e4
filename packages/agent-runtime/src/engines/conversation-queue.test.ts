import assert from "node:assert/strict";
import { test } from "vitest";
import { Turns } from "./conversation-queue.ts";

test("one conversation runs in order, others beside it, and a failure stops nobody", async () => {
  const turns = new Turns();
  const gate = Promise.withResolvers<void>();
  const seen: string[] = [];
  const task = (name: string, wait?: Promise<void>) => async () => {
    await wait;
    seen.push(name);
    if (name === "a2") throw new Error("a2 failed");
    return name;
  };
  const a1 = turns.run("a", task("a1", gate.promise));
  const a2 = turns.run("a", task("a2")).catch((error: Error) => error.message);
  const a3 = turns.run("a", task("a3"));
  assert.equal(await turns.run("b", task("b1")), "b1");
  gate.resolve();
  assert.deepEqual(await Promise.all([a1, a2, a3]), ["a1", "a2 failed", "a3"]);
  assert.deepEqual(seen, ["b1", "a1", "a2", "a3"]);
});
