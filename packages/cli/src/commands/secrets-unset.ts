import type { UpdateAgentRequest } from "@agent-launchpad/sdk";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { ownerOf, rpc, type SecretOptions } from "./secrets.ts";

/** `launchpad secrets unset` */
export async function run(context: Context, args: readonly string[], options: SecretOptions): Promise<void> {
  const { agentId, rest: names } = await ownerOf(context, args, options);
  if (names.length === 0) throw new CliError("usage", "Name the secrets to remove.", { code: "USAGE" });
  if (agentId === undefined) {
    for (const name of names) await rpc(context, "remove_user_secret", { name });
  } else {
    const { client } = await context.session();
    const { environment: known } = await client.agents.get(agentId, { signal: context.signal });
    const unknown = names.filter((name) => !known.includes(name));
    if (unknown.length > 0)
      throw new CliError(
        "notFound",
        `The agent has no secret ${unknown.join(", ")}; \`launchpad secrets list\` names them.`,
        { code: "NOT_FOUND" },
      );
    const environment = Object.fromEntries(names.map((name) => [name, null]));
    await client.agents.update(agentId, { environment } as UpdateAgentRequest, { signal: context.signal });
  }
  context.out.result({ agentId: agentId ?? null, unset: names }, () => `Removed ${names.join(", ")}.\n`);
}
