// Declares the whole command line.

import { Command, Option } from "commander";
import { addAccountCommands } from "./program/account.ts";
import { addAgentCommands } from "./program/agents.ts";
import { addFleetCommands } from "./program/fleet.ts";
import { addModelCommands } from "./program/models.ts";
import { addPluginCommands } from "./program/plugins.ts";
import { addProjectCommands } from "./program/project.ts";
import { synonymOf } from "./program/synonyms.ts";
import { addUsageCommands } from "./program/usage.ts";
import { actions, type Surroundings } from "./run.ts";
import { VERSION } from "./version.ts";

/**
 * The whole command line: what can be said, without what it does.
 * @param surroundings the process
 * @param end told of the exit code of a command that ran
 */
export function createProgram(surroundings: Surroundings, end: (code: number) => void): Command {
  const action = actions(surroundings, end);
  const program = new Command("launchpad")
    .description("Launch, watch, scale and talk to agents.")
    .version(VERSION, "-V, --version", "show the version")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "show help")
    .option("--json", "print JSON")
    .option("--profile <name>", "which login to use (LAUNCHPAD_PROFILE)")
    .option("--url <address>", "the Supabase project (LAUNCHPAD_URL)")
    .option("--key <key>", "its publishable key (LAUNCHPAD_KEY)")
    .addOption(
      new Option("--api-url <address>", "where /api is, if not among the project's functions").hideHelp(),
    )
    .option("--no-color", "print without colour (NO_COLOR)")
    .option("--debug", "show where an error comes from")
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => surroundings.stdout.write(text),
      writeErr: (text) => surroundings.stderr.write(text),
    })
    .exitOverride();

  program.commandsGroup("Agents:");
  addAgentCommands(program, action);
  const agents = program
    .command("agents")
    .description("commands for agents; `launchpad <command>` does the same");
  addAgentCommands(agents, action);
  program.commandsGroup("Keys and usage:");
  addUsageCommands(program, action);
  addModelCommands(program, action);
  addPluginCommands(program, action);
  program.commandsGroup("Security:");
  addProjectCommands(program, action);
  addFleetCommands(program, action);
  program.commandsGroup("Account:");
  addAccountCommands(program, action);
  explainErrors(program);
  return program;
}

/** Lets a command and all below it say a wrong command line in one sentence. */
function explainErrors(command: Command): void {
  command.configureOutput({
    outputError: (text, write) =>
      write(`${oneSentence(withSynonym(text, command))} Add \`--help\` to see the usage.\n`),
  });
  for (const each of command.commands) explainErrors(each);
}

/** commander suggests names that are spelt alike; a word of another command line comes first. */
function withSynonym(text: string, command: Command): string {
  const word = /^error: unknown command '(.+?)'/.exec(text)?.[1];
  const meant = word === undefined ? undefined : synonymOf(command, word);
  return meant === undefined ? text : `error: unknown command '${word}'\n(Did you mean ${meant}?)`;
}

/** commander's error in one sentence: it puts what may have been meant on another line, and a wrong value before its name. */
function oneSentence(text: string): string {
  const joined = text
    .trimEnd()
    .replace(
      /^error: command-argument value '(.*)' is invalid for argument '(.+?)'\. It must be (.*?)\.?$/s,
      'error: $2 must be $3, got "$1"',
    )
    .replace(
      /^error: option '.*?(--[\w-]+)[^']*' argument '(.*)' is invalid\. It must be (.*?)\.?$/s,
      'error: $1 must be $3, got "$2"',
    )
    .replace(/\.?\n\(Did you mean (.+)\?\)$/s, "; did you mean $1?");
  return /[.?]$/.test(joined) ? joined : `${joined}.`;
}
