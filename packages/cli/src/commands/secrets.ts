// What the commands about secrets share: whose secrets, and their values.

import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { ask, canAsk } from "../input/prompt.ts";
import { readStdin } from "../input/stdin.ts";

export interface SecretOptions {
  account?: boolean;
}

/** Whose secrets are meant, and the arguments that are left. */
export async function ownerOf(
  context: Context,
  args: readonly string[],
  { account }: SecretOptions,
): Promise<{ agentId: string | undefined; rest: readonly string[] }> {
  if (account) return { agentId: undefined, rest: args };
  const [agent, ...rest] = args;
  if (!agent || agent.includes("="))
    throw new CliError("usage", "Name an agent first, or give --account for secrets of your account.", {
      code: "NO_AGENT",
    });
  return { agentId: await agentIdOf(context, agent), rest };
}

/**
 * Values of secrets: `NAME=value` as it is; a bare name is asked for, or is stdin's whole text.
 * @throws CliError where a value cannot be had
 */
export async function valuesOf(context: Context, words: readonly string[]): Promise<Record<string, string>> {
  const values: Record<string, string> = {};
  const bare = words.filter((word) => !word.includes("="));
  if (bare.length > 1 && !canAsk())
    throw new CliError(
      "usage",
      "Only one value can come from stdin; give the others as NAME=value or with --env-file.",
      { code: "USAGE" },
    );
  for (const word of words) {
    const end = word.indexOf("=");
    if (end >= 0) values[word.slice(0, end)] = word.slice(end + 1);
    else if (canAsk())
      values[word] = await ask(`${word}: `, { signal: context.signal, hidden: true, instead: "use stdin" });
    else values[word] = await readStdin();
  }
  return values;
}
