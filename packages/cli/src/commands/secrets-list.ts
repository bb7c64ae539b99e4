// The command `launchpad secrets list`.

import type { Secret } from "@agent-launchpad/sdk";
import type { Context } from "../context.ts";
import { ago } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";
import { ownerOf, type SecretOptions } from "./secrets.ts";

/** `launchpad secrets list` */
export async function run(context: Context, args: readonly string[], options: SecretOptions): Promise<void> {
  const { agentId } = await ownerOf(context, args, options);
  const { client } = await context.session();
  const { signal } = context;
  if (agentId !== undefined) await client.agents.get(agentId, { signal }); // says where there is no such agent
  const secrets =
    agentId === undefined
      ? await client.users.listSecrets({ signal })
      : await client.agents.listSecrets(agentId, { signal });
  context.out.result({ agentId: agentId ?? null, secrets }, (look) => secretTable(secrets, look, Date.now()));
  if (secrets.length === 0) context.out.note("No secrets.");
}

/** The table of secrets' names. Pure. */
export function secretTable(secrets: readonly Secret[], look: Look, now: number): string {
  if (secrets.length === 0) return "";
  return table(
    secrets,
    [
      { title: "NAME", value: ({ name }) => name },
      { title: "VERSION", value: ({ version }) => String(version), align: "right" },
      { title: "UPDATED", value: ({ updated_at }) => ago(updated_at, now) },
    ],
    look,
  );
}
