// The entry point: runs a command line and ends the process.

import { exitCodes } from "./exit-codes.ts";
import { createProgram } from "./program.ts";

/** How long Ctrl-C waits for a command to end on its own. */
const END_MS = 2000;

/**
 * The program: reads a command line, does what it says and ends the process with an exit code.
 * @param args without `node` and the script
 */
export async function main(args: readonly string[]): Promise<void> {
  const ending = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (ending.signal.aborted) process.exit(exitCodes.interrupted.code); // asked twice: at once
      ending.abort();
      setTimeout(() => process.exit(exitCodes.interrupted.code), END_MS).unref();
    });
  }
  // A reader that has seen enough (`| head`) closes the pipe: not an error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    process.exit(error.code === "EPIPE" ? exitCodes.ok.code : exitCodes.internal.code);
  });

  let code: number = exitCodes.ok.code;
  const program = createProgram(
    { env: process.env, stdout: process.stdout, stderr: process.stderr, signal: ending.signal },
    (ended) => {
      code = ended;
    },
  );
  try {
    if (args[0] === "__complete") await complete(program, args.slice(1));
    else await program.parseAsync(args, { from: "user" });
  } catch (error) {
    code = usageCode(error);
  }
  // Kept connections must not keep the process; what was written to a pipe must have left it.
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(code);
}

/** Answers a shell's completion: see completion/scripts.ts. */
async function complete(program: ReturnType<typeof createProgram>, words: readonly string[]): Promise<void> {
  const { candidates } = await import("./completion/candidates.ts");
  const { offered, rest, options } = candidates(program, words);
  if (rest === "agents") {
    const { agentCandidates } = await import("./completion/agents.ts");
    offered.push(...(await agentCandidates(words.at(-1) ?? "", options, process.env)));
  }
  const lines = offered.map(({ word, about }) => `${word}\t${about}\n`);
  process.stdout.write(lines.join("") + (rest === "files" ? ":files\n" : ""));
}

/** The exit code of what commander throws after it has written its message: help, version, or a wrong command line. */
function usageCode(error: unknown): number {
  if (!(error instanceof Error) || !("code" in error) || !String(error.code).startsWith("commander."))
    throw error;
  const asked = error.code === "commander.helpDisplayed" || error.code === "commander.version";
  return asked ? exitCodes.ok.code : exitCodes.usage.code;
}

async function flushed(stream: NodeJS.WriteStream): Promise<void> {
  await new Promise<void>((resolve) => stream.write("", () => resolve()));
}
