// The command `launchpad fleet retry`.

import type { Context } from "../context.ts";
import { openOperator } from "../fleet/operator.ts";
import { counted } from "../output/figures.ts";

/** `launchpad fleet retry` */
export async function run(
  context: Context,
  _args: readonly string[],
  { reason }: { reason?: string },
): Promise<void> {
  const operator = await openOperator(context);
  const done = await operator.call<{ retried: number; hastened: number; skipped: number }>("fleet_retry", {
    reason: reason ?? null,
  });
  context.out.result(
    done,
    () =>
      `Retrying ${counted(done.retried, "FAILED agent")}, and ${done.hastened} that waited after an error.${
        done.skipped === 0
          ? ""
          : ` ${done.skipped} skipped: over their user's quota, or with plugins that the rules refuse.`
      }\n`,
  );
}
