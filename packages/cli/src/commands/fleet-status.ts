// The command `launchpad fleet status`.

import type { Context } from "../context.ts";
import { type FleetStatus, openOperator } from "../fleet/operator.ts";
import { statusText } from "../fleet/text.ts";

/** `launchpad fleet status` */
export async function run(context: Context): Promise<void> {
  const status = await (await openOperator(context)).call<FleetStatus>("fleet_status");
  context.out.result(status, (look) => statusText(status, look));
}
