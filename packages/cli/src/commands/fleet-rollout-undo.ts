// The command `launchpad fleet rollout undo`.

import type { Context } from "../context.ts";
import { openOperator } from "../fleet/operator.ts";

/** `launchpad fleet rollout undo` */
export async function run(
  context: Context,
  _args: readonly string[],
  { reason }: { reason?: string },
): Promise<void> {
  const state = await (await openOperator(context)).call<object>("fleet_rollout", {
    action: "undo",
    reason: reason ?? null,
  });
  context.out.result(
    state,
    () =>
      "Undone: all agents go back to the image before. It stays so until agents.image changes, or `launchpad fleet rollout resume`.\n",
  );
}
