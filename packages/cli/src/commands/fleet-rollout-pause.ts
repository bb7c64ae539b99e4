// The command `launchpad fleet rollout pause`.

import type { Context } from "../context.ts";
import { openOperator } from "../fleet/operator.ts";

/** `launchpad fleet rollout pause` */
export async function run(
  context: Context,
  _args: readonly string[],
  { reason }: { reason?: string },
): Promise<void> {
  const state = await (await openOperator(context)).call<object>("fleet_rollout", {
    action: "pause",
    reason: reason ?? null,
  });
  context.out.result(
    state,
    () => "Paused: no further wave begins. Go on with `launchpad fleet rollout resume`.\n",
  );
}
