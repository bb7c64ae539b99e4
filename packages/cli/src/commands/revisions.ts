import type { Revision } from "@agent-launchpad/sdk";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import { ago } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";

/** `launchpad revisions` */
export async function run(
  context: Context,
  [agent]: readonly string[],
  options: { limit: number },
): Promise<void> {
  const agentId = await agentIdOf(context, agent);
  const { client } = await context.session();
  const page = await client.agents.revisions(agentId, { limit: options.limit }, { signal: context.signal });
  context.out.result(page, (look) => revisionTable(page.revisions, look, Date.now()));
  if (page.total > page.revisions.length)
    context.out.note(`${page.revisions.length} of ${page.total}; --limit shows more.`);
}

/** The table of revisions. Pure. */
export function revisionTable(revisions: readonly Revision[], look: Look, now: number): string {
  if (revisions.length === 0) return "";
  return table(
    revisions,
    [
      { title: "REVISION", value: ({ revision, current }) => `${revision}${current ? " (current)" : ""}` },
      { title: "REASON", value: ({ reason }) => reason },
      { title: "BY", value: ({ createdBy }) => createdBy, shrinks: true },
      { title: "CREATED", value: ({ createdAt }) => ago(createdAt, now) },
    ],
    look,
  );
}
