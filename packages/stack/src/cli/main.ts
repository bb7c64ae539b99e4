// The command `npm start`.

import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { reasonOf, StackError } from "@agent-launchpad/local-supabase/errors.ts";
import { readEnvironment } from "../environment.ts";
import { ROOT, type Stack, startStack } from "../stack.ts";
import { kubernetesTarget } from "./kubeconfig.ts";
import { HELP, parseOptions } from "./options.ts";
import { createProgress, readyText } from "./output.ts";

// What a stop may take. After it this process ends anyway, and the guardian ends what is left.
const STOP_MS = 4500;

/**
 * `npm start`: starts the stack, says where it is and runs until SIGINT, SIGTERM or SIGHUP.
 * Exits with 2 for a wrong command line, 1 when the stack cannot start, 0 when it was asked to end.
 */
export async function main(args: readonly string[]): Promise<void> {
  let options: ReturnType<typeof parseOptions>;
  try {
    options = parseOptions(args);
  } catch (error) {
    fail(error, 2);
  }
  if (options.help) {
    process.stdout.write(HELP);
    return;
  }

  const begun = performance.now();
  const progress = createProgress(process.stderr);
  const ending = new AbortController();
  let stack: Stack | undefined;
  const askedToEnd = () => {
    if (ending.signal.aborted) process.exit(1); // asked twice: at once
    ending.abort(new StackError("Stopped."));
    process.stderr.write("Stopping; press Ctrl-C again to stop at once.\n");
    setTimeout(() => process.exit(1), STOP_MS).unref();
    if (stack) void end(stack);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, askedToEnd);
  // Started by a program over an IPC channel (a test runner): its death ends the stack too.
  process.once("disconnect", askedToEnd);

  try {
    stack = await startStack(
      {
        port: options.port,
        dbPort: options.dbPort,
        newKeys: options.newKeys,
        upgrade: options.upgrade,
        cluster: options.cluster === "processes" ? "processes" : kubernetesTarget(options, process.env),
        environment: readEnvironment(process.env, join(ROOT, "supabase/functions/.env")),
        log: (message) => progress.note(message),
        onState: (name, state) => progress.service(name, state),
        ...(options.ephemeral ? {} : { dataDir: options.dataDir }),
      },
      ending.signal,
    );
  } catch (error) {
    progress.end();
    if (ending.signal.aborted) process.exit(0);
    fail(error, 1);
  }
  progress.end();
  flushCompileCache(); // now, not at the exit: the exit may be a kill
  if (options.json) process.stdout.write(`${JSON.stringify(stack.urls)}\n`);
  else process.stdout.write(readyText(stack.urls, join(stack.dataDir, "logs"), performance.now() - begun));
  if (ending.signal.aborted) await end(stack);
}

async function end(stack: Stack): Promise<never> {
  await stack.stop();
  process.exit(0);
}

function fail(error: unknown, code: number): never {
  const text = error instanceof StackError ? error.message : `The stack could not start: ${reasonOf(error)}`;
  process.stderr.write(`${text}\n`);
  process.exit(code);
}
