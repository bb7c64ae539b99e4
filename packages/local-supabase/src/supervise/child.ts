// One child process and its group.

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { EndOrder, Guardian } from "./guardian.ts";
import { childrenOf, groupExists, isRunning, sendSignal } from "./process-table.ts";

export interface ChildSpec {
  name: string;
  command: string;
  args: readonly string[];
  /** The whole environment: nothing is inherited. */
  env: Record<string, string>;
  cwd: string;
  order?: EndOrder;
  uid?: number;
  gid?: number;
  /** Opens a channel for messages and sockets; the child then has `process.send`. */
  ipc?: boolean;
  /** The signals of an orderly stop and how long each may take; SIGKILL to the whole group follows. */
  stop: readonly { signal: NodeJS.Signals; graceMs: number }[];
  onLine: (line: string, stream: "stdout" | "stderr") => void;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Set when the process could not be started at all. */
  error?: string;
}

export interface Child {
  pid: number;
  exited: Promise<Exit>;
  /** Messages and sockets go through it where the child has `ipc`. */
  process: ChildProcess;
  /** Ends the process and everything in its group; returns when nothing of it is left. */
  stop(): Promise<void>;
}

/**
 * Starts a child in its own process group (the terminal's Ctrl-C does not reach it), registered with the guardian.
 * Its stdin is a pipe from this process: a child that watches it sees the stack's death itself.
 */
export function startChild(spec: ChildSpec, guardian: Guardian): Child {
  const { command, args } = guardian.wrap(spec.order ?? "first", spec.command, spec.args);
  const child = spawn(command, args, {
    cwd: spec.cwd,
    env: spec.env,
    detached: true,
    stdio: ["pipe", "pipe", "pipe", guardian.pipe, ...(spec.ipc ? (["ipc"] as const) : [])],
    ...(spec.uid === undefined ? {} : { uid: spec.uid }),
    ...(spec.gid === undefined ? {} : { gid: spec.gid }),
  });
  child.stdin?.on("error", () => {}); // it does not read: fine
  for (const stream of ["stdout", "stderr"] as const) {
    const input = child[stream];
    if (input) createInterface({ input }).on("line", (line) => spec.onLine(line, stream));
  }
  const exited = new Promise<Exit>((resolve) => {
    child.once("error", (error) => resolve({ code: null, signal: null, error: error.message }));
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const pid = child.pid ?? 0;
  guardian.remember(spec.order ?? "first", pid);
  return {
    pid,
    exited,
    process: child,
    async stop() {
      if (pid === 0) return;
      const children = childrenOf(pid); // an agent leads a group of its own, which could outlive the controller's
      for (const { signal, graceMs } of spec.stop) {
        sendSignal(pid, signal);
        if (await within(exited, graceMs)) break;
      }
      await Promise.all(
        [pid, ...children.filter(isRunning).map((child) => child.pid)].map((id) => endGroup(id, 0)),
      );
      await exited;
      guardian.forget(pid);
    },
  };
}

/** Ends what is left of a group whose leader is gone or must go: waits up to the grace, then SIGKILL. */
export async function endGroup(leader: number, graceMs: number): Promise<void> {
  // The system tells nobody when a group becomes empty, so this looks.
  for (let waited = 0; groupExists(leader); waited += 20) {
    if (waited >= graceMs) sendSignal(-leader, "SIGKILL");
    if (waited >= graceMs + 2000) return; // only unreaped remains
    await sleep(20);
  }
}

/** How an exit reads in the log. */
export function describeExit(exit: Exit): string {
  if (exit.error) return exit.error;
  return exit.signal ? exit.signal : `exit code ${exit.code}`;
}

async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(ms, false, { signal: timer.signal }).catch(() => false);
  const done = await Promise.race([promise.then(() => true), late]);
  timer.abort();
  return done;
}
