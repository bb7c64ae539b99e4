import assert from "node:assert/strict";
import { test } from "vitest";
import { runSeeds } from "./seeds.ts";

const module = (body: string) =>
  new URL(
    `data:text/javascript,${encodeURIComponent(`export async function run(seed, options) { ${body} }`)}`,
  );

test("a seed that fails is named, with its options and why", async () => {
  const failing = module("if (seed === options.bad) throw new Error('lost an agent');");
  await runSeeds(failing, { bad: 31 }, 1, 30);
  await assert.rejects(runSeeds(failing, { bad: 7 }, 1, 30), (error: Error) => {
    assert.equal(error.message, 'seed 7 {"bad":7}');
    assert.equal((error.cause as Error).message, "lost an agent");
    return true;
  });
});

test("one seed alone → no other is run", async () => {
  await runSeeds(module("if (seed !== 7) throw new Error(seed);"), {}, 7, 7);
});

test("every seed is run, whatever the number of threads", async () => {
  for (const seed of [1, 2, 29, 30]) {
    await assert.rejects(runSeeds(module("if (seed === options) throw new Error();"), seed, 1, 30));
  }
});

test("a seed that never ends is named", async () => {
  const hanging = module("if (seed === options) await new Promise(() => {});");
  await assert.rejects(runSeeds(hanging, 12, 1, 30), /^Error: seed 12: its thread ended with 13$/);
});
