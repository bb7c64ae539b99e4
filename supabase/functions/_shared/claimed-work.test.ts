import assert from "node:assert/strict";
import { test } from "vitest";
import { ClaimedWork } from "./claimed-work.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A queue whose pieces end when told to. */
function queue(waiting: number) {
  const ends: (() => void)[] = [];
  let claims = 0;
  let under = 0;
  const work = new ClaimedWork(async () => {
    claims += 1;
    assert.equal(++under, 1, "claims overlap");
    const found = Math.min(waiting, 1);
    waiting -= found;
    await turn(); // what comes now is not in this claim's answer
    under -= 1;
    if (found === 0) return false;
    work.start(new Promise((resolve) => ends.push(resolve)));
    return true;
  });
  return { work, ends, claims: () => claims, add: () => (waiting += 1) };
}

test("waking: everything that waits is claimed, and wake returns when all of it is done", async () => {
  const { work, ends, claims } = queue(2);
  let returned = false;
  const woken = work.wake().then(() => (returned = true));
  while (claims() < 3) await turn();
  await turn();
  assert.deepEqual([work.size, returned], [2, false]);
  ends[0]?.();
  await turn();
  assert.deepEqual([work.size, returned], [1, false]);
  ends[1]?.();
  await woken;
  assert.equal(work.size, 0);
});

test("waking twice: claims never overlap, and work that came during a claim is found", async () => {
  const { work, ends, claims, add } = queue(0);
  const first = work.wake();
  add();
  const second = work.wake();
  while (claims() < 3) await turn();
  assert.deepEqual([work.size, claims()], [1, 3]);
  ends[0]?.();
  await Promise.all([first, second]);
});

test("a piece that ends is no longer counted when its listener is called", async () => {
  const work = new ClaimedWork(async () => false);
  const sizes: number[] = [];
  work.start(Promise.resolve(), () => sizes.push(work.size));
  await turn();
  assert.deepEqual(sizes, [0]);
});
