// Declares the commands about secrets, security and the project.

import { type Command, InvalidArgumentError, Option } from "commander";
import type { actions } from "../run.ts";

type Action = ReturnType<typeof actions>;

/** Adds the commands about secrets, security and the project. */
export function addProjectCommands(program: Command, action: Action): void {
  const secrets = program.command("secrets").description("secrets of an agent, or of your account");
  const ofAccount: [string, string] = [
    "--account",
    "secrets of the account: model keys of agents without a deployment",
  ];
  secrets
    .command("set")
    .description("set secrets; a deployed agent is replaced without a gap")
    .argument("[agent]", "id or name; left out with --account")
    .argument("[secrets...]", "NAME=value, or NAME to be asked (or read from stdin)")
    .option("--env-file <file>", "from a file of NAME=value lines")
    .option(...ofAccount)
    .action(action(() => import("../commands/secrets-set.ts")));
  secrets
    .command("list")
    .alias("ls")
    .description("list names; values are never shown again")
    .argument("[agent]", "id or name; left out with --account")
    .option(...ofAccount)
    .action(action(() => import("../commands/secrets-list.ts")));
  secrets
    .command("unset")
    .description("remove secrets")
    .argument("[agent]", "id or name; left out with --account")
    .argument("[names...]", "which")
    .option(...ofAccount)
    .action(action(() => import("../commands/secrets-unset.ts")));

  program
    .command("scan")
    .description("scan an agent; exit code 11 when it does not pass")
    .argument("<agent>", "id, or name where it is unique")
    .action(action(() => import("../commands/scan.ts")));

  program
    .command("security")
    .description("what happened to your account and agents")
    .command("events")
    .description("list security events")
    .option("-f, --follow", "go on with every new event until Ctrl-C")
    .option("--limit <n>", "how many", count, 50)
    .option("--all", "all of them")
    .addOption(
      new Option("--severity <severity>", "only of this severity").choices([
        "low",
        "medium",
        "high",
        "critical",
      ]),
    )
    .option("--type <type>", "only of this type, such as AUTH_FAILURE")
    .option("--since <time>", "only since 2026-01-15, or 2026-01-15T13:25:00Z")
    .action(action(() => import("../commands/security-events.ts")));

  program.commandsGroup("Project:");
  program
    .command("doctor")
    .description("check a project; exit code 11 when something is wrong")
    .option(
      "--db-url <address>",
      "connection string of the role postgres, for checks inside (LAUNCHPAD_DB_URL)",
    )
    .option("--fix", "put the controller's address and the webhook's secret into Vault")
    .option("--controller-url <address>", "where the controller takes webhooks (LAUNCHPAD_CONTROLLER_URL)")
    .option("--migrations <folder>", "the migrations to compare with")
    .action(action(() => import("../commands/doctor.ts")));
  program
    .command("completion")
    .description("print the completion of a shell")
    .argument("<shell>", "bash, zsh or fish")
    .action(action(() => import("../commands/completion.ts")));
}

function count(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1.");
  return Number(text);
}
