// The command `launchpad secrets set`.

import type { UpdateAgentRequest } from "@agent-launchpad/sdk";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { readEnvFile } from "../input/env-file.ts";
import { ownerOf, type SecretOptions, valuesOf } from "./secrets.ts";

const assigned = (words: readonly string[]): string[] =>
  words.flatMap((word) => (word.includes("=") ? [word.slice(0, word.indexOf("="))] : []));

/** `launchpad secrets set` */
export async function run(
  context: Context,
  args: readonly string[],
  options: SecretOptions & { envFile?: string },
): Promise<void> {
  const { agentId, rest } = await ownerOf(context, args, options);
  const fromFile = options.envFile === undefined ? {} : await readEnvFile(options.envFile);
  const values = { ...fromFile, ...(await valuesOf(context, rest)) };
  const names = Object.keys(values);
  if (names.length === 0)
    throw new CliError("usage", "Name what to set: NAME=value, NAME, or --env-file.", { code: "USAGE" });
  // An agent's environment may hold an empty value that was written as one. What is asked for is a secret, and so is a user's.
  const written = agentId === undefined ? [] : [...Object.keys(fromFile), ...assigned(rest)];
  const empty = names.find((name) => values[name] === "" && !written.includes(name));
  if (empty !== undefined)
    throw new CliError("invalid", `${empty} has no value; \`launchpad secrets unset\` removes a secret.`, {
      code: "EMPTY_VALUE",
    });
  const { client } = await context.session();
  const { signal } = context;
  if (agentId === undefined) {
    for (const [name, value] of Object.entries(values)) await client.users.setSecret(name, value, { signal });
  } else await client.agents.update(agentId, { environment: values } as UpdateAgentRequest, { signal });
  context.out.result({ agentId: agentId ?? null, set: names }, () => `Set ${names.join(", ")}.\n`);
}
