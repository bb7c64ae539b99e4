// The command `launchpad revisions`.

import type { Revision } from "@agent-launchpad/sdk";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import { ago } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";
import { readPages } from "../pages.ts";

/** `launchpad revisions` */
export async function run(
  context: Context,
  [agent]: readonly string[],
  options: { limit: number; all?: boolean },
): Promise<void> {
  const agentId = await agentIdOf(context, agent);
  const { client, user } = await context.session();
  const { signal } = context;
  const page = await readPages(
    options.all ? Number.POSITIVE_INFINITY : options.limit,
    100,
    (query) => client.agents.revisions(agentId, query, { signal }),
    "revisions",
  );
  context.out.result(page, (look) => revisionTable(page.revisions, look, Date.now(), user.id));
  if (page.nextCursor !== null)
    context.out.note(`${page.revisions.length} of ${page.total}; --all shows more.`);
}

/** The table of revisions; `you` are the user with this id. Pure. */
export function revisionTable(
  revisions: readonly Revision[],
  look: Look,
  now: number,
  userId: string,
): string {
  if (revisions.length === 0) return "";
  return table(
    revisions,
    [
      { title: "REVISION", value: ({ revision, current }) => `${revision}${current ? " (current)" : ""}` },
      { title: "REASON", value: ({ reason }) => reason },
      {
        title: "BY",
        value: ({ createdBy }) => (createdBy === `user:${userId}` ? "you" : createdBy),
        shrinks: true,
      },
      { title: "CREATED", value: ({ createdAt }) => ago(createdAt, now) },
    ],
    look,
  );
}
