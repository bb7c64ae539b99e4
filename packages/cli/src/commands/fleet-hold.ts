// The command `launchpad fleet hold`.

import type { Context } from "../context.ts";
import { openOperator } from "../fleet/operator.ts";

/** `launchpad fleet hold` */
export async function run(
  context: Context,
  _args: readonly string[],
  { everything, reason }: { everything?: boolean; reason?: string },
): Promise<void> {
  const scope = everything ? "everything" : "removals";
  const operator = await openOperator(context);
  const state = await operator.call<object>("fleet_hold", { scope, reason: reason ?? null });
  context.out.result(state, () =>
    everything
      ? "Held: controllers change nothing. Agents run on. End it with `launchpad fleet release`.\n"
      : "Held: controllers remove nothing that the database does not know. End it with `launchpad fleet release`.\n",
  );
}
