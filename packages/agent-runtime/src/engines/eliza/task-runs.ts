// Runs of elizaOS's tasks (reminders and the like). A task that is not over runs again: each second while it lasts longer, and after
// a restart. What such a run begins is known by the task, so that it is not begun twice.
import { AsyncLocalStorage } from "node:async_hooks";
import { asPlugin, pluginUnderway } from "../plugin-faults.ts";
import type { ElizaRuntime, ElizaTask } from "./types.ts";

/** One execution of a task. */
export interface TaskRun {
  /** The same for an execution that is repeated. */
  readonly key: string;
  /** The room that the task belongs to. */
  readonly roomId: string | undefined;
  /** How many messages it began so far. */
  begun: number;
}

const runs = new AsyncLocalStorage<TaskRun>();

/** The run whose code is under way. */
export const taskRun = (): TaskRun | undefined => runs.getStore();

/**
 * Watches the tasks of a runtime on which no plugin is registered yet; a worker's code counts as its plugin's.
 * @param own elizaOS's own plugins, whose tasks serve answers alone
 * @param onTasks told of each other plugin that brings tasks, which may be due at any time
 */
export function watchTasks(
  runtime: ElizaRuntime,
  own: readonly string[] = [],
  onTasks: (plugin: string) => void = () => {},
): void {
  const register = runtime.registerTaskWorker.bind(runtime);
  runtime.registerTaskWorker = (worker) => {
    const plugin = pluginUnderway();
    if (plugin !== undefined && !own.includes(plugin)) onTasks(plugin);
    const execute: typeof worker.execute = (of, options, task) => {
      const run = () => runs.run(runOf(task), () => worker.execute(of, options, task));
      return plugin === undefined ? run() : asPlugin(plugin, run);
    };
    register(Object.create(worker, { execute: { value: execute, enumerable: true } }));
  };
}

/** Pure. A task that repeats is the same run until elizaOS notes its time again. */
export const runOf = (task: ElizaTask): TaskRun => ({
  key: `task ${task.id} ${task.metadata?.updatedAt ?? ""}`,
  roomId: task.roomId ?? undefined,
  begun: 0,
});
