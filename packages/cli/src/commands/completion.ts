// The command `launchpad completion`.

import { scripts } from "../completion/scripts.ts";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";

/** `launchpad completion` */
export async function run(context: Context, [shell]: readonly string[]): Promise<void> {
  if (shell !== "bash" && shell !== "zsh" && shell !== "fish")
    throw new CliError("usage", `The shell must be bash, zsh or fish, not ${JSON.stringify(shell)}.`, {
      code: "USAGE",
    });
  context.out.result({ shell, script: scripts[shell] }, () => scripts[shell]);
}
