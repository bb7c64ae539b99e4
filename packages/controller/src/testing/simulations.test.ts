import { test } from "vitest";
import { simulations } from "./simulations.ts";

for (const { name, seeds, run } of simulations) {
  test(`${name}, faults at every call: ${seeds} seeds`, async () => await run(1, seeds));
}
