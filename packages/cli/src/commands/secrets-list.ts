import type { Context } from "../context.ts";
import { ago } from "../output/figures.ts";
import type { Look } from "../output/output.ts";
import { table } from "../output/table.ts";
import { ownerOf, type SecretOptions } from "./secrets.ts";

interface Secret {
  name: string;
  version: number;
  created_at: string;
  updated_at: string;
}

/** `launchpad secrets list` */
export async function run(context: Context, args: readonly string[], options: SecretOptions): Promise<void> {
  const { agentId } = await ownerOf(context, args, options);
  const { client, supabase } = await context.session();
  if (agentId !== undefined) await client.agents.get(agentId, { signal: context.signal }); // says where there is no such agent
  const columns = "name, version, created_at, updated_at";
  const query =
    agentId === undefined
      ? supabase.from("user_secrets").select(columns)
      : supabase.from("agent_secrets").select(columns).eq("agent_id", agentId);
  const { data, error, status } = await query.order("name").abortSignal(context.signal);
  if (error) throw Object.assign(error, { status });
  const secrets: Secret[] = data;
  context.out.result({ agentId: agentId ?? null, secrets }, (look) => secretTable(secrets, look, Date.now()));
  if (secrets.length === 0) context.out.note("No secrets.");
}

/** The table of secrets' names. Pure. */
export function secretTable(secrets: readonly Secret[], look: Look, now: number): string {
  if (secrets.length === 0) return "";
  return table(
    secrets,
    [
      { title: "NAME", value: ({ name }) => name },
      { title: "VERSION", value: ({ version }) => String(version), align: "right" },
      { title: "UPDATED", value: ({ updated_at }) => ago(updated_at, now) },
    ],
    look,
  );
}
