import { test } from "vitest";
import { simulations } from "./simulations.ts";

for (const { name, seeds, once, run } of simulations) {
  test(`${name}, faults at every call: ${seeds} seeds`, async () => await run(1, seeds));
  for (const seed of once) test(`${name}, seed ${seed}, which failed once`, async () => await run(seed, 1));
}
