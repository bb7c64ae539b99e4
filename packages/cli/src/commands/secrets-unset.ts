// The command `launchpad secrets unset`.

import type { UpdateAgentRequest } from "@agent-launchpad/sdk";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { ownerOf, type SecretOptions } from "./secrets.ts";

/** `launchpad secrets unset` */
export async function run(context: Context, args: readonly string[], options: SecretOptions): Promise<void> {
  const { agentId, rest: names } = await ownerOf(context, args, options);
  if (names.length === 0) throw new CliError("usage", "Name the secrets to remove.", { code: "USAGE" });
  const { client } = await context.session();
  const { signal } = context;
  if (agentId === undefined) {
    for (const name of names) await client.users.removeSecret(name, { signal });
  } else {
    const { environment: known } = await client.agents.get(agentId, { signal });
    const unknown = names.filter((name) => !known.includes(name));
    if (unknown.length > 0)
      throw new CliError(
        "notFound",
        `The agent has no secret ${unknown.join(", ")}; \`launchpad secrets list\` names them.`,
        { code: "NOT_FOUND" },
      );
    const environment = Object.fromEntries(names.map((name) => [name, null]));
    await client.agents.update(agentId, { environment } as UpdateAgentRequest, { signal });
  }
  context.out.result({ agentId: agentId ?? null, unset: names }, () => `Removed ${names.join(", ")}.\n`);
}
