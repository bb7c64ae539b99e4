// The process that ends the stack's children when the stack is killed; when it dies itself, a new one takes over.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { groupExists, startTimeOf } from "./process-table.ts";

const SCRIPT = fileURLToPath(new URL("guardian.sh", import.meta.url));
/** A guardian that lived less than this is not replaced at once: something is wrong with all of them. */
const SHORT_LIFE_MS = 1000;

/** When a process is ended after the stack's own death: Postgres last, so that the others can finish their writes. */
export type EndOrder = "first" | "last";

export interface Guardian {
  /** The process now. */
  readonly pid: number;
  /** To be given to children as file descriptor 3. */
  readonly pipe: Writable;
  /** The command line that registers itself with the guardian and then becomes the given command. */
  wrap(order: EndOrder, command: string, args: readonly string[]): { command: string; args: string[] };
  /** Remembers a process that registers itself, for the guardian after this one. */
  remember(order: EndOrder, pid: number): void;
  /** Registers a process that cannot do it itself. */
  add(order: EndOrder, pid: number): void;
  /** Forgets a process that has ended. */
  forget(pid: number): void;
  /** Deletes this temporary folder (its name must begin with `local-supabase-`) after the stack's death. */
  removeAfterwards(folder: string): void;
  /** Tells the guardian that everything has been ended, and waits until it is gone. */
  release(): Promise<void>;
}

type Process = ChildProcessByStdio<Writable, null, null>;

/**
 * Starts the process that ends the stack's children when the stack is killed. It holds the reading end of a pipe
 * whose end means that the stack is gone (see guardian.sh).
 * @param onReplaced called with the id of each further guardian
 */
export function startGuardian(onReplaced: (pid: number) => void = () => {}): Guardian {
  /** Who registered, with the start times that tell them from later processes of the same id. */
  const known = new Map<number, { order: EndOrder; start: string }>();
  let folder: string | undefined;
  let released = false;
  let current = watch();

  function watch(): Process {
    const started = performance.now();
    const child = spawn("/bin/sh", [SCRIPT, "watch"], {
      detached: true, // Ctrl-C in the terminal is for the stack, not for its guardian
      stdio: ["pipe", "ignore", "ignore"],
      env: { PATH: process.env.PATH ?? "/usr/bin:/bin" },
      cwd: "/",
    });
    child.unref();
    child.stdin.on("error", () => {}); // it is gone already: nothing to tell it
    child.on("error", () => {}); // said below: it has no id
    child.once("exit", () => {
      if (released) return;
      // At once where it can be: whoever is started in between would have no pipe to register on.
      if (performance.now() - started >= SHORT_LIFE_MS) replace();
      else void sleep(SHORT_LIFE_MS, undefined, { ref: false }).then(() => released || replace());
    });
    if (child.pid === undefined) throw new Error("the guardian process could not be started");
    return child;
  }

  function replace(): void {
    current = watch();
    for (const pid of known.keys()) register(pid);
    if (folder !== undefined) current.stdin.write(`remove ${folder}\n`);
    onReplaced(current.pid ?? 0);
  }

  function remember(order: EndOrder, pid: number): void {
    const start = startTimeOf(pid);
    if (start !== undefined) known.set(pid, { order, start });
  }

  function register(pid: number): void {
    const entry = known.get(pid);
    if (entry === undefined) return;
    if (groupExists(pid)) current.stdin.write(`add ${entry.order} ${pid} ${entry.start}\n`);
    else known.delete(pid);
  }

  return {
    get pid() {
      return current.pid ?? 0;
    },
    get pipe() {
      return current.stdin;
    },
    wrap: (order, command, args) => ({ command: "/bin/sh", args: [SCRIPT, "run", order, command, ...args] }),
    remember,
    add(order, pid) {
      remember(order, pid);
      register(pid);
    },
    forget: (pid) => void known.delete(pid),
    removeAfterwards(path) {
      folder = path;
      current.stdin.write(`remove ${path}\n`);
    },
    async release() {
      released = true;
      if (current.exitCode !== null || current.signalCode !== null) return;
      const exited = once(current, "exit");
      current.ref();
      current.stdin.end("done\n");
      await exited;
    },
  };
}
