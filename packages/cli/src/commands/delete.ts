// The command `launchpad delete`.

import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import type { Outcome } from "../exit-codes.ts";
import { ask } from "../input/prompt.ts";
import { tone } from "../output/style.ts";
import { facts } from "../output/table.ts";
import type { WaitOptions } from "../wait-for-agent.ts";

/** `launchpad delete` */
export async function run(
  context: Context,
  [agent]: readonly string[],
  options: WaitOptions & { yes?: boolean },
  question: typeof ask = ask,
): Promise<Outcome> {
  const agentId = await agentIdOf(context, agent);
  if (!options.yes && !(await confirmed(context, agent ?? agentId, question))) {
    context.out.note("Nothing was deleted.");
    return "interrupted";
  }
  const { client } = await context.session();
  const deleted = await client.agents.delete(agentId, { signal: context.signal });
  if (options.wait) {
    await client.agents.waitUntil(agentId, "DELETED", {
      signal: context.signal,
      timeout: (options.timeout ?? 300) * 1000,
      onProgress: (update) => update.type === "status" && context.out.progress(`${update.status} …`),
    });
  }
  const status = options.wait ? "DELETED" : deleted.status;
  context.out.result({ ...deleted, status }, ({ paint }) =>
    facts(
      [
        ["Agent", agentId],
        ["Status", tone(paint, status)],
        [
          "Kept",
          `logs and metrics for ${deleted.supabase_cleanup.data_retention_policy.replace("_", " ")}, its history for good`,
        ],
      ],
      paint,
    ),
  );
  return "ok";
}

async function confirmed({ signal }: Context, agent: string, question: typeof ask): Promise<boolean> {
  const answer = await question(`Delete ${agent} with its secrets and conversations? [y/N] `, {
    signal,
    instead: "add --yes",
  });
  return /^y(es)?$/i.test(answer.trim());
}
