// One seeded run of controllers that roll out a new image in waves.

import assert from "node:assert/strict";
import { AGENTS, agentsOn, BAD, BETTER, fleet, GOOD, serving } from "./rollout-fleet.ts";

/**
 * A bad image and then a good one while calls fail and controllers crash: the bad one stays in its wave, the good one reaches all.
 * @throws {AssertionError} what went further, or who stopped serving
 */
export async function run(seed: number): Promise<void> {
  const simulation = await fleet(seed);
  const { clock, faults, random } = simulation;
  const tenMinutes = async (see: () => void) => {
    for (let step = 0; step < 60; step += 1) {
      if (random() < 0.1) simulation.restart();
      await clock.advance(10_000);
      assert.equal(serving(simulation), AGENTS);
      see();
    }
  };
  faults.on = true;
  simulation.image = BAD;
  await tenMinutes(() => assert.ok(agentsOn(simulation, BAD).size <= 2, "no second wave"));
  simulation.image = BETTER;
  await tenMinutes(() => {});
  await simulation.calm(900_000);
  assert.equal(agentsOn(simulation, BETTER, true).size, AGENTS);
  assert.deepEqual([agentsOn(simulation, BAD).size, agentsOn(simulation, GOOD).size], [0, 0]);
  assert.equal(simulation.database.rollouts.state, null);
  await simulation.stop();
}
