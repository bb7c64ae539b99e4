import type { Command, Option } from "commander";

/** What may stand at a place of the command line. */
export interface Candidate {
  word: string;
  about: string;
}

/** What the shell completes by itself there. */
export type Rest = "files" | "nothing";

/**
 * What can follow the words so far. Pure: reads the program's own declarations.
 * @param program the whole command line
 * @param words what was typed after `launchpad`; the last one is being typed, perhaps empty
 */
export function candidates(program: Command, words: readonly string[]): { offered: Candidate[]; rest: Rest } {
  const typed = words.at(-1) ?? "";
  let command = program;
  let waiting: Option | undefined;
  for (const word of words.slice(0, -1)) {
    if (waiting) {
      waiting = undefined;
      continue;
    }
    if (word.startsWith("-")) {
      const option = optionOf(command, word);
      waiting = option && (option.required || option.optional) && !word.includes("=") ? option : undefined;
      continue;
    }
    command =
      command.commands.find((each) => each.name() === word || each.aliases().includes(word)) ?? command;
  }
  if (waiting) {
    const choices = (waiting.argChoices ?? []).map((word) => ({ word, about: "" }));
    return {
      offered: fitting(choices, typed),
      rest: /file|folder/.test(waiting.flags) ? "files" : "nothing",
    };
  }
  if (typed.startsWith("-")) {
    const options = lineage(command).flatMap((each) => each.options.filter(({ hidden }) => !hidden));
    const offered = options.map((option) => ({
      word: option.long ?? option.flags,
      about: option.description,
    }));
    return { offered: fitting(offered, typed), rest: "nothing" };
  }
  const file = command.registeredArguments.some((argument) => argument.name() === "file");
  const commands = command.commands.map((each) => ({ word: each.name(), about: each.description() }));
  const shells =
    command.name() === "completion" ? ["bash", "zsh", "fish"].map((word) => ({ word, about: "" })) : [];
  return { offered: fitting([...commands, ...shells], typed), rest: file ? "files" : "nothing" };
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
