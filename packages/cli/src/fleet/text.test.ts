import assert from "node:assert/strict";
import { test } from "vitest";
import { plain } from "../output/style.ts";
import type { Rollout } from "./operator.ts";
import { rolloutFacts } from "./text.ts";

const rollout: Rollout = {
  state: "halted",
  reason: "2 of 2 agents did not become ready.",
  image: "runtime:2",
  previousImage: "runtime:1",
  wave: 1,
  percent: 10,
  total: 20,
  waiting: 18,
  updating: 0,
  ready: 0,
  idle: 0,
  failed: 2,
  problem: "line one\nline \u001b[31mtwo",
  examples: ["agent-a"],
};

test("a halted rollout: counts that matter, both images, the reason, the problem on one clean line", () => {
  assert.deepEqual(rolloutFacts(rollout, { paint: plain } as never), [
    ["Rollout", "halted, wave 1: 0 of 20 ready, 2 failed, 18 waiting"],
    ["Image", "runtime:2 (before: runtime:1)"],
    ["Reason", "2 of 2 agents did not become ready."],
    ["Problem", "line one line two"],
    ["Agents", "agent-a"],
  ]);
});

test("no rollout: no lines", () => assert.deepEqual(rolloutFacts(null, { paint: plain } as never), []));
