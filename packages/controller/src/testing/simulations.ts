// The simulations that run with many seeds: in the tests with a few, in `npm run simulate` with as many as are asked for.
import { runSeeds } from "./seeds.ts";

export interface SimulationRun {
  name: string;
  /** Runs seeds `first` to `first + count - 1`, on all cores. @throws {Error} naming the seed that failed */
  run(first: number, count: number): Promise<void>;
  /** How many seeds the tests run: a minute of one core in all, the same ones every time. */
  seeds: number;
  /** Seeds that the tests run beside those: each failed once. */
  once: readonly number[];
}

const simulation = (
  name: string,
  module: string,
  options: unknown,
  seeds: number,
  once: readonly number[] = [],
): SimulationRun => ({
  name,
  seeds,
  once,
  run: (first, count) => runSeeds(new URL(module, import.meta.url), options, first, first + count - 1),
});

export const simulations: readonly SimulationRun[] = [
  ...[1, 2].map((controllers) =>
    simulation(`${controllers} controller(s) on Kubernetes`, "kubernetes-scenario.ts", { controllers }, 60),
  ),
  ...[1, 2].map((controllers) =>
    simulation(
      `${controllers} controller(s), replicas that end with them`,
      "scenario.ts",
      { controllers, replicasSurvive: false },
      200,
    ),
  ),
  simulation(
    "1 controller, replicas that outlive it",
    "scenario.ts",
    { controllers: 1, replicasSurvive: true },
    200,
  ),
  ...[1, 2].map((controllers) =>
    simulation(
      `${controllers} controller(s), agents that sleep and wake`,
      "sleep-scenario.ts",
      { controllers, replicasSurvive: false },
      60,
    ),
  ),
  ...[1, 2].map((controllers) =>
    simulation(
      `${controllers} controller(s), agents that sleep on Kubernetes`,
      "kubernetes-sleep-scenario.ts",
      { controllers },
      8,
      // A Deployment changed while its ready pods were not yet in the status of their set.
      controllers === 1 ? [420, 535, 927] : [],
    ),
  ),
  simulation("rollouts on Kubernetes", "rollout-scenario.ts", {}, 2),
];
