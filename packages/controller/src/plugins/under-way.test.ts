import assert from "node:assert/strict";
import { test } from "vitest";
import { UnderWay } from "./under-way.ts";

test("work asked for twice is done once, and again once it has ended", async () => {
  const work = new UnderWay<number>();
  const first = Promise.withResolvers<number>();
  let begun = 0;
  const ask = () => work.once("a", async () => await (++begun === 1 ? first.promise : Promise.resolve(2)));
  const both = Promise.all([ask(), ask()]);
  work.note("a", "half");
  assert.deepEqual([work.size, work.has("a"), work.progress("a")], [1, true, "half"]);
  first.resolve(1);
  assert.deepEqual(await both, [1, 1]);
  assert.deepEqual([work.size, work.has("a"), work.progress("a")], [0, false, undefined]);
  assert.equal(await ask(), 2);
});

test("work that fails is forgotten, and can be asked for again", async () => {
  const work = new UnderWay<string>();
  await assert.rejects(
    work.once("a", async () => await Promise.reject(new Error("no disk"))),
    /no disk/,
  );
  assert.equal(await work.once("a", async () => await Promise.resolve("done")), "done");
});

test("closing aborts work and waits for its end", async () => {
  const work = new UnderWay<undefined>();
  let ended = false;
  const begun = work.once("a", async () => {
    const aborted = Promise.withResolvers<void>();
    work.signal.addEventListener("abort", () => aborted.resolve());
    await aborted.promise;
    await Promise.resolve();
    ended = true;
    throw new Error("aborted");
  });
  const refused = assert.rejects(begun, /aborted/);
  await work.close();
  assert.ok(ended);
  await refused;
});
