// The command `launchpad fleet release`.

import type { Context } from "../context.ts";
import type { Outcome } from "../exit-codes.ts";
import { type FleetStatus, openOperator } from "../fleet/operator.ts";
import { stoppedOf, stoppedText } from "../fleet/text.ts";
import { ask } from "../input/prompt.ts";
import { counted } from "../output/figures.ts";

interface Options {
  removals?: number;
  minutes: number;
}

/** `launchpad fleet release` */
export async function run(
  context: Context,
  _args: readonly string[],
  { minutes, removals }: Options,
  question: typeof ask = ask,
): Promise<Outcome> {
  const operator = await openOperator(context);
  const confirmed =
    removals ?? (await confirm(context, await operator.call<FleetStatus>("fleet_status"), question));
  if (confirmed === "no") {
    context.out.note("Nothing was released.");
    return "interrupted";
  }
  const state = await operator.call<object>("fleet_release", { removals: confirmed ?? null, minutes });
  context.out.result(state, () =>
    confirmed
      ? `Released: up to ${confirmed} of each kind may be removed at once in the next ${counted(minutes, "minute")}.\n`
      : "Released: controllers work as usual.\n",
  );
  return "ok";
}

/** The number that the brake stopped, if a person repeats it; undefined where nothing was stopped. */
async function confirm(
  { out, signal }: Context,
  status: FleetStatus,
  question: typeof ask,
): Promise<number | undefined | "no"> {
  const stopped = stoppedOf(status);
  const most = Math.max(0, ...Object.values(stopped).map(({ count }) => count));
  if (most === 0) return undefined;
  for (const line of stoppedText(stopped)) out.note(`The brake stopped the removal of ${line}.`);
  const answer = await question(`Type ${most} to let controllers remove them: `, {
    signal,
    instead: `add --removals ${most}`,
  });
  return answer.trim() === String(most) ? most : "no";
}
