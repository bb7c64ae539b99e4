// The command `launchpad fleet rollout canary`.

import type { Context } from "../context.ts";
import { openOperator } from "../fleet/operator.ts";
import { counted } from "../output/figures.ts";

/** `launchpad fleet rollout canary` */
export async function run(
  context: Context,
  users: readonly string[],
  { pause }: { pause?: boolean },
): Promise<void> {
  const args = { users, pauses: pause ?? false };
  const state = await (await openOperator(context)).call<object>("fleet_rollout_canary", args);
  context.out.result(state, () =>
    users.length === 0
      ? "No user comes first any more.\n"
      : `Rollouts update the agents of ${counted(users.length, "user")} first${pause ? ", then wait for `launchpad fleet rollout resume`" : ""}.\n`,
  );
}
