// `launchpad keys create`
import type { CreateAgentKeyRequest } from "@agent-launchpad/sdk";
import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { facts } from "../output/table.ts";

interface Options {
  scope?: string[];
  origin?: string[];
  expires?: string;
}

/** `launchpad keys create` */
export async function run(
  context: Context,
  [agent, name = ""]: readonly string[],
  options: Options,
): Promise<void> {
  const agentId = await agentIdOf(context, agent);
  const { client } = await context.session();
  const request: CreateAgentKeyRequest = {
    name,
    ...(options.scope === undefined ? {} : { scopes: options.scope as ("invoke" | "read")[] }),
    ...(options.origin === undefined ? {} : { origins: options.origin }),
    ...(options.expires === undefined ? {} : { expiresAt: expiry(options.expires, Date.now()) }),
  };
  const created = await client.agents.keys.create(agentId, request, { signal: context.signal });
  context.out.result(created, ({ paint }) =>
    facts(
      [
        ["Key", created.key],
        ["Id", created.id],
        ["Scopes", created.scopes.join(", ")],
        ["Origins", created.origins.join(", ") || "none (programs only)"],
        ["Expires", created.expiresAt ?? "never"],
      ],
      paint,
    ),
  );
  context.out.warn("Store the key now: it is not shown again.");
}

const UNITS: Record<string, number> = { h: 3_600_000, d: 86_400_000 };

/**
 * When a key ends. Pure.
 * @param text `12h`, `90d`, a day or a time
 * @throws CliError for anything else
 */
export function expiry(text: string, now: number): string {
  const [, count, unit = ""] = /^([1-9]\d{0,4})([hd])$/.exec(text) ?? [];
  const at = count === undefined ? Date.parse(text) : now + Number(count) * (UNITS[unit] ?? 0);
  if (Number.isNaN(at)) {
    const message = `--expires must be like 12h, 90d or 2027-01-31, got "${text.slice(0, 50)}".`;
    throw new CliError("usage", message, { code: "USAGE" });
  }
  return new Date(at).toISOString();
}
