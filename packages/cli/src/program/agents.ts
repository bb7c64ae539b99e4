// Declares the commands about agents.

import { type Command, InvalidArgumentError, Option } from "commander";
import type { actions } from "../run.ts";

type Action = ReturnType<typeof actions>;

const AGENT: [string, string] = ["<agent>", "id, or name where it is unique"];
const WAIT: [string, string] = ["-w, --wait", "wait until it is done; exit code 10 when it fails"];
const TIMEOUT: [string, string, (text: string) => number] = [
  "--timeout <seconds>",
  "how long to wait",
  positive,
];

/**
 * Adds the commands about agents.
 * @param parent the program, or its command `agents`
 * @param action makes an action of a command's file
 */
export function addAgentCommands(parent: Command, action: Action): void {
  parent
    .command("create")
    .description("launch an agent from a definition")
    .requiredOption("-f, --file <file>", "the definition, JSON or YAML; - for stdin")
    .option("--name <name>", "another name than the definition's")
    .option("--env-file <file>", "further secrets, as NAME=value lines")
    .option(...WAIT)
    .option(...TIMEOUT)
    .action(action(() => import("../commands/create.ts")));

  parent
    .command("apply")
    .description("create the agent of a definition, or change the one of its name; shows the difference")
    .requiredOption("-f, --file <file>", "the definition, JSON or YAML; - for stdin")
    .option("--name <name>", "another name than the definition's")
    .option("--env-file <file>", "further secrets, as NAME=value lines")
    .option("-y, --yes", "do not ask before a change")
    .option("--dry-run", "show the difference and change nothing")
    .option("--watch", "apply again each time the file is saved")
    .option(...WAIT)
    .option(...TIMEOUT)
    .action(action(() => import("../commands/apply.ts")));

  parent
    .command("init")
    .description("write a definition with comments, to edit and apply")
    .argument("[file]", "where to", "agent.yaml")
    .addOption(
      new Option("--template <name>", "what kind of agent")
        .choices(["basic", "tools", "elizaos", "public"])
        .default("basic"),
    )
    .option("--name <name>", "the agent's name")
    .option("--framework <name>", "who answers: openai, anthropic, google, or echo to try it without a key")
    .option("--force", "replace the file if it is there")
    .action(action(() => import("../commands/init.ts")));

  parent
    .command("list")
    .alias("ls")
    .description("list agents, newest first")
    .option("--status <status>", "only those of a status, such as deployed")
    .option("--platform <platform>", "only those of a platform, such as discord")
    .option("--limit <n>", "how many", positive, 20)
    .option("--offset <n>", "how many to skip", whole)
    .option("--all", "all of them")
    .action(action(() => import("../commands/list.ts")));

  parent
    .command("status")
    .description("show an agent's phase and health")
    .argument(...AGENT)
    .option("-w, --watch", "follow until it has settled; exit code 10 when it fails")
    .option(...TIMEOUT)
    .action(action(() => import("../commands/status.ts")));

  parent
    .command("update")
    .description("change an agent; what runs is replaced without a gap")
    .argument(...AGENT)
    .requiredOption("-f, --file <file>", "the fields to change, JSON or YAML; - for stdin")
    .option(...WAIT)
    .option(...TIMEOUT)
    .action(action(() => import("../commands/update.ts")));

  parent
    .command("scale")
    .description("set the number of replicas")
    .argument(...AGENT)
    .argument("<replicas>", "how many", whole)
    .option("--min <n>", "fewest, when scaling automatically", whole)
    .option("--max <n>", "most, when scaling automatically", positive)
    .option("--target-cpu <percent>", "CPU to aim for, when scaling automatically", positive)
    .option(...WAIT)
    .option(...TIMEOUT)
    .action(action(() => import("../commands/scale.ts")));

  for (const [verb, what] of [
    ["deploy", "deploy a definition, or again after a failure"],
    ["restart", "replace every replica without a gap"],
    ["stop", "stop every replica"],
    ["start", "start a stopped agent"],
    ["sleep", "stop every replica; a request, a message or `wake` starts them again"],
    ["wake", "wake an agent that is asleep"],
  ] as const) {
    parent
      .command(verb)
      .description(what)
      .argument(...AGENT)
      .option(...WAIT)
      .option(...TIMEOUT)
      .action(
        action(async () => {
          const { change } = await import("../commands/change.ts");
          return { run: change(verb) };
        }),
      );
  }

  parent
    .command("revisions")
    .description("list the configurations it ran with, newest first")
    .argument(...AGENT)
    .option("--limit <n>", "how many", positive, 20)
    .option("--all", "all of them")
    .action(action(() => import("../commands/revisions.ts")));

  parent
    .command("rollback")
    .description("run an earlier revision again")
    .argument(...AGENT)
    .argument("[revision]", "which; left out: the one before", positive)
    .option(...WAIT)
    .option(...TIMEOUT)
    .action(action(() => import("../commands/rollback.ts")));

  parent
    .command("delete")
    .description("delete an agent, its secrets and conversations")
    .argument(...AGENT)
    .option("-y, --yes", "do not ask")
    .option(...WAIT)
    .option(...TIMEOUT)
    .action(action(() => import("../commands/delete.ts")));

  parent
    .command("export")
    .description("write an agent to a file: definition, revisions, conversations, files; no secrets")
    .argument(...AGENT)
    .option("-o, --output <file>", "where to; - for stdout. Left out: <id>.json, or <id>.tar.gz with files")
    .option("--no-assets", "leave its files out")
    .option("--force", "replace the file if it is there")
    .action(action(() => import("../commands/export.ts")));

  parent
    .command("import")
    .description("create an agent from an export")
    .argument("<file>", "what `export` wrote; - for stdin")
    .option("--name <name>", "another name")
    .action(action(() => import("../commands/import.ts")));

  parent
    .command("logs")
    .description("print log lines, oldest first")
    .argument(...AGENT)
    .option("-f, --follow", "go on with every new line until Ctrl-C")
    .option("-n, --lines <n>", "how many", positive, 100)
    .option("--since <span>", "only of the last 45s, 30m, 1h, 2d …")
    .addOption(
      new Option("--level <level>", "only of this level").choices(["debug", "info", "warn", "error"]),
    )
    .option("--text <text>", "only with this text, in any case")
    .action(action(() => import("../commands/logs.ts")));

  parent
    .command("metrics")
    .description("show what an agent uses")
    .argument(...AGENT)
    .option("--range <span>", "how far back: 30m, 6h, 30d …", "1h")
    .addOption(new Option("--resolution <step>", "one bar a …").choices(["minute", "hour"]))
    .action(action(() => import("../commands/metrics.ts")));

  parent
    .command("chat")
    .description("talk to an agent")
    .argument(...AGENT)
    .argument("[message...]", "say this and end; left out: a conversation")
    .option("--conversation <id>", "go on with an earlier conversation")
    .option("--timeout <seconds>", "how long to wait for an answer", positive, 60)
    .action(action(() => import("../commands/chat.ts")));

  parent
    .command("trace")
    .description("show the steps of an answer: calls of models and tools, times, tokens, errors")
    .argument("<message>", "id of the answer, or of its question")
    .action(action(() => import("../commands/trace.ts")));
}

/** A whole number from 0. */
function whole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
  return Number(text);
}

/** A whole number from 1. */
function positive(text: string): number {
  const value = whole(text);
  if (value === 0) throw new InvalidArgumentError("It must be at least 1.");
  return value;
}
