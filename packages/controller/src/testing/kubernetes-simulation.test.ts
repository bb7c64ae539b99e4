import { test } from "node:test";
import { runSeeds, SEEDS } from "./seeds.ts";

const SCENARIO = new URL("kubernetes-scenario.ts", import.meta.url);

for (const controllers of [1, 2]) {
  test(`${controllers} controller(s) on Kubernetes: faults at every call, ${SEEDS} seeds`, async () => {
    await runSeeds(SCENARIO, { controllers });
  });
}
