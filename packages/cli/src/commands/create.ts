// The command `launchpad create`.

import type { LaunchAgentRequest } from "@agent-launchpad/sdk";
import type { Context } from "../context.ts";
import type { Outcome } from "../exit-codes.ts";
import { explain } from "../explain.ts";
import { readDefinition, withLocations } from "../input/definition.ts";
import { readEnvFile } from "../input/env-file.ts";
import { tone } from "../output/style.ts";
import { facts } from "../output/table.ts";
import { SETTLED, settle, type WaitOptions } from "../wait-for-agent.ts";
import { statusText } from "./status.ts";

interface Options extends WaitOptions {
  file: string;
  name?: string;
  envFile?: string;
}

/** `launchpad create` */
export async function run(context: Context, _args: readonly string[], options: Options): Promise<Outcome> {
  const definition = await readDefinition(options.file);
  const secrets = options.envFile === undefined ? {} : await readEnvFile(options.envFile);
  const body = merged(definition.value, options.name, secrets);
  const { client } = await context.session();
  const launched = await client.agents
    .create(body as unknown as LaunchAgentRequest, { signal: context.signal })
    .catch((error: unknown) => {
      throw withLocations(explain(error, context.place), definition);
    });
  const { agentId } = launched;
  for (const { field, message } of launched.warnings ?? []) {
    const place = definition.locate(field);
    context.out.note(`Warning: ${place === undefined ? "" : `${place}: `}${field}: ${message}.`);
  }
  if (!options.wait) {
    context.out.result(launched, ({ paint }) =>
      facts(
        [
          ["Agent", agentId],
          ["Status", tone(paint, launched.status)],
          ["Ready", `in ${launched.estimatedDeployTime}`],
        ],
        paint,
      ),
    );
    context.out.note(
      `\`launchpad status ${agentId} --watch\` follows it, \`launchpad chat ${agentId}\` talks to it.`,
    );
    return "ok";
  }
  context.out.note(`Deploying ${agentId}.`);
  const { outcome, report } = await settle(context, agentId, SETTLED, options, 0);
  context.out.result(report, (look) => statusText(report, look, Date.now()));
  return outcome;
}

/** The definition with what the command line adds. Pure. */
export function merged(
  value: Record<string, unknown>,
  name: string | undefined,
  secrets: Record<string, string>,
): Record<string, unknown> {
  const { environment } = value;
  const isObject = typeof environment === "object" && environment !== null && !Array.isArray(environment);
  return {
    ...value,
    ...(name === undefined ? {} : { agentName: name }),
    // An environment of the wrong kind is left for the API to name.
    ...(Object.keys(secrets).length > 0 && (isObject || environment === undefined || environment === null)
      ? { environment: { ...environment, ...secrets } }
      : {}),
  };
}
