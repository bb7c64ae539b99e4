// Runs a command's action and maps its outcome to an exit code.

import type { Command } from "commander";
import { Context, type GlobalOptions } from "./context.ts";
import type { CliError } from "./errors.ts";
import { exitCodes, type Outcome } from "./exit-codes.ts";
import { explain } from "./explain.ts";
import { Output } from "./output/output.ts";

/** What a command does. Nothing returned means that it went well. */
export type Run<Options> = (
  context: Context,
  args: readonly string[],
  options: Options,
) => Promise<Outcome> | Promise<void>;

/** What the program needs of its process. */
export interface Surroundings {
  env: NodeJS.ProcessEnv;
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
  signal: AbortSignal;
}

/**
 * Makes the action of a command: its file is loaded only when it runs.
 * @param surroundings the process
 * @param end told of the exit code
 */
export function actions(surroundings: Surroundings, end: (code: number) => void) {
  return <Options>(load: () => Promise<{ run: Run<Options> }>) =>
    async function action(this: Command): Promise<void> {
      const options = this.optsWithGlobals<GlobalOptions & Options>();
      const out = new Output({
        out: surroundings.stdout,
        err: surroundings.stderr,
        env: surroundings.env,
        json: options.json ?? false,
        colour: options.color,
      });
      const context = new Context({ out, options, signal: surroundings.signal, env: surroundings.env });
      try {
        const { run } = await load();
        const outcome =
          (await run(context, this.processedArgs.flat().filter(isGiven).map(String), options)) ?? "ok";
        end(exitCodes[outcome].code);
      } catch (error) {
        out.endProgress();
        if (surroundings.signal.aborted) return end(exitCodes.interrupted.code);
        const explained = explain(error, context.place);
        out.error(options.json ? errorJson(explained) : errorText(explained, out));
        if (options.debug) out.error(`${stackOf(error)}\n`);
        end(exitCodes[explained.outcome].code);
      }
    };
}

const isGiven = (value: unknown) => value !== undefined;

/** An error for people: the sentence, then each wrong field. Pure. */
export function errorText(error: CliError, { errPaint: paint }: Pick<Output, "errPaint">): string {
  const lines = [`${paint(["bold", "red"], "error")}: ${error.message}`];
  if (error.outcome === "invalid") {
    for (const [field, problem] of Object.entries(error.details ?? {})) {
      const place = error.locations?.[field];
      lines.push(`  ${place ? `${paint("dim", `${place}`)} ` : ""}${field}: ${String(problem)}`);
    }
  }
  if (error.outcome === "internal" && error.requestId) lines.push(`  request id: ${error.requestId}`);
  return `${lines.join("\n")}\n`;
}

/** An error for programs, one line on stderr. */
export function errorJson({ code, message, outcome, details, locations, requestId }: CliError): string {
  const exitCode = exitCodes[outcome].code;
  return `${JSON.stringify({ error: { code, message, exitCode, details, locations, requestId } })}\n`;
}

/** Stack and causes, for --debug. */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return JSON.stringify(error);
  const cause = error.cause === undefined ? "" : `\ncaused by ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
