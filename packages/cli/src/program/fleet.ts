// Declares the commands for operators.

import { type Command, InvalidArgumentError } from "commander";
import type { actions } from "../run.ts";

type Action = ReturnType<typeof actions>;

/** Adds the commands of operators, which act for all users with the project's secret key. */
export function addFleetCommands(program: Command, action: Action): void {
  const fleet = program
    .command("fleet")
    .description("operators: all controllers and agents (needs LAUNCHPAD_SECRET_KEY)");
  fleet
    .command("status")
    .description("show controllers, what is held, and what the brake stopped")
    .action(action(() => import("../commands/fleet-status.ts")));
  fleet
    .command("list")
    .alias("ls")
    .description("list agents of all users, those that need help first")
    .option("--phase <phase>", "only in this phase, such as FAILED")
    .option("--reason <reason>", "only with this reason")
    .option("--limit <n>", "how many", count, 100)
    .option("--offset <n>", "after how many", count)
    .action(action(() => import("../commands/fleet-list.ts")));
  fleet
    .command("retry")
    .description("try FAILED agents again, once their cause is gone")
    .option("--reason <reason>", "only those with this reason, such as QUOTA_EXCEEDED")
    .action(action(() => import("../commands/fleet-retry.ts")));
  fleet
    .command("hold")
    .description("stop controllers from removing what the database does not know")
    .option("--everything", "stop every change, for incidents")
    .option("--reason <text>", "why, for others")
    .action(action(() => import("../commands/fleet-hold.ts")));
  fleet
    .command("release")
    .description("end a hold; confirm removals that the brake stopped")
    .option("--removals <n>", "confirm so many without being asked", count)
    .option("--minutes <n>", "for how long", count, 15)
    .action(action(() => import("../commands/fleet-release.ts")));
  const rollout = fleet.command("rollout").description("how a new image reaches the agents, wave by wave");
  rollout
    .command("status", { isDefault: true })
    .description("show how far it is, and which agents do not become ready")
    .action(action(() => import("../commands/fleet-rollout-status.ts")));
  rollout
    .command("pause")
    .description("begin no further wave")
    .option("--reason <text>", "why, for others")
    .action(action(() => import("../commands/fleet-rollout-pause.ts")));
  rollout
    .command("resume")
    .description("go on, with the failures so far accepted")
    .action(action(() => import("../commands/fleet-rollout-resume.ts")));
  rollout
    .command("undo")
    .description("bring all agents back to the image before")
    .option("--reason <text>", "why, for others")
    .action(action(() => import("../commands/fleet-rollout-undo.ts")));
  rollout
    .command("canary")
    .description("update these users' agents first in every rollout")
    .argument("[users...]", "their ids; leave them out to clear the list")
    .option("--pause", "wait for `resume` before the rest follows")
    .action(action(() => import("../commands/fleet-rollout-canary.ts")));
  fleet
    .command("drain")
    .description("take all agents from one controller; others go on with them")
    .argument("<controller>", "its name, as `fleet status` shows it")
    .option("--undo", "let it take agents again")
    .action(action(() => import("../commands/fleet-drain.ts")));
  fleet
    .command("adopt")
    .description("take over a cluster that belongs to another database")
    .argument("<database>", "its id, as the controller's log names it")
    .option("-y, --yes", "do not ask")
    .action(action(() => import("../commands/fleet-adopt.ts")));
  addClassCommands(fleet, action);
}

function addClassCommands(fleet: Command, action: Action): void {
  const command = (name: "list" | "show" | "set" | "remove" | "assign") =>
    action(async () => ({ run: (await import("../commands/fleet-classes.ts"))[name] }));
  fleet
    .command("class")
    .description("give a user a class: a sandbox, nodes, an image, limits")
    .argument("<user>", "its id or e-mail address")
    .argument("<class>", "as `fleet classes list` shows it; `default` removes the class")
    .action(command("assign"));
  const classes = fleet.command("classes").description("classes of users: what their agents' pods get");
  classes
    .command("list")
    .alias("ls")
    .description("list classes, what they set, and how many users have each")
    .action(command("list"));
  classes
    .command("show")
    .description("print a class as JSON, to change it and set it again")
    .argument("<class>", "its name")
    .action(command("show"));
  classes
    .command("set")
    .description("create or replace a class from a file; options alone change only what they name")
    .argument("<class>", "its name")
    .option("-f, --file <path>", "the class as JSON or YAML, or - for stdin")
    .option("--description <text>", "what it is for")
    .option("--image <image>", "image of the agents")
    .option("--runtime-class <name>", "runtime class of the pods, such as gvisor or kata")
    .option("--priority-class <name>", "priority class of the pods")
    .action(command("set"));
  classes
    .command("delete")
    .alias("rm")
    .description("delete a class that no user has")
    .argument("<class>", "its name")
    .action(command("remove"));
}

function count(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1.");
  return Number(text);
}
