// The command `launchpad fleet list`.

import type { Context } from "../context.ts";
import { openOperator } from "../fleet/operator.ts";
import { counted } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { tone } from "../output/style.ts";
import { table } from "../output/table.ts";
import { oneLine } from "../output/text.ts";

export interface FleetAgent {
  agentId: string;
  userId: string;
  name: string | null;
  class: string;
  phase: string;
  reason: string | null;
  message: string | null;
  replicas: number;
  ready: number;
  settled: boolean;
  attempts: number;
  controller: string | null;
  updatedAt: string;
}

interface Page {
  total: number;
  agents: FleetAgent[];
}

/** `launchpad fleet list` */
export async function run(
  context: Context,
  _args: readonly string[],
  { phase, reason, limit, offset }: { phase?: string; reason?: string; limit: number; offset?: number },
): Promise<void> {
  const skip = offset ?? 0;
  const page = await (await openOperator(context)).call<Page>("fleet_list", {
    phase: phase ?? null,
    reason: reason ?? null,
    max_count: limit,
    skip,
  });
  context.out.result(page, (look) => listText(page.agents, look));
  const shown = skip + page.agents.length;
  if (shown < page.total)
    context.out.note(`${page.agents.length} of ${page.total}; --offset ${shown} shows more.`);
}

/** The table of all users' agents. Pure. */
export function listText(agents: readonly FleetAgent[], look: Look): string {
  if (agents.length === 0) return "";
  return table(
    agents,
    [
      { title: "AGENT", value: ({ agentId }) => agentId },
      { title: "USER", value: ({ userId }) => userId },
      { title: "CLASS", value: (agent) => agent.class },
      {
        title: "PHASE",
        value: ({ phase }) => phase,
        style: (text, { phase }) => tone(look.paint, phase) + text.slice(phase.length),
      },
      { title: "READY", value: ({ ready, replicas }) => `${ready}/${replicas}` },
      {
        title: "REASON",
        value: ({ reason, attempts }) => reason ?? (attempts > 0 ? counted(attempts, "attempt") : ""),
      },
      { title: "MESSAGE", value: ({ message }) => oneLine(message ?? ""), shrinks: true },
    ],
    look,
  );
}
