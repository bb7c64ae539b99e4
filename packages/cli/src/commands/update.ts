// The command `launchpad update`.

import type { UpdateAgentRequest } from "@agent-launchpad/sdk";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import type { Outcome } from "../exit-codes.ts";
import { explain } from "../explain.ts";
import { readDefinition, withLocations } from "../input/definition.ts";
import type { WaitOptions } from "../wait-for-agent.ts";
import { finish } from "./change.ts";

/** `launchpad update` */
export async function run(
  context: Context,
  [agent]: readonly string[],
  options: WaitOptions & { file: string },
): Promise<Outcome> {
  const definition = await readDefinition(options.file);
  const agentId = await agentIdOf(context, agent);
  const { client } = await context.session();
  const updated = await client.agents
    .update(agentId, definition.value as UpdateAgentRequest, { signal: context.signal })
    .catch((error: unknown) => {
      throw withLocations(explain(error, context.place), definition);
    });
  const changed = Object.entries(updated.changes_applied).filter(([, did]) => did);
  const message =
    changed.length === 0
      ? "nothing that runs changed"
      : `changed: ${changed.map(([part]) => part).join(", ")}`;
  return await finish(context, { ...updated, message }, options);
}
