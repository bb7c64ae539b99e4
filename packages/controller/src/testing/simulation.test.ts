import { test } from "node:test";
import { runSeeds, SEEDS } from "./seeds.ts";

const SCENARIO = new URL("scenario.ts", import.meta.url);

for (const replicasSurvive of [false, true]) {
  const kind = replicasSurvive ? "replicas that outlive it" : "replicas that end with it";
  for (const controllers of replicasSurvive ? [1] : [1, 2]) {
    test(`${controllers} controller(s), ${kind}: faults at every call, ${SEEDS} seeds`, async () => {
      await runSeeds(SCENARIO, { controllers, replicasSurvive });
    });
  }
}
