// Runs a simulation with many seeds in worker threads.

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";

/** What a thread is told: each `step`th seed from `first` to `last` is its own. */
export interface Share {
  /** Of the module that exports `run(seed, options)`. */
  module: string;
  options: unknown;
  first: number;
  last: number;
  step: number;
  /** Where it says which one it is at. */
  at: Int32Array<SharedArrayBuffer>;
}

/**
 * Runs a simulation with every seed, in threads: on all cores, and out of reach of the test runner's hooks into each promise.
 * @param module of the simulation: exports `run(seed, options)`
 * @throws {Error} the first failure that a thread met, with the seed that shows it again
 */
export async function runSeeds(module: URL, options: unknown, first: number, last: number): Promise<void> {
  const step = Math.min(availableParallelism(), last - first + 1);
  const threads = Array.from({ length: step }, (_, index) => {
    const at = new Int32Array(new SharedArrayBuffer(4));
    const share: Share = { module: module.href, options, first: first + index, last, step, at };
    const thread = new Worker(new URL("seeds-thread.ts", import.meta.url), { workerData: share });
    return { thread, at };
  });
  try {
    await Promise.all(threads.map(ended));
  } finally {
    await Promise.all(threads.map(({ thread }) => thread.terminate()));
  }
}

async function ended({ thread, at }: { thread: Worker; at: Int32Array }): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  thread.once("error", reject);
  thread.once("exit", (code) => {
    // With code 13 a run waits for something that will never come.
    if (code === 0) resolve();
    else reject(new Error(`seed ${at[0]}: its thread ended with ${code}`));
  });
  await promise;
}
