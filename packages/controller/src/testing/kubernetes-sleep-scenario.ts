// One seeded run of agents that sleep and wake on the model of Kubernetes, while calls fail, come late and end controllers.

import assert from "node:assert/strict";
import type { Kind } from "../cluster/kubernetes/api.ts";
import { LABELS } from "../cluster/kubernetes/names.ts";
import { isReady } from "./kubernetes-controllers.ts";
import { KubernetesSimulation } from "./kubernetes-simulation.ts";
import { specOf } from "./memory-database.ts";

/**
 * Thirty steps, then calm. At every change of the cluster an agent that has served once, and that nobody stopped, has a ready pod or
 * a door behind its Service; in the end sleepers have a door and no pod, the others pods and no door, and nothing is written.
 * @throws {AssertionError} what is not
 */
export async function run(seed: number, { controllers }: { controllers: number }): Promise<void> {
  const simulation = new KubernetesSimulation(seed, controllers);
  const { clock, database, model, random } = simulation;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const of = (kind: Kind, agentId: string) =>
    model.all(kind).filter(({ metadata }) => metadata.labels?.[LABELS.agent] === agentId);
  const serving = (agentId: string) =>
    of("EndpointSlice", agentId).length +
    of("Pod", agentId).filter((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined).length;
  const agents: string[] = [];
  const served = new Set<string>();
  const closed: string[] = [];
  const { changed } = model;
  model.changed = () => {
    for (const agentId of agents) {
      if (serving(agentId) > 0) served.add(agentId);
      else if (served.has(agentId)) closed.push(`${agentId} after ${model.writes.at(-1)}`);
    }
    changed();
  };
  for (let step = 0; step < 30; step += 1) {
    const verb = random();
    if (agents.length < 2 && (verb < 0.3 || agents.length === 0)) {
      const agentId = `agent-${agents.length}`;
      agents.push(agentId);
      database.launch(agentId, specOf({ model: "good" }), 1 + Math.floor(random() * 2));
    } else {
      const agentId = pick(agents);
      if (verb < 0.45) database.sleep(agentId);
      else if (verb < 0.7) await database.wakeDeployment(agentId);
      else if (verb < 0.8) database.scale(agentId, 1 + Math.floor(random() * 3));
      else if (verb < 0.9) database.update(agentId, { model: pick(["good", "better"]) });
      else if (verb < 0.95) database.restart(agentId);
      else simulation.pause(Math.floor(random() * controllers), random() * 40_000);
    }
    simulation.hint();
    await clock.advance(random() * 20_000);
  }
  await simulation.calm(700_000);
  const written = model.writes.length;
  await clock.advance(200_000);
  assert.deepEqual(model.writes.slice(written), [], "all is as it should be: nothing is written");
  assert.deepEqual(closed, [], "no request meets a Service without an endpoint");
  for (const agentId of agents) {
    const row = database.row(agentId);
    const doors = of("EndpointSlice", agentId).length;
    const pods = of("Pod", agentId).length;
    if (row.desired === "asleep") {
      assert.deepEqual([row.phase, doors, pods], ["ASLEEP", 1, 0], agentId);
    } else assert.deepEqual([row.phase, doors, pods], ["DEPLOYED", 0, row.targetReplicas], agentId);
  }
  await simulation.stop();
}
