import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { differences } from "./difference.ts";

const fields = (now: object, wanted: object) =>
  differences(now as Record<string, unknown>, wanted as Record<string, unknown>).map(
    ({ field, before, after }) => [field, before, after],
  );

describe("what an update would change", () => {
  for (const [why, now, wanted, changed] of [
    ["equal values: nothing", { role: "x", plugins: ["a"] }, { role: "x", plugins: ["a"] }, []],
    ["a field the file leaves out: nothing", { role: "x", model: "m" }, { role: "x" }, []],
    ["null for an absent field: nothing", {}, { role: null, plugins: [] }, []],
    ["null for a field: it goes", { role: "x" }, { role: null }, [["role", "x", undefined]]],
    ["a new field", {}, { model: "m" }, [["model", undefined, "m"]]],
    [
      "resources are merged",
      { resources: { memory: "256Mi", cpu: "250m" } },
      { resources: { memory: "512Mi" } },
      [["resources.memory", "256Mi", "512Mi"]],
    ],
    [
      "a character is replaced: what the file drops goes",
      { character: { name: "Ada", bio: "old", lore: ["x"] } },
      { character: { name: "Ada", bio: "new" } },
      [
        ["character.bio", "old", "new"],
        ["character.lore", ["x"], undefined],
      ],
    ],
    ["the order of keys is no difference", { a: [{ x: 1, y: 2 }] }, { a: [{ y: 2, x: 1 }] }, []],
    [
      "the order of a list is one",
      { plugins: ["a", "b"] },
      { plugins: ["b", "a"] },
      [["plugins", ["a", "b"], ["b", "a"]]],
    ],
  ] as const)
    test(why, () => assert.deepEqual(fields(now, wanted), changed));
});
