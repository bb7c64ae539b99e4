import assert from "node:assert/strict";
import { test } from "vitest";
import { SimulatedClock } from "../../testing/simulated-clock.ts";
import { Inventory } from "./inventory.ts";

test("a namespace that was forgotten and read again has another version than ever before", async () => {
  const inventory = new Inventory(
    { list: async () => ({ resourceVersion: "1", items: [] }) },
    "test",
    new SimulatedClock(),
  );
  const seen = [];
  for (let life = 0; life < 3; life += 1) {
    await inventory.load("agents-a");
    seen.push(inventory.version("agents-a"));
    inventory.note("Secret", "agents-a", { name: "s" });
    seen.push(inventory.version("agents-a"));
    await inventory.load("agents-b");
    inventory.forget("agents-a");
    assert.equal(inventory.isLoaded("agents-a"), false);
    assert.equal(inventory.version("agents-a"), 0);
  }
  assert.equal(new Set([0, ...seen]).size, seen.length + 1, seen.join());
});
