import assert from "node:assert/strict";
import { test } from "node:test";
import { runSeeds } from "./seeds.ts";

const module = (body: string) =>
  new URL(
    `data:text/javascript,${encodeURIComponent(`export async function run(seed, options) { ${body} }`)}`,
  );

test("a seed that fails is named, with its options and why", async () => {
  const failing = module("if (seed === options.bad) throw new Error('lost an agent');");
  await runSeeds(failing, { bad: 31 }, 30);
  await assert.rejects(runSeeds(failing, { bad: 7 }, 30), (error: Error) => {
    assert.equal(error.message, 'LAUNCHPAD_SIMULATION_SEED=7 {"bad":7}');
    assert.equal((error.cause as Error).message, "lost an agent");
    return true;
  });
});

test("every seed is run, whatever the number of threads", async () => {
  for (const seed of [1, 2, 29, 30]) {
    await assert.rejects(runSeeds(module("if (seed === options) throw new Error();"), seed, 30));
  }
});

test("a seed that never ends is named", async () => {
  const hanging = module("if (seed === options) await new Promise(() => {});");
  await assert.rejects(
    runSeeds(hanging, 12, 30),
    /^Error: LAUNCHPAD_SIMULATION_SEED=12: its thread ended with 13$/,
  );
});
