import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Writable } from "node:stream";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("guardian.sh", import.meta.url));

/** When a process is ended after the stack's own death: Postgres last, so that the others can finish their writes. */
export type EndOrder = "first" | "last";

export interface Guardian {
  pid: number;
  /** To be given to children as file descriptor 3. */
  pipe: Writable;
  /** The command line that registers itself with the guardian and then becomes the given command. */
  wrap(order: EndOrder, command: string, args: readonly string[]): { command: string; args: string[] };
  /** Deletes this temporary folder (its name must begin with `launchpad-`) after the stack's death. */
  removeAfterwards(folder: string): void;
  /** Settles when it is gone; before release() that means that a kill of the stack would leave processes behind. */
  exited: Promise<unknown>;
  /** Tells the guardian that everything has been ended, and waits until it is gone. */
  release(): Promise<void>;
}

/**
 * Starts the process that ends the stack's children when the stack is killed. It holds the reading end of a pipe
 * whose end means that the stack is gone (see guardian.sh).
 */
export function startGuardian(): Guardian {
  const child = spawn("/bin/sh", [SCRIPT, "watch"], {
    detached: true, // Ctrl-C in the terminal is for the stack, not for its guardian
    stdio: ["pipe", "ignore", "ignore"],
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin" },
    cwd: "/",
  });
  const exited = once(child, "exit");
  child.unref();
  child.stdin.on("error", () => {}); // it is gone already: nothing to tell it
  if (child.pid === undefined) throw new Error("the guardian process could not be started");
  return {
    pid: child.pid,
    pipe: child.stdin,
    exited,
    wrap: (order, command, args) => ({ command: "/bin/sh", args: [SCRIPT, "run", order, command, ...args] }),
    removeAfterwards: (folder) => void child.stdin.write(`remove ${folder}\n`),
    async release() {
      child.ref();
      child.stdin.end("done\n");
      await exited;
    },
  };
}
