// The command `launchpad fleet rollout status`.

import type { Context } from "../context.ts";
import { type FleetStatus, openOperator } from "../fleet/operator.ts";
import { rolloutFacts } from "../fleet/text.ts";
import { facts } from "../output/table.ts";

/** `launchpad fleet rollout status` */
export async function run(context: Context): Promise<void> {
  const { rollout } = await (await openOperator(context)).call<FleetStatus>("fleet_status");
  context.out.result(rollout, (look) =>
    rollout === null
      ? "No rollout: every agent has the image that the controllers are set to.\n"
      : facts(rolloutFacts(rollout, look), look.paint),
  );
}
