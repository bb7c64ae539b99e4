import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { Folders } from "../cluster/processes/folders.ts";
import type { FleetState } from "../contract.ts";
import { createLog } from "../log.ts";
import { SimulatedClock } from "../testing/simulated-clock.ts";
import { brakeLimit } from "./brake.ts";
import { FleetGuard, type Marks } from "./guard.ts";

const state = (part: Partial<FleetState> = {}): FleetState => ({
  installation: "right",
  adopted: [],
  hold: null,
  release: null,
  ...part,
});

function rig(marks: Marks = () => new Map()) {
  const clock = new SimulatedClock();
  const lines: string[] = [];
  const guard = new FleetGuard({ clock, log: createLog((line) => lines.push(line), "info") });
  guard.compareWith(marks);
  const errors = () => lines.filter((line) => line.includes('"level":"error"'));
  return { clock, guard, errors };
}

const names = (count: number) => Array.from({ length: count }, (_, index) => `agent-${index}`);

test("the brake lets 5 or a tenth go, whichever is more, and what a person allowed", () => {
  assert.deepEqual(
    [0, 5, 50, 59, 60, 1000].map((total) => brakeLimit(total, undefined)),
    [5, 5, 5, 5, 6, 100],
  );
  assert.equal(brakeLimit(1000, 700), 700);
  assert.equal(brakeLimit(1000, 7), 100);
});

test("before the database has answered nothing may be changed or removed", () => {
  const { guard } = rig();
  assert.deepEqual([guard.mayChange, guard.mayRemove], [false, false]);
  assert.throws(() => guard.databaseId, /which one it is/);
});

test("another database than the installation's: one error with the cure, until it is right or adopted", () => {
  const { guard, errors } = rig(() => new Map([["right", 12]]));
  guard.learn(state({ installation: "wrong" }));
  guard.learn(state({ installation: "wrong" }));
  assert.equal(errors().length, 1);
  assert.match(guard.trouble ?? "", /database right \(12 namespaces\).*database wrong.*fleet adopt right/s);
  assert.deepEqual([guard.mayChange, guard.mayRemove], [false, false]);
  guard.learn(state({ installation: "wrong", adopted: ["right"] }));
  assert.deepEqual([guard.trouble, guard.mayRemove], [undefined, true]);
});

test("a database that is another one in mid-life is noticed without any mark", () => {
  const { guard } = rig();
  guard.learn(state());
  guard.learn(state({ installation: "wrong" }));
  assert.match(guard.trouble ?? "", /belongs to the database right/);
  guard.learn(state());
  assert.equal(guard.trouble, undefined);
});

test("single foreign marks beside our own do not stop the rest", () => {
  const { guard } = rig(
    () =>
      new Map([
        ["right", 3],
        ["forged", 1],
      ]),
  );
  guard.learn(state());
  assert.equal(guard.trouble, undefined);
  assert.deepEqual([...guard.foreign], [["forged", 1]]);
});

test("more than the brake allows: none may go, one error, the count is kept until it fits or is released", () => {
  const { clock, guard, errors } = rig();
  guard.learn(state());
  assert.equal(guard.judge("agents", names(10), 100), true);
  assert.equal(guard.judge("agents", names(11), 100), false);
  assert.equal(guard.judge("agents", names(11), 100), false);
  assert.equal(errors().length, 1);
  assert.match(errors()[0] ?? "", /11 of 100 agents.*fleet release/);
  assert.deepEqual(guard.stopped.get("agents"), { count: 11, total: 100, examples: names(5) });

  guard.learn(state({ release: { removals: 11, seconds: 60 } }));
  assert.equal(guard.judge("agents", names(12), 100), false);
  assert.equal(guard.judge("agents", names(11), 100), true);
  assert.equal(guard.stopped.size, 0);
  return clock.advance(61_000).then(() => assert.equal(guard.judge("agents", names(11), 100), false));
});

test("a hold of removals stops them alone; a hold of everything stops every change", () => {
  const { guard } = rig();
  guard.learn(state({ hold: "removals" }));
  assert.deepEqual([guard.mayChange, guard.mayRemove, guard.judge("agents", [], 1)], [true, false, false]);
  guard.learn(state({ hold: "everything" }));
  assert.deepEqual([guard.mayChange, guard.mayRemove], [false, false]);
  guard.learn(state());
  assert.deepEqual([guard.mayChange, guard.mayRemove], [true, true]);
});

test("the state folder of the processes remembers its database over restarts", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-mark-"));
  context.onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const fresh = new Folders(folder);
  assert.equal(fresh.marks().size, 0);
  fresh.mark("right");
  const { guard } = rig(() => new Folders(folder).marks());
  guard.learn(state({ installation: "wrong" }));
  assert.match(guard.trouble ?? "", /belongs to the database right, but/);
});
