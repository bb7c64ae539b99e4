// Faults of plugins that come back through no call of ours: a rejection left alone, an error thrown by a timer or a socket, an end
// of the process that a plugin asks for. They are found to be a plugin's by what was under way, else by the stack.
import { AsyncLocalStorage } from "node:async_hooks";
import { ConfigurationError, describe } from "../errors.ts";

const underway = new AsyncLocalStorage<string>();

/** Runs a plugin's own code: what it begins there (timers, sockets, promises) counts as the plugin's for as long as it lives. */
export function asPlugin<T>(name: string, work: () => T): T {
  return underway.run(name, work);
}

/** The plugin whose code is under way. */
export const pluginUnderway = (): string | undefined => underway.getStore();

/** What has to be known of the plugins of this process. */
export interface FaultListener {
  /** Names of the packages that are plugins. */
  readonly plugins: readonly string[];
  /** A fault of one. */
  onFault(plugin: string, error: unknown): void;
}

let listener: FaultListener | undefined;

/** Whoever loads plugins listens to their faults; the last one counts. */
export function listenToFaults(to: FaultListener): void {
  listener = to;
}

/**
 * Hands a fault that nothing caught to whoever runs the plugin it comes from.
 * @returns false where no plugin caused it
 */
export function takeFault(error: unknown): boolean {
  if (error instanceof ConfigurationError) return false;
  const plugin = pluginUnderway() ?? pluginOf(error instanceof Error ? error.stack : undefined);
  if (plugin === undefined || listener === undefined) return false;
  listener.onFault(plugin, error);
  return true;
}

/** The plugin that a stack passes through. */
function pluginOf(stack: string | undefined): string | undefined {
  return listener?.plugins.find((name) => stack?.includes(`/node_modules/${name}/`));
}

/**
 * Keeps plugins from ending the process: what they call instead of it throws, naming them.
 * @returns the real process.exit
 */
export function guardExit(): typeof process.exit {
  const { exit, abort, kill } = process;
  const own = { exit: exit.bind(process), abort: abort.bind(process), kill: kill.bind(process) };
  const refuse = (call: string) => {
    const plugin = pluginUnderway() ?? pluginOf(new Error(call).stack);
    if (plugin !== undefined) throw new Error(`it asked to end the process (${call})`);
  };
  process.exit = (code) => {
    refuse(`process.exit(${code ?? ""})`);
    return own.exit(code);
  };
  process.abort = () => {
    refuse("process.abort()");
    return own.abort();
  };
  process.kill = (pid, signal) => {
    if (pid === process.pid && signal !== 0) refuse(`process.kill(${signal ?? ""})`);
    return own.kill(pid, signal);
  };
  return own.exit;
}

/**
 * Awaits a step of a plugin's start, for at most so long.
 * @throws ConfigurationError PLUGIN_FAILED naming the plugin, whatever went wrong
 */
export async function startStep<T>(
  name: string,
  doing: string,
  limitMs: number,
  work: () => T | Promise<T>,
): Promise<T> {
  const fail = (cause: string) =>
    new ConfigurationError(
      "PLUGIN_FAILED",
      `Plugin ${name} ${doing}: ${cause}. Update it, or remove it from the agent's plugins.`,
      { plugin: name },
    );
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(fail(`no end after ${Math.round(limitMs / 1000)} s`)), limitMs);
  });
  try {
    return await Promise.race([asPlugin(name, async () => work()), late]);
  } catch (error) {
    throw error instanceof ConfigurationError ? error : fail(describe(error).replace(/\.$/, ""));
  } finally {
    clearTimeout(timer);
  }
}
