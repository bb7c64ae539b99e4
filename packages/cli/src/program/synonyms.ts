// What other command lines call our commands, for the suggestion behind "unknown command".
import type { Command } from "commander";

/** Words for the same thing. */
const SYNONYMS: readonly (readonly string[])[] = [
  ["status", "get", "show", "describe", "info", "inspect"],
  ["list", "ls", "ps"],
  ["create", "new", "add", "deploy", "launch", "run", "up", "set"],
  ["delete", "remove", "rm", "destroy", "unset", "revoke", "down"],
  ["update", "edit", "patch", "change", "set"],
  ["logs", "log", "tail"],
  ["login", "signin", "auth"],
  ["logout", "signout"],
  ["chat", "ask", "talk", "send", "message"],
  ["usage", "costs", "billing"],
  ["metrics", "top", "stats"],
  ["revisions", "releases", "history"],
];

/**
 * Finds the command that a word of another command line stands for. Pure.
 * @param parent the command whose subcommand was not found
 * @param word what was typed
 * @returns the name of a subcommand, or undefined
 */
export function synonymOf(parent: Command, word: string): string | undefined {
  const words = new Set(SYNONYMS.filter((same) => same.includes(word)).flat());
  return parent.commands.map((command) => command.name()).find((name) => words.has(name));
}
