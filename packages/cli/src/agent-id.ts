// Finds the agent a person means by id or name.

import type { Context } from "./context.ts";
import { CliError } from "./errors.ts";

/** The forms in which the project makes ids; anything else is taken for a name. */
const ID = /^(agent-[a-z0-9]{12}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/**
 * The id of the agent that a person means: an id as it is, a name looked up among the caller's agents.
 * @throws CliError when no agent has the name, or several have
 */
export async function agentIdOf(context: Context, text: string | undefined): Promise<string> {
  if (!text) throw new CliError("usage", "Name an agent, by its id or its name.", { code: "NO_AGENT" });
  if (ID.test(text)) return text;
  const ids = await agentsCalled(context, text);
  if (ids.length === 1 && ids[0] !== undefined) return ids[0];
  if (ids.length > 1)
    throw new CliError(
      "usage",
      `${ids.length === 10 ? "Ten or more" : ids.length} agents are called ${JSON.stringify(text)}; name one by its id: ${ids.join(", ")}.`,
      { code: "AMBIGUOUS_NAME" },
    );
  throw new CliError(
    "notFound",
    `No agent of yours is called ${JSON.stringify(text)}; \`launchpad list\` shows them all.`,
    {
      code: "AGENT_NOT_FOUND",
    },
  );
}

/**
 * The ids of the caller's agents with exactly this name, newest first; at most ten.
 * @throws the error of PostgREST, with its status
 */
export async function agentsCalled(context: Context, name: string): Promise<string[]> {
  const { supabase } = await context.session();
  const { data, error, status } = await supabase
    .from("agents")
    .select("id")
    .eq("name", name)
    .is("deleted_at", null)
    .order("created_at", { ascending: false })
    .limit(10)
    .abortSignal(context.signal);
  if (error) throw Object.assign(error, { status });
  return data.map(({ id }) => String(id));
}
