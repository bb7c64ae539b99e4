// The commands `launchpad deploy`, `restart`, `stop`, `start`, `sleep` and `wake`.

import type { AgentStatus } from "@agent-launchpad/sdk";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import type { Outcome } from "../exit-codes.ts";
import { tone } from "../output/style.ts";
import { facts } from "../output/table.ts";
import type { Run } from "../run.ts";
import { SETTLED, settle, type WaitOptions } from "../wait-for-agent.ts";
import { statusText } from "./status.ts";

/** `launchpad deploy`, `restart`, `stop`, `start`, `sleep` and `wake` */
export function change(verb: "deploy" | "restart" | "stop" | "start" | "sleep" | "wake"): Run<WaitOptions> {
  return async (context, [agent], options) => {
    const agentId = await agentIdOf(context, agent);
    const { client } = await context.session();
    const changed = await client.agents[verb](agentId, { signal: context.signal });
    return await finish(context, changed, options);
  };
}

/** What a stop settles in is STOPPED alone: DEPLOYED would be a later start. Likewise for sleep. */
const RESTS: Partial<Record<AgentStatus, typeof SETTLED>> = {
  STOPPING: ["STOPPED"],
  STOPPED: ["STOPPED"],
  SLEEPING: ["ASLEEP"],
  ASLEEP: ["ASLEEP"],
};

interface Changed {
  agentId: string;
  status: AgentStatus;
  message?: string;
  revision?: number;
}

/** Tells what a verb answered, after the agent has settled where `--wait` asks for it. */
export async function finish(context: Context, changed: Changed, options: WaitOptions): Promise<Outcome> {
  const { agentId, status, message, revision } = changed;
  if (!options.wait) {
    context.out.result(changed, ({ paint }) =>
      facts(
        [
          ["Agent", agentId],
          ["Status", tone(paint, status)],
          ["Revision", revision === undefined ? "" : String(revision)],
          ["", message],
        ],
        paint,
      ),
    );
    return "ok";
  }
  const wanted = RESTS[status] ?? SETTLED;
  const { outcome, report } = await settle(context, agentId, wanted, options);
  context.out.result(report, (look) => statusText(report, look, Date.now()));
  return outcome;
}
