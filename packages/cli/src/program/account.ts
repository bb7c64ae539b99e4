// Declares the commands about the signed-in user.

import { type Command, Option } from "commander";
import type { actions } from "../run.ts";

type Action = ReturnType<typeof actions>;

/** Adds the commands about who is signed in. */
export function addAccountCommands(program: Command, action: Action): void {
  program
    .command("login")
    .description("sign in; the login is kept in your configuration folder")
    .option("--email <address>", "your address")
    .option("--password-stdin", "read the password from stdin")
    .option("--sign-up", "make the account first")
    .option("--magic-link", "have a link and a code sent by mail")
    .option("--code <code>", "the code, or the link, of a mail that was sent before")
    .option("--token-stdin", "read an access token, or a session as JSON, from stdin")
    .action(action(() => import("../commands/login.ts")));
  program
    .command("logout")
    .description("end the login")
    .option("--everywhere", "end all sessions of the account")
    .action(action(() => import("../commands/logout.ts")));
  program
    .command("whoami")
    .description("show who is signed in where, and what they may do")
    .action(action(() => import("../commands/whoami.ts")));
  program
    .command("env")
    .description('print the project\'s address and key for a shell: eval "$(launchpad env)"')
    .addOption(new Option("--format <format>", "how").choices(["sh", "fish", "dotenv"]).default("sh"))
    .option("--token", "with an access token of the login; it expires within the hour")
    .action(action(() => import("../commands/env.ts")));
  program
    .command("open")
    .description("open the project, or an agent's address, in the browser")
    .argument("[agent]", "id, or name where it is unique")
    .action(action(() => import("../commands/open.ts")));
}
