import assert from "node:assert/strict";
import { test } from "vitest";
import type { ObservedReplica, ReplicaState } from "./cluster.ts";
import { isComplete, planRollout, surge } from "./rollout.ts";

/** Replicas as a text: template letter and state, e.g. `a:ready b:starting`; named in order r0, r1 … */
function replicas(text: string): ObservedReplica[] {
  return text
    .split(" ")
    .filter(Boolean)
    .map((item, index) => {
      const [template = "", state] = item.split(":");
      return { name: `r${index}`, template, state: state as ReplicaState, failures: 0, startedAt: index };
    });
}

const STEPS: [what: string, wanted: number, now: string, start: number, stop: string[]][] = [
  ["nothing yet → all at once", 3, "", 3, []],
  ["all there → nothing", 2, "b:ready b:ready", 0, []],
  ["1 → 3", 3, "b:ready", 2, []],
  ["3 → 1: the youngest go", 1, "b:ready b:ready b:ready", 0, ["r2", "r1"]],
  ["3 → 1: those that are not ready go first", 1, "b:starting b:ready b:waiting", 0, ["r2", "r0"]],
  ["to 0", 0, "b:ready b:starting", 0, ["r1", "r0"]],
  ["update of one: a new one beside the old", 1, "a:ready", 1, []],
  ["update of one: the old stays until the new is ready", 1, "a:ready b:starting", 0, []],
  ["update of one: now the old goes", 1, "a:ready b:ready", 0, ["r0"]],
  ["update of four: one more at a time", 4, "a:ready a:ready a:ready a:ready", 1, []],
  [
    "update of four: ready, so one old goes and the next starts",
    4,
    "a:ready a:ready a:ready a:ready b:ready",
    1,
    ["r3"],
  ],
  ["update of eight: two at a time", 8, "a:ready ".repeat(8), 2, []],
  ["old ones that serve nobody go at once", 2, "a:waiting a:unready a:starting", 2, ["r0", "r1", "r2"]],
  ["an update that is stuck keeps the old", 2, "a:ready a:ready b:waiting", 0, []],
  ["update and 1 → 3", 3, "a:ready", 3, []],
  ["update and 3 → 1", 1, "a:ready a:ready a:ready", 1, ["r2", "r1"]],
  ["a third template: only the ready old one stays", 1, "a:ready b:starting", 0, []],
  ["ending ones count for nothing", 1, "b:ending a:ending", 1, []],
  ["a replica that crashed is started again by itself", 1, "b:waiting", 0, []],
];

for (const [what, wanted, now, start, stop] of STEPS) {
  test(`rollout: ${what}`, () => {
    const plan = planRollout(wanted, "b", replicas(now));
    assert.deepEqual([plan.start, [...plan.stop].sort()], [start, [...stop].sort()]);
  });
}

test("a third template ends the half-started second one", () => {
  assert.deepEqual(planRollout(1, "c", replicas("a:ready b:starting")), { start: 1, stop: ["r1"] });
});

test("surge is a quarter, at least one", () => {
  assert.deepEqual([1, 2, 4, 5, 8, 100].map(surge), [1, 1, 1, 2, 2, 25]);
});

test("complete is exactly the wanted replicas, all ready", () => {
  assert.ok(isComplete(2, "b", replicas("b:ready b:ready a:ending")));
  assert.ok(!isComplete(2, "b", replicas("b:ready b:starting")));
  assert.ok(!isComplete(2, "b", replicas("b:ready b:ready a:ready")));
  assert.ok(!isComplete(2, "b", replicas("b:ready b:ready b:ready")));
  assert.ok(isComplete(0, "b", []));
});

test("any rollout of ready replicas ends, and never serves with fewer than it may", () => {
  for (let before = 0; before <= 6; before += 1) {
    for (let wanted = 0; wanted <= 6; wanted += 1) {
      let now = replicas("a:ready ".repeat(before));
      const least = Math.min(before, wanted);
      let steps = 0;
      for (; !isComplete(wanted, "b", now); steps += 1) {
        assert.ok(steps < 40, `${before} → ${wanted} does not end`);
        const plan = planRollout(wanted, "b", now);
        now = now.filter((replica) => !plan.stop.includes(replica.name));
        assert.ok(
          now.filter((replica) => replica.state === "ready").length >= least,
          `${before} → ${wanted}`,
        );
        for (let index = 0; index < plan.start; index += 1) {
          now.push({
            name: `n${steps}-${index}`,
            template: "b",
            state: "starting",
            failures: 0,
            startedAt: steps,
          });
        }
        assert.ok(now.length <= Math.max(before, wanted + surge(wanted)), `${before} → ${wanted}: too many`);
        now = now.map((replica) => ({ ...replica, state: "ready" }));
      }
    }
  }
});
