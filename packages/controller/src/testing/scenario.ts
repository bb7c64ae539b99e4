// One seeded run of controllers over pretended clusters.

import assert from "node:assert/strict";
import { templateOf } from "../reconcile/template.ts";
import { specOf } from "./memory-database.ts";
import { Simulation, type SimulationOptions } from "./simulation.ts";

const MODELS = ["good", "better", "crash", "fatal"];

/**
 * One seeded run: verbs and faults for two minutes, then calm; the end must be what the users asked for last.
 * @throws {AssertionError} what is not
 */
export async function run(seed: number, options: Omit<SimulationOptions, "seed">): Promise<void> {
  const simulation = new Simulation({ ...options, seed });
  const { clock, database, random } = simulation;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const agents: string[] = [];

  for (let step = 0; step < 40; step += 1) {
    const verb = random();
    if (agents.length < 4 && (verb < 0.3 || agents.length === 0)) {
      const agentId = `agent-${agents.length}`;
      agents.push(agentId);
      database.launch(agentId, specOf({ model: pick(MODELS) }), 1 + Math.floor(random() * 3));
    } else {
      const agentId = pick(agents);
      if (verb < 0.5) database.scale(agentId, 1 + Math.floor(random() * 4));
      else if (verb < 0.65) database.update(agentId, { model: pick(MODELS) });
      else if (verb < 0.75) database.restart(agentId);
      else if (verb < 0.82) database.stop(agentId);
      else if (verb < 0.92) database.startAgain(agentId);
      else if (verb < 0.94) database.delete(agentId);
      else if (verb < 0.97) simulation.pause(Math.floor(random() * options.controllers), random() * 40_000);
      else {
        for (const site of simulation.sites) {
          const victim = site.cluster.running(agentId)[0];
          if (victim !== undefined) site.cluster.kill(agentId, victim.name);
        }
      }
    }
    simulation.hint();
    await clock.advance(random() * 6000);
    for (const row of database.rows.values()) assert.ok(row.observedGeneration <= row.generation);
  }
  await simulation.calm(400_000);

  for (const agentId of agents) {
    const row = database.row(agentId);
    const replicas = simulation.sites.flatMap((site) => site.cluster.running(agentId));
    assert.equal(row.observedGeneration, row.generation, `${agentId}: the last wish was seen`);
    const expected = { running: "DEPLOYED", asleep: "ASLEEP", stopped: "STOPPED", absent: "DELETED" }[
      row.desired
    ];
    const broken = row.desired === "running" && (row.spec.model === "crash" || row.spec.model === "fatal");
    assert.equal(row.phase, broken ? "FAILED" : expected, `${agentId}: phase`);
    const template = templateOf(row.spec, row.restarts);
    if (broken) {
      assert.ok(
        replicas.every((replica) => replica.template !== template),
        `${agentId}: a failed one rests`,
      );
      assert.ok(
        row.reason === "CRASH_LOOP" || row.reason === "PLUGIN_NOT_FOUND",
        `${agentId}: ${row.reason}`,
      );
    } else {
      const wanted = row.desired === "running" ? row.targetReplicas : 0;
      assert.equal(replicas.length, wanted, `${agentId}: as many replicas as wanted, none doubled`);
      assert.ok(replicas.every((replica) => replica.template === template && replica.state === "ready"));
      if (wanted > 0) assert.equal(row.readyReplicas, wanted, `${agentId}: reported`);
    }
  }
  for (const site of simulation.sites) await site.life?.controller.stop();
}
