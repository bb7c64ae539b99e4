// `launchpad keys revoke`
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";

/** `launchpad keys revoke`: by id, prefix or name, where that is unique among the keys that work. */
export async function run(context: Context, [agent, wanted = ""]: readonly string[]): Promise<void> {
  const agentId = await agentIdOf(context, agent);
  const { client } = await context.session();
  const { signal } = context;
  const keys = await Array.fromAsync(client.agents.keys.list(agentId, { limit: 100 }, { signal }));
  const working = keys.filter(({ revokedAt }) => revokedAt === null);
  const named = working.filter(
    ({ id, name, prefix }) => id === wanted || name === wanted || prefix === wanted.replace(/…$/, ""),
  );
  const [key] = named;
  if (key === undefined) {
    throw new CliError(
      "notFound",
      `${agent} has no working key "${wanted}". \`launchpad keys list ${agent}\` shows them.`,
      {
        code: "NOT_FOUND",
      },
    );
  }
  if (named.length > 1) {
    throw new CliError("conflict", `${named.length} keys are called "${wanted}". Name one by its id.`, {
      code: "AMBIGUOUS",
    });
  }
  await client.agents.keys.revoke(agentId, key.id, { signal });
  context.out.result(
    { id: key.id, name: key.name, revoked: true },
    () => `Revoked ${key.name} (${key.prefix}…).`,
  );
  context.out.note("Every replica refuses it within 5 seconds.");
}
