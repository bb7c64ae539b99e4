// The command `launchpad fleet drain`.

import type { Context } from "../context.ts";
import { openOperator } from "../fleet/operator.ts";
import { counted } from "../output/figures.ts";

/** `launchpad fleet drain` */
export async function run(
  context: Context,
  [controller]: readonly string[],
  { undo }: { undo?: boolean },
): Promise<void> {
  const operator = await openOperator(context);
  const args = { controller, undo: undo ?? false };
  const done = await operator.call<{ released: number }>("fleet_drain", args);
  context.out.result(done, () =>
    undo
      ? `${controller} can claim agents again.\n`
      : `Took ${counted(done.released, "agent")} from ${controller}; it gets none until it restarts, or \`--undo\`.\n`,
  );
}
