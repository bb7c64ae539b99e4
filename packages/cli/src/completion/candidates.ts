// Finds what can follow a command line, for shell completion.

import type { Command, Option } from "commander";

/** What may stand at a place of the command line. */
export interface Candidate {
  word: string;
  about: string;
}

/** What else can stand there: the shell knows files, the project knows agents. */
export type Rest = "files" | "agents" | "nothing";

export interface Completion {
  offered: Candidate[];
  rest: Rest;
  /** The options before, by the names that commander gives them. */
  options: Record<string, string | true>;
}

/**
 * What can follow the words so far. Pure: reads the program's own declarations.
 * @param program the whole command line
 * @param words what was typed after `launchpad`; the last one is being typed, perhaps empty
 */
export function candidates(program: Command, words: readonly string[]): Completion {
  const typed = words.at(-1) ?? "";
  const options: Completion["options"] = {};
  let command = program;
  let waiting: Option | undefined;
  /** How many arguments of the command stand before. */
  let given = 0;
  for (const word of words.slice(0, -1)) {
    if (waiting) {
      options[waiting.attributeName()] = word;
      waiting = undefined;
      continue;
    }
    if (word.startsWith("-")) {
      const option = optionOf(command, word);
      const [, value] = word.split(/=(.*)/s, 2);
      if (option && value === undefined && (option.required || option.optional)) waiting = option;
      else if (option) options[option.attributeName()] = value ?? true;
      continue;
    }
    const below = command.commands.find((each) => each.name() === word || each.aliases().includes(word));
    given = below ? 0 : given + 1;
    command = below ?? command;
  }
  if (waiting) {
    const choices = (waiting.argChoices ?? []).map((word) => ({ word, about: "" }));
    return {
      offered: fitting(choices, typed),
      rest: /file|folder/.test(waiting.flags) ? "files" : "nothing",
      options,
    };
  }
  if (typed.startsWith("-")) {
    const known = lineage(command).flatMap((each) => each.options.filter(({ hidden }) => !hidden));
    const offered = known.map((option) => ({
      word: option.long ?? option.flags,
      about: option.description,
    }));
    return { offered: fitting(offered, typed), rest: "nothing", options };
  }
  const kinds: Record<string, Rest> = { file: "files", agent: options.account ? "nothing" : "agents" };
  const rest = kinds[command.registeredArguments[given]?.name() ?? ""] ?? "nothing";
  const commands = command.commands.map((each) => ({ word: each.name(), about: each.description() }));
  const shells =
    command.name() === "completion" ? ["bash", "zsh", "fish"].map((word) => ({ word, about: "" })) : [];
  return { offered: fitting([...commands, ...shells], typed), rest, options };
}

const fitting = (offered: Candidate[], typed: string) => offered.filter(({ word }) => word.startsWith(typed));

function lineage(command: Command): Command[] {
  return command.parent ? [command, ...lineage(command.parent)] : [command];
}

function optionOf(command: Command, word: string): Option | undefined {
  const flag = word.split("=", 1)[0];
  return lineage(command)
    .flatMap((each) => each.options)
    .find(({ long, short }) => long === flag || short === flag);
}
