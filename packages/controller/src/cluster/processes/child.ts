// One operating-system process in a group of its own.

import { type ChildProcess, spawn } from "node:child_process";
import { readLines } from "../lines.ts";
import type { Account } from "./accounts.ts";

export interface ChildOptions extends ChildListener {
  command: readonly string[];
  environment: Record<string, string>;
  directory: string;
  /** Whose process it is; absent: ours. */
  account?: Account | undefined;
}

/** What a process prints, and its end. */
export interface ChildListener {
  onOutput(line: string): void;
  onErrorOutput(line: string): void;
  /** Once, after the last line of output. `failed`: it could not be started at all. */
  onExit(exit: { code: number | null; signal: string | null; failed?: string }): void;
}

/** Output that still comes after the process ended (a grandchild holds the pipe) is waited for this long. */
const LAST_WORDS_MS = 200;

/** One operating-system process, in a group of its own, whose stdin ends when this process does. */
export class Child {
  readonly pid: number | undefined;
  readonly #process: ChildProcess | undefined;
  #listener: ChildListener;
  #exited = false;

  constructor(options: ChildOptions) {
    const [program, ...args] = options.command;
    this.#listener = options;
    const exit = once((how: Parameters<ChildListener["onExit"]>[0]) => this.#listener.onExit(how));
    let child: ChildProcess;
    try {
      child = spawn(program ?? "", args, {
        cwd: options.directory,
        env: options.environment,
        stdio: ["pipe", "pipe", "pipe"],
        // A group of its own: a Ctrl-C at the terminal reaches the controller alone, which ends its children in order,
        // and what the replica itself started ends with it.
        detached: true,
        ...options.account,
      });
    } catch (error) {
      this.pid = undefined;
      this.#process = undefined;
      this.#exited = true;
      queueMicrotask(() => exit({ code: null, signal: null, failed: (error as Error).message }));
      return;
    }
    this.#process = child;
    this.pid = child.pid;
    // The end of its stdin shows the replica that the controller has died; a replica may close it. Only pool.ts writes to it.
    child.stdin?.on("error", () => {});
    if (child.stdout !== null) readLines(child.stdout, (line) => this.#listener.onOutput(line));
    if (child.stderr !== null) readLines(child.stderr, (line) => this.#listener.onErrorOutput(line));
    child.on("error", (error) => {
      if (child.pid !== undefined) return;
      this.#exited = true;
      exit({ code: null, signal: null, failed: error.message });
    });
    child.on("exit", (code, signal) => {
      this.#exited = true;
      this.#endGroup();
      const timer = setTimeout(() => exit({ code, signal }), LAST_WORDS_MS);
      child.on("close", () => {
        clearTimeout(timer);
        exit({ code, signal });
      });
    });
  }

  /** Whether it runs, as far as this process knows. */
  get lives(): boolean {
    return this.pid !== undefined && !this.#exited;
  }

  /** Replaces the listener. */
  listen(listener: ChildListener): void {
    this.#listener = listener;
  }

  /** Writes a line to its stdin. Nothing happens where it has ended: onExit is on its way. */
  send(line: string): void {
    this.#process?.stdin?.write(`${line}\n`);
  }

  /** Asks it to end. */
  terminate(): void {
    this.#signal("SIGTERM");
  }

  /** Ends it, and its group. */
  kill(): void {
    this.#signal("SIGKILL");
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#exited || this.pid === undefined) return;
    // SIGTERM goes to the replica alone, which ends what it started; SIGKILL leaves it no time to.
    if (signal === "SIGKILL") killGroup(this.pid);
    else this.#process?.kill(signal);
  }

  #endGroup(): void {
    if (this.pid !== undefined) killGroup(this.pid);
  }
}

/** Kills every process of a group; one that is gone already is no error. */
export function killGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // Gone already.
  }
}

function once<T>(callback: (value: T) => void): (value: T) => void {
  let done = false;
  return (value) => {
    if (done) return;
    done = true;
    callback(value);
  };
}
