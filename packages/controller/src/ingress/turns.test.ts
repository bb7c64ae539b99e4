import assert from "node:assert/strict";
import { test } from "vitest";
import { Turns } from "./turns.ts";

const NOBODY = new Set<string>();

function filled(): Turns<string> {
  const turns = new Turns<string>();
  for (const thing of ["a1", "a2", "a3", "b1"]) turns.add(thing.slice(0, 1), thing);
  return turns;
}

test("owners take turns, and the things of one keep their order", () => {
  const turns = filled();
  const order = Array.from({ length: 5 }, () => turns.next(NOBODY));
  assert.deepEqual(order, ["a1", "b1", "a2", "a3", undefined]);
});

test("an owner who has no turn now is passed over and keeps the things", () => {
  const turns = filled();
  assert.equal(turns.next(new Set(["a"])), "b1");
  assert.equal(turns.next(new Set(["a"])), undefined);
  assert.equal(turns.of("a"), 3);
});

test("a thing that was taken back gets no turn; one that is added twice gets one", () => {
  const turns = filled();
  turns.delete("a", "a1");
  turns.delete("c", "c1");
  turns.add("a", "a2");
  assert.deepEqual([turns.next(NOBODY), turns.of("a")], ["a2", 1]);
});
