// A thread of `runSeeds`: runs its share of the seeds, and ends with the first failure.
import { workerData } from "node:worker_threads";
import type { Share } from "./seeds.ts";

const { module, options, first, last, step, at } = workerData as Share;
const { run } = (await import(module)) as { run: (seed: number, options: unknown) => Promise<unknown> };
for (let seed = first; seed <= last; seed += step) {
  at[0] = seed;
  try {
    await run(seed, options);
  } catch (error) {
    throw new Error(`seed ${seed} ${JSON.stringify(options)}`, { cause: error });
  }
}
