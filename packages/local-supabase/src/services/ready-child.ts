// Starts a child process and waits for its ready line.

import { setTimeout as sleep } from "node:timers/promises";
import { type Child, type ChildSpec, describeExit, startChild } from "../supervise/child.ts";
import type { Guardian } from "../supervise/guardian.ts";

export interface ReadyOptions<T> {
  guardian: Guardian;
  /** Reads readiness from a line of stdout. */
  parse: (line: string) => T | undefined;
  log: (line: string) => void;
  /** Sees the child before it is ready. */
  onStart?: (child: Child) => void;
  timeoutMs: number;
  signal: AbortSignal;
}

/**
 * Starts a child and waits until a line on its stdout says that it is ready. Every other line goes to the log.
 * Throws, with the child's last words, when it ends before, takes too long, or the signal comes; nothing is left then.
 */
export async function startReadyChild<T>(
  spec: Omit<ChildSpec, "onLine">,
  options: ReadyOptions<T>,
): Promise<{ child: Child; ready: T }> {
  const { promise: line, resolve } = Promise.withResolvers<T>();
  const lastWords: string[] = [];
  let isReady = false;
  const onLine: ChildSpec["onLine"] = (text, stream) => {
    if (!isReady && stream === "stdout") {
      const ready = options.parse(text);
      if (ready !== undefined) {
        isReady = true;
        return resolve(ready);
      }
    }
    if (!isReady && text.trim() !== "") lastWords.push(text.trim());
    options.log(text);
  };
  const child = startChild({ ...spec, onLine }, options.guardian);
  options.onStart?.(child);
  const timer = new AbortController();
  const signal = AbortSignal.any([timer.signal, options.signal]);
  const failure = await Promise.race([
    line.then(() => undefined),
    child.exited.then((exit) => `it ended with ${describeExit(exit)}`),
    sleep(options.timeoutMs, `it was not ready within ${options.timeoutMs / 1000} s`, { signal }).catch(
      () => "the stack is stopping",
    ),
  ]);
  timer.abort();
  if (failure === undefined) return { child, ready: await line };
  await child.stop();
  const words = reasonIn(lastWords).slice(0, 500);
  throw new Error(`${spec.name} did not start: ${failure}${words ? ` (${words})` : ""}`);
}

/** The lines of a dying program's output that say why, not where in its code. Pure. */
export function reasonIn(lines: readonly string[]): string {
  for (const line of lines.toReversed()) {
    const error = /^\{.*"level":"error"/.test(line) && errorOf(line);
    if (error) return error;
  }
  const errors = lines.filter((line) => /error|cannot|failed/i.test(line) && !/^at /.test(line));
  return (errors.length > 0 ? errors : lines).slice(-3).join(" | ");
}

/** What a log line of the controller gives as the error. */
function errorOf(line: string): string | undefined {
  try {
    const { error } = JSON.parse(line) as { error?: unknown };
    return typeof error === "string" ? error : undefined;
  } catch {
    return undefined;
  }
}

/** Reads `{"event":"ready", …}`; undefined for any other line. */
export function readyEvent(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    const isReady =
      typeof value === "object" && value !== null && "event" in value && value.event === "ready";
    return isReady ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
