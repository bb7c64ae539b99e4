// `launchpad trace`: what one answer was made of.
import type { AnswerStep } from "@agent-launchpad/sdk";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";
import { oneLine } from "../output/text.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** `launchpad trace` */
export async function run(context: Context, [message = ""]: readonly string[]): Promise<void> {
  if (!UUID.test(message)) {
    throw new CliError("usage", "Pass the id of a message; `launchpad chat … --json` prints it.", {
      code: "NO_MESSAGE",
    });
  }
  const { client } = await context.session();
  const steps = await client.messages.steps(message, { signal: context.signal });
  if (steps.length === 0) {
    throw new CliError(
      "notFound",
      "No steps found: you have no answer with this id, or it is older than 30 days.",
      { code: "NOT_FOUND" },
    );
  }
  context.out.result({ steps }, (look) => traceTable(steps, look));
}

/** The table of steps; what went in and came out stands below each. Pure. */
export function traceTable(steps: readonly AnswerStep[], look: Look): string {
  if (steps.length === 0) return "";
  const begin = Math.min(...steps.map(({ started_at }) => Date.parse(started_at)));
  const rows = table(
    steps,
    [
      {
        title: "AT",
        value: ({ started_at }) => `+${seconds(Date.parse(started_at) - begin)}`,
        align: "right",
      },
      { title: "STEP", value: ({ kind }) => kind },
      { title: "NAME", value: ({ name }) => oneLine(name), shrinks: true },
      { title: "STATUS", value: ({ status, error }) => (error ? `${status} ${error.code}` : status) },
      { title: "TOOK", value: ({ milliseconds }) => seconds(milliseconds), align: "right" },
      { title: "TOKENS", value: tokens, align: "right" },
    ],
    look,
  );
  return `${rows}${steps.map((step) => details(step, look)).join("")}`;
}

/** The line of a step that needs one: a tool's arguments and result, or why it failed. */
function details(
  { index, kind, name, arguments: given, result, error }: AnswerStep,
  { paint }: Look,
): string {
  const shown = [
    kind === "model" || given === null ? "" : oneLine(JSON.stringify(given)).slice(0, MAX_SHOWN),
    error === null
      ? kind === "model"
        ? ""
        : oneLine(result ?? "").slice(0, MAX_SHOWN)
      : oneLine(error.message),
  ].filter((text) => text !== "");
  return shown.length === 0 ? "" : `${paint("dim", `${index} ${oneLine(name)}:`)} ${shown.join(" → ")}\n`;
}

/** --json shows all that is kept. */
const MAX_SHOWN = 300;

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)}s`;

const tokens = ({ input_tokens, output_tokens, cached_input_tokens }: AnswerStep): string =>
  input_tokens === null
    ? ""
    : `${input_tokens}${cached_input_tokens ? ` (${cached_input_tokens} cached)` : ""} in, ${output_tokens ?? 0} out`;
