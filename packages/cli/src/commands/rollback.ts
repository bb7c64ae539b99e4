// The command `launchpad rollback`.

import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import type { Outcome } from "../exit-codes.ts";
import type { WaitOptions } from "../wait-for-agent.ts";
import { finish } from "./change.ts";

/** `launchpad rollback` */
export async function run(
  context: Context,
  [agent, revision]: readonly string[],
  options: WaitOptions,
): Promise<Outcome> {
  const agentId = await agentIdOf(context, agent);
  const { client } = await context.session();
  const rolledBack = await client.agents.rollback(
    agentId,
    revision === undefined ? undefined : Number(revision),
    {
      signal: context.signal,
    },
  );
  return await finish(context, rolledBack, options);
}
