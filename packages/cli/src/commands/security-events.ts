// The command `launchpad security events`.

import type { KnownSeverity, SecurityEvent, SecurityEvents, SecurityEventsQuery } from "@agent-launchpad/sdk";
import type { Context } from "../context.ts";
import type { Outcome } from "../exit-codes.ts";
import type { Look } from "../output/output.ts";
import { tone } from "../output/style.ts";
import { table } from "../output/table.ts";
import { oneLine } from "../output/text.ts";
import { readPages } from "../pages.ts";

interface Options {
  follow?: boolean;
  limit: number;
  all?: boolean;
  severity?: string;
  type?: string;
  since?: string;
}

/** `launchpad security events` */
export async function run(context: Context, _args: readonly string[], options: Options): Promise<Outcome> {
  const { out } = context;
  const severity = options.severity?.toUpperCase() as KnownSeverity | undefined;
  const query: SecurityEventsQuery = {
    limit: options.limit,
    ...(severity === undefined ? {} : { severity }),
    ...(options.type === undefined ? {} : { event_type: options.type }),
    ...(options.since === undefined ? {} : { since: options.since }),
  };
  if (options.follow) return await follow(context, query, options.type?.toUpperCase());
  const page = await pageOf(context, query, options.all);
  out.result(page, (look) => eventTable(page.events, look));
  if (page.events.length === 0) out.note("No security events.");
  else if (page.nextCursor !== null)
    out.note(`The newest ${page.events.length} of ${page.total}; --all shows more.`);
  return "ok";
}

async function pageOf(context: Context, query: SecurityEventsQuery, all = false): Promise<SecurityEvents> {
  const { client } = await context.session();
  return await readPages(
    all ? Number.POSITIVE_INFINITY : (query.limit ?? 50),
    500,
    (page) => client.security.events({ ...query, ...page }, { signal: context.signal }),
    "events",
  );
}

/** What was, oldest first, then what comes. An event whose count grows comes again. */
async function follow(
  context: Context,
  query: SecurityEventsQuery,
  type: string | undefined,
): Promise<Outcome> {
  const { client } = await context.session();
  const { signal, out } = context;
  const show = (event: SecurityEvent) => out.item(event, (look) => eventLine(event, look));
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
  const early: SecurityEvent[] = [];
  let past = false;
  const unsubscribe = client.security.subscribe(
    (update) => {
      if (update.type === "error") {
        if (update.final) reject(update.error);
        else out.progress(`connecting again: ${oneLine(update.error.message)}`);
      } else if (type === undefined || update.event.event_type === type) {
        if (past) show(update.event);
        else early.push(update.event);
      }
    },
    { signal, ...(query.severity === undefined ? {} : { severity: query.severity }) },
  );
  try {
    signal.addEventListener("abort", () => resolve("interrupted"), { once: true });
    const { events } = await pageOf(context, query);
    const shown = new Set(events.map(({ id }) => id));
    for (const event of events.toReversed()) show(event);
    for (const event of early) if (!shown.has(event.id)) show(event);
    past = true;
    return await promise;
  } finally {
    unsubscribe();
  }
}

/** One event as a line of a stream. Pure. */
export function eventLine(
  { timestamp, severity, event_type, message, ip_address }: SecurityEvent,
  { paint }: Look,
): string {
  const from = ip_address === null ? "" : ` ${paint("dim", `from ${ip_address}`)}`;
  return `${paint("dim", timestamp)} ${tone(paint, severity)}${" ".repeat(Math.max(1, 9 - severity.length))}${event_type} ${oneLine(message)}${from}\n`;
}

/** The table of events. Pure. */
export function eventTable(events: readonly SecurityEvent[], look: Look): string {
  if (events.length === 0) return "";
  return table(
    events,
    [
      { title: "TIME", value: ({ timestamp }) => timestamp.replace(/\.\d+/, "") },
      {
        title: "SEVERITY",
        value: ({ severity }) => severity,
        style: (text, { severity }) => tone(look.paint, severity) + text.slice(severity.length),
      },
      { title: "TYPE", value: ({ event_type }) => event_type },
      { title: "AGENT", value: ({ agent_id }) => agent_id ?? "", shrinks: true },
      { title: "FROM", value: ({ ip_address }) => ip_address ?? "" },
      { title: "MESSAGE", value: ({ message }) => message, shrinks: true },
    ],
    look,
  );
}
