// `launchpad keys list`
import type { AgentKey } from "@agent-launchpad/sdk";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import { ago } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";
import { oneLine } from "../output/text.ts";
import { readPages } from "../pages.ts";

/** `launchpad keys list` */
export async function run(
  context: Context,
  [agent]: readonly string[],
  options: { limit: number; all?: boolean },
): Promise<void> {
  const agentId = await agentIdOf(context, agent);
  const { client } = await context.session();
  const { signal } = context;
  const page = await readPages(
    options.all ? Number.POSITIVE_INFINITY : options.limit,
    100,
    (query) => client.agents.keys.list(agentId, query, { signal }),
    "keys",
  );
  context.out.result(page, (look) => keyTable(page.keys, look, Date.now()));
  if (page.keys.length === 0)
    context.out.note(`No keys. \`launchpad keys create ${agent} <name>\` creates one.`);
  else if (page.nextCursor !== null)
    context.out.note(`${page.keys.length} of ${page.total}; --all shows more.`);
}

/** The table of keys, without the keys themselves. Pure. */
export function keyTable(keys: readonly AgentKey[], look: Look, now: number): string {
  if (keys.length === 0) return "";
  return table(
    keys,
    [
      { title: "ID", value: ({ id }) => id },
      { title: "NAME", value: ({ name }) => oneLine(name), shrinks: true },
      { title: "KEY", value: ({ prefix }) => `${prefix}…` },
      { title: "SCOPES", value: ({ scopes }) => scopes.join(", ") },
      { title: "ORIGINS", value: ({ origins }) => origins.join(", ") || "–", shrinks: true },
      {
        title: "LAST USED",
        value: ({ lastUsedAt }) => (lastUsedAt === null ? "never" : ago(lastUsedAt, now)),
      },
      { title: "STATE", value: (key) => stateOf(key, now) },
    ],
    look,
  );
}

function stateOf({ revokedAt, expiresAt }: AgentKey, now: number): string {
  if (revokedAt !== null) return "revoked";
  if (expiresAt === null) return "active";
  return Date.parse(expiresAt) <= now ? "expired" : `until ${expiresAt.slice(0, 10)}`;
}
