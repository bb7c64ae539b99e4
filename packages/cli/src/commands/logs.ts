// The command `launchpad logs`.

import type { AgentLogs, LogEntry } from "@agent-launchpad/sdk";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import type { Outcome } from "../exit-codes.ts";
import type { Look } from "../output/output.ts";
import { tone } from "../output/style.ts";
import { printable } from "../output/text.ts";
import { readPages } from "../pages.ts";

interface Options {
  follow?: boolean;
  lines: number;
  since?: string;
  level?: "debug" | "info" | "warn" | "error";
  text?: string;
}

/** `launchpad logs` */
export async function run(context: Context, [agent]: readonly string[], options: Options): Promise<Outcome> {
  const agentId = await agentIdOf(context, agent);
  const { client } = await context.session();
  const { signal, out } = context;
  const { lines, since, text } = options;
  const level = options.level?.toUpperCase() as "INFO" | undefined;
  const query = {
    lines,
    ...(since === undefined ? {} : { since }),
    ...(level === undefined ? {} : { level }),
    ...(text === undefined ? {} : { text }),
  };
  if (options.follow) {
    const onConnection = (state: string) => {
      if (state === "interrupted") out.note("Connection lost. Missed lines appear once it is restored.");
    };
    for await (const line of client.agents.tailLogs(agentId, { ...query, signal, onConnection })) {
      out.item(line, (look) => logLine(line, look));
    }
    return signal.aborted ? "interrupted" : "ok";
  }
  const read = (more: { lines?: number; after?: string | undefined }) =>
    client.agents.getLogs(agentId, { ...query, ...more }, { signal });
  // A search ends with what one request looks at: all lines may take long.
  const page = text === undefined ? await newest(lines, read) : await read({});
  out.result(page, (look) => page.logs.map((line) => logLine(line, look)).join(""));
  if (page.notice !== undefined) out.note(page.notice);
  if (page.logs.length === 0) out.note("No log lines.");
  else if (page.truncated)
    out.note(`The newest ${page.logs.length} of ${page.totalLines} lines; --lines shows more.`);
  return "ok";
}

/** The newest lines, however many. Pages go back in time, and each has its oldest line first. */
async function newest(
  lines: number,
  read: (page: { lines: number; after: string | undefined }) => Promise<AgentLogs>,
): Promise<AgentLogs> {
  const reversed = await readPages(
    lines,
    1000,
    async ({ limit, after }) => {
      const page = await read({ lines: limit, after });
      return { ...page, logs: page.logs.toReversed() };
    },
    "logs",
  );
  return { ...reversed, logs: reversed.logs.toReversed(), truncated: reversed.nextCursor !== null };
}

/** One log line for people: what was said, and why where that is known. Further lines of a message are indented. Pure. */
export function logLine({ timestamp, level, message, source, metadata }: LogEntry, { paint }: Look): string {
  const { cause } = metadata;
  const why = typeof cause === "string" && cause !== "" ? ` (${cause})` : "";
  const text = printable(message + why).replace(/\n/g, "\n    ");
  return `${paint("dim", new Date(timestamp).toISOString())} ${tone(paint, level)}${" ".repeat(Math.max(1, 6 - level.length))}${paint("dim", printable(source))} ${text}\n`;
}
