import assert from "node:assert/strict";
import { test } from "vitest";
import type { Claim, Classes } from "../contract.ts";
import { silentLog } from "../log.ts";
import { UserClasses } from "./classes.ts";

const claimOf = (classesVersion: number | null, name: string | null, userId = "u") =>
  ({ userId, classesVersion, class: name === null ? null : { name } }) as Claim;

/** Classes whose reads end when the test says so. */
function rig() {
  const reads: { answer(classes: Classes): void; fail(): void }[] = [];
  let changes = 0;
  const classes = new UserClasses({
    load: () =>
      new Promise((resolve, reject) => {
        reads.push({ answer: resolve, fail: () => reject(new Error("no answer")) });
      }),
    changed: () => {
      changes += 1;
    },
    log: silentLog,
  });
  const known = (version: number, users: Record<string, string> = {}): Classes => ({
    version,
    classes: { default: { name: "default" }, a: { name: "a" }, b: { name: "b" } },
    users,
  });
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  return { classes, known, reads, settled, changes: () => changes };
}

test("a claim's class counts until something newer was read", async () => {
  const { classes, known, reads, settled } = rig();
  assert.equal(classes.of(claimOf(1, "a"))?.name, "a");
  classes.learn(2);
  reads[0]?.answer(known(2, { u: "b" }));
  await settled();
  assert.equal(classes.of(claimOf(1, "a"))?.name, "b", "an older claim");
  assert.equal(classes.of(claimOf(2, "a"))?.name, "a", "of the same time: its user may have come since");
  assert.equal(classes.of(claimOf(3, "a"))?.name, "a", "a newer claim");
  assert.equal(classes.of(claimOf(1, "a", "other"))?.name, "default");
});

test("one version is read once; one that comes meanwhile is read after it", async () => {
  const { changes, classes, known, reads, settled } = rig();
  classes.learn(2);
  classes.learn(2);
  classes.learn(3);
  assert.equal(reads.length, 1);
  reads[0]?.answer(known(2));
  await settled();
  assert.equal(reads.length, 2);
  reads[1]?.answer(known(3));
  await settled();
  classes.learn(3);
  assert.deepEqual([reads.length, changes()], [2, 2]);
});

test("a read that fails is repeated when the version is told again", async () => {
  const { classes, known, reads, settled } = rig();
  classes.learn(2);
  reads[0]?.fail();
  await settled();
  classes.learn(2);
  reads[1]?.answer(known(2, { u: "a" }));
  await settled();
  assert.equal(classes.of(claimOf(1, null))?.name, "a");
});

test("a database that knows no classes is asked for none", () => {
  const { classes, reads } = rig();
  classes.learn(undefined);
  assert.equal(reads.length, 0);
  assert.equal(classes.of(claimOf(null, null)), null);
});
