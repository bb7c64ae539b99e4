// A simulated fleet in which rollouts are tried.
import assert from "node:assert/strict";
import { LABELS } from "../cluster/kubernetes/names.ts";
import { isReady } from "./kubernetes-controllers.ts";
import { KubernetesSimulation } from "./kubernetes-simulation.ts";
import { specOf } from "./memory-database.ts";

export const AGENTS = 20;
export const GOOD = "runtime:1";
export const BETTER = "runtime:2";
export const BAD = "runtime:bad";

/** Twenty agents of five users, all deployed with the good image; faults are off. */
export async function fleet(seed = 1, controllers = 2): Promise<KubernetesSimulation> {
  const simulation = new KubernetesSimulation(seed, controllers);
  simulation.faults.on = false;
  simulation.image = GOOD;
  for (let index = 0; index < AGENTS; index += 1) {
    simulation.database.launch(`agent-${index}`, specOf(), 1, `user-${index % 5}`);
  }
  await simulation.clock.advance(120_000);
  assert.deepEqual(agentsOn(simulation, GOOD).size, AGENTS);
  return simulation;
}

/** The agents that have pods with this image; ready ones alone, where that is asked. */
export function agentsOn({ model }: KubernetesSimulation, image: string, ready = false): Set<string> {
  const pods = model.all("Pod").filter((pod) => {
    const { containers } = pod.spec as { containers: { image: string }[] };
    return containers[0]?.image === image && (!ready || isReady(pod));
  });
  return new Set(pods.flatMap(({ metadata }) => metadata.labels?.[LABELS.agent] ?? []));
}

/** How many agents have a pod that is ready. */
export function serving({ model }: KubernetesSimulation): number {
  return new Set(
    model
      .all("Pod")
      .filter(isReady)
      .map(({ metadata }) => metadata.labels?.[LABELS.agent]),
  ).size;
}
