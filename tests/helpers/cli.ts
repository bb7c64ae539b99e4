// `launchpad` as a child process, the way a person or a script runs it.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StackInfo, TestUser } from "./stack.ts";

const BINARY = join(import.meta.dirname, "../../packages/cli/bin/launchpad.js");

export interface Ran {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** stdout as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: judged field by field in tests
  readonly json: any;
}

export interface RunOptions {
  env?: Record<string, string>;
  input?: string;
  cwd?: string;
}

/** A terminal of one person: a configuration folder and a working directory of its own. */
export interface Terminal {
  folder: string;
  credentials: string;
  run(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** As run, without waiting. */
  start(
    args: readonly string[],
    options?: RunOptions,
  ): { child: ChildProcess; done: Promise<Ran>; shown: () => string };
  /** Signs a user in. */
  login(user: TestUser): Promise<void>;
  remove(): Promise<void>;
}

/**
 * Opens a terminal.
 * @param info the project that its environment names; absent: none
 */
export async function openTerminal(info?: Pick<StackInfo, "apiUrl" | "publishableKey">): Promise<Terminal> {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-cli-"));
  const project = info ? { LAUNCHPAD_URL: info.apiUrl, LAUNCHPAD_KEY: info.publishableKey } : {};
  const running = new Set<ChildProcess>();
  const start: Terminal["start"] = (args, { env = {}, input, cwd = folder } = {}) => {
    const { PATH = "", LD_LIBRARY_PATH = "" } = process.env;
    const child = spawn(process.execPath, [BINARY, ...args], {
      cwd,
      env: {
        PATH,
        LD_LIBRARY_PATH,
        HOME: folder,
        XDG_CONFIG_HOME: join(folder, "config"),
        ...project,
        ...env,
      },
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.stdin?.end(input);
    running.add(child);
    child.once("close", () => running.delete(child));
    const done = once(child, "close").then(([code, signal]) => ({
      code,
      signal,
      stdout,
      stderr,
      get json() {
        return JSON.parse(stdout);
      },
    }));
    return { child, done, shown: () => stdout };
  };
  const run: Terminal["run"] = (args, options) => start(args, options).done;
  return {
    folder,
    credentials: join(folder, "config/launchpad/credentials.json"),
    run,
    start,
    async login({ email, password }) {
      const { code, stderr } = await run(["login", "--email", email, "--password-stdin"], {
        input: password,
      });
      assert.equal(code, 0, stderr);
    },
    async remove() {
      for (const child of running) child.kill("SIGKILL"); // a test that failed may have left one
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Asserts a failure as people must see it: this exit code, one sentence (and fields), no stack trace, nothing on stdout. */
export function failed({ code, stdout, stderr }: Ran, expected: number, says: RegExp): void {
  assert.equal(code, expected, stderr);
  assert.equal(stdout, "");
  assert.match(stderr, says);
  const [first = "", ...fields] = stderr.trimEnd().split("\n");
  assert.match(first, /^error: .+[.]$/);
  for (const line of fields) assert.match(line, /^ {2}\S/, stderr);
  assert.doesNotMatch(stderr, /\bat .*:\d+:\d+|node:internal|\.ts:\d+:\d+/);
}

/** Waits until a stream has shown something; throws with what it showed when the process ends first. */
export async function shows(
  { child, shown }: Pick<ReturnType<Terminal["start"]>, "child" | "shown">,
  what: RegExp,
): Promise<void> {
  while (!what.test(shown())) {
    const ended = await Promise.race([
      once(child.stdout as NodeJS.ReadableStream, "data").then(() => false),
      once(child, "close").then(() => true),
    ]);
    if (ended && !what.test(shown())) throw new Error(`ended without ${what}: ${shown()}`);
  }
}
