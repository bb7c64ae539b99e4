import assert from "node:assert/strict";
import { test } from "vitest";
import type { Rollout } from "../contract.ts";
import { decideWave, LATE_SECONDS, rolloutText } from "./waves.ts";

const rollout = (part: Partial<Rollout> = {}): Rollout => ({
  id: "r",
  state: "running",
  image: "runtime:2",
  previousImage: "runtime:1",
  wave: 1,
  waveSeconds: 60,
  quietSeconds: 60,
  soakSeconds: 30,
  maxFailures: 0,
  percent: 10,
  canaryPauses: false,
  total: 20,
  waiting: 18,
  updating: 0,
  ready: 2,
  idle: 0,
  failed: 0,
  examples: [],
  ...part,
});

const table: [string, Partial<Rollout>, string][] = [
  ["the first wave comes at once", { wave: 0, waiting: 20, ready: 0, quietSeconds: 0 }, "admit"],
  ["the next wave comes when the last is ready", {}, "admit"],
  ["and has been for the soak time", { quietSeconds: 29 }, "wait"],
  ["one agent under way holds the next wave up", { updating: 1, ready: 1 }, "wait"],
  ["one that serves nobody does not", { idle: 1, ready: 1 }, "admit"],
  ["one failure stops it", { failed: 1, ready: 1 }, "halt"],
  ["also while others are under way", { failed: 1, updating: 1, ready: 0 }, "halt"],
  ["as many as allowed do not", { failed: 1, ready: 1, maxFailures: 1 }, "admit"],
  ["one more does", { failed: 2, ready: 0, maxFailures: 1 }, "halt"],
  ["one that is late counts as failed", { updating: 1, ready: 1, waveSeconds: LATE_SECONDS }, "halt"],
  ["and holds nothing up where allowed", { updating: 1, waveSeconds: LATE_SECONDS, maxFailures: 1 }, "admit"],
  ["everybody ready: over", { waiting: 0, ready: 20 }, "finish"],
  ["not before the soak time", { waiting: 0, ready: 20, quietSeconds: 1 }, "wait"],
  ["nobody concerned: over at once", { wave: 0, total: 0, waiting: 0, ready: 0, quietSeconds: 0 }, "finish"],
  ["canaries ready: a person looks", { canaryPauses: true }, "pause"],
  ["paused", { state: "paused" }, "wait"],
  ["halted, and the failed one has come up", { state: "halted" }, "wait"],
  ["undone", { state: "undone", failed: 3 }, "wait"],
];
for (const [name, part, decision] of table) {
  test(`waves: ${name}`, () => assert.equal(decideWave(rollout(part)).do, decision));
}

test("the reason of a halt names agents, and repeats nothing that an agent said", () => {
  const problem = "Its last words: my password is hunter2";
  const halted = decideWave(rollout({ failed: 2, examples: ["agent-a", "agent-b"], problem }));
  assert.ok(halted.do === "halt");
  assert.equal(
    halted.reason,
    "2 of 2 agents did not become ready; their old replicas serve on (agent-a, agent-b).",
  );
});

test("the sentence of a halted rollout has the cure", () => {
  const text = rolloutText(
    rollout({ state: "halted", failed: 1, reason: "1 of 2 failed.", problem: "It crashed." }),
  );
  assert.match(
    text,
    /rollout of runtime:2 is halted in wave 1: .*1 failed.*1 of 2 failed\. It crashed\. Set agents\.image .*fleet rollout undo/,
  );
});
