// The command `launchpad list`.

import type { AgentSummary, ListAgentsQuery } from "@agent-launchpad/sdk";
import type { Context } from "../context.ts";
import { ago } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { tone } from "../output/style.ts";
import { table } from "../output/table.ts";
import { readPages } from "../pages.ts";

interface Options {
  status?: string;
  platform?: string;
  limit: number;
  offset?: number;
  all?: boolean;
}

type Status = NonNullable<ListAgentsQuery["status"]>;

/** From this many columns on there is room for addresses. */
const WIDE = 120;

/** `launchpad list` */
export async function run(context: Context, _args: readonly string[], options: Options): Promise<void> {
  const { client } = await context.session();
  const { signal } = context;
  const { status, platform, limit, offset, all } = options;
  const filters = {
    // The API says which ones there are.
    ...(status === undefined ? {} : { status: status.toUpperCase() as Status }),
    ...(platform === undefined ? {} : { platform }),
  };
  const page = await readPages(
    all ? Number.POSITIVE_INFINITY : limit,
    100,
    ({ limit, after }) =>
      client.agents.list(
        { ...filters, limit, after, offset: after === undefined ? offset : undefined },
        { signal },
      ),
    "agents",
  );
  context.out.result(page, (look) => agentTable(page.agents, look, Date.now()));
  const shown = page.offset + page.agents.length;
  if (page.total === 0) context.out.note("No agents. `launchpad create -f agent.yaml` launches one.");
  else if (page.nextCursor !== null)
    context.out.note(`${page.agents.length} of ${page.total}; --offset ${shown} or --all shows more.`);
}

/** The table of agents. Pure. */
export function agentTable(agents: readonly AgentSummary[], look: Look, now: number): string {
  if (agents.length === 0) return "";
  return table(
    agents,
    [
      { title: "NAME", value: ({ name }) => name, shrinks: true },
      { title: "ID", value: ({ agentId }) => agentId },
      {
        title: "STATUS",
        value: ({ status }) => status,
        style: (text, { status }) => tone(look.paint, status) + text.slice(status.length),
      },
      { title: "PLATFORMS", value: ({ platforms }) => platforms.join(","), shrinks: true },
      { title: "CREATED", value: ({ createdAt }) => ago(createdAt, now) },
      // An address that is cut off is of no use.
      ...(look.columns !== undefined && look.columns < WIDE
        ? []
        : [{ title: "URL", value: ({ url }: AgentSummary) => url ?? "" }]),
    ],
    look,
  );
}
