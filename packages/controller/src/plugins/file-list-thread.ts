// A thread of files.ts: one piece of work on the files of a tree.
import { parentPort, workerData } from "node:worker_threads";
import { findChange, forgetUnshared, seal } from "./file-list.ts";
import type { Task } from "./files.ts";

const WORK: Record<Task[0], (...args: never) => unknown> = { findChange, forgetUnshared, seal };
const [name, ...args] = workerData as Task;
parentPort?.postMessage(WORK[name](...(args as never)));
