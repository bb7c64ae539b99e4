// Work on the files of installed trees, beside the controller's own: each piece in a thread that ends with it.
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type * as work from "./file-list.ts";

type Work = Pick<typeof work, "findChange" | "forgetUnshared" | "seal">;
/** What a thread is told. */
export type Task = { [Name in keyof Work]: [Name, ...Parameters<Work[Name]>] }[keyof Work];

/** See {@link work.seal}. */
export const seal = (...args: Parameters<Work["seal"]>) => run<undefined>(["seal", ...args]);

/** See {@link work.findChange}. */
export const findChange = (...args: Parameters<Work["findChange"]>) =>
  run<string | undefined>(["findChange", ...args]);

/** See {@link work.forgetUnshared}. */
export const forgetUnshared = (...args: Parameters<Work["forgetUnshared"]>) =>
  run<undefined>(["forgetUnshared", ...args]);

/** @throws what the work throws: an error of the disk, with its code */
async function run<Result>(task: Task): Promise<Result> {
  const thread = new Worker(new URL("./file-list-thread.ts", import.meta.url), { workerData: task });
  try {
    const [result] = (await once(thread, "message")) as [Result];
    return result;
  } finally {
    await thread.terminate();
  }
}
