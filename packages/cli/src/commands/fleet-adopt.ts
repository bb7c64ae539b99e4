// The command `launchpad fleet adopt`.

import type { Context } from "../context.ts";
import type { Outcome } from "../exit-codes.ts";
import { type FleetStatus, openOperator } from "../fleet/operator.ts";
import { ask } from "../input/prompt.ts";

/** `launchpad fleet adopt` */
export async function run(
  context: Context,
  [installation]: readonly string[],
  options: { yes?: boolean },
  question: typeof ask = ask,
): Promise<Outcome> {
  const operator = await openOperator(context);
  if (!options.yes) {
    const { installation: own } = await operator.call<FleetStatus>("fleet_status");
    const asked = `Let the database ${own} take over what ${installation} runs in the cluster? [y/N] `;
    const answer = await question(asked, { signal: context.signal, instead: "add --yes" });
    if (!/^y(es)?$/i.test(answer.trim())) {
      context.out.note("Nothing was adopted.");
      return "interrupted";
    }
  }
  const state = await operator.call<object>("fleet_adopt", { installation });
  context.out.result(
    state,
    () =>
      `Adopted ${installation}. Controllers go on within seconds; what this database does not know waits for \`launchpad fleet release\`.\n`,
  );
  return "ok";
}
