// The command `launchpad fleet rollout resume`.

import type { Context } from "../context.ts";
import { openOperator } from "../fleet/operator.ts";

/** `launchpad fleet rollout resume` */
export async function run(context: Context): Promise<void> {
  const state = await (await openOperator(context)).call<object>("fleet_rollout", { action: "resume" });
  context.out.result(state, () => "Resumed.\n");
}
