// Asks a person for input on the terminal.

import { once } from "node:events";
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { CliError } from "../errors.ts";

/** Whether a person can be asked. */
export const canAsk = (): boolean => process.stdin.isTTY === true && process.stderr.isTTY === true;

/**
 * Asks a person on stderr, so that stdout stays the result's.
 * @param question ends with a blank
 * @param options `hidden`: what is typed is not shown; `instead`: what a program should do
 * @throws CliError where nobody can be asked
 */
export async function ask(
  question: string,
  options: { signal: AbortSignal; hidden?: boolean; instead: string },
): Promise<string> {
  if (!canAsk())
    throw new CliError("usage", `Cannot ask here: this is not a terminal; ${options.instead}.`, {
      code: "NOT_A_TERMINAL",
    });
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({
    input: process.stdin,
    output: options.hidden ? nowhere : process.stderr,
    terminal: true,
  });
  // In raw mode Ctrl-C and Ctrl-D are keys: they must end the program as they do elsewhere.
  lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  const ended = once(lines, "close").then((): never => {
    throw new CliError("interrupted", "Nothing was entered.");
  });
  ended.catch(() => {});
  if (options.hidden) process.stderr.write(question);
  try {
    return await Promise.race([
      lines.question(options.hidden ? "" : question, { signal: options.signal }),
      ended,
    ]);
  } finally {
    lines.close();
    if (options.hidden) process.stderr.write("\n");
  }
}
