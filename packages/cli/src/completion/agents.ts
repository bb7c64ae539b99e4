// Offers agents' ids and names for shell completion.

import { findHere } from "../config/here.ts";
import { configFolder } from "../config/paths.ts";
import { Store } from "../config/store.ts";
import type { GlobalOptions } from "../context.ts";
import { oneLine } from "../output/text.ts";
import { presentSession } from "../session.ts";
import type { Candidate } from "./candidates.ts";

/** A person waits for the key to answer. */
const PATIENCE_MS = 1000;
const MOST = 100;

interface Agent {
  id: string;
  name: string;
  status: string;
}

/**
 * The signed-in user's own agents whose id or name begins as typed. One request at most, within a second; whatever fails
 * offers nothing and says nothing. A login that has run out is left as it is: to renew it takes longer than a key may.
 * @param typed the beginning
 * @param options those of the command line so far
 */
export async function agentCandidates(
  typed: string,
  options: GlobalOptions,
  env: NodeJS.ProcessEnv,
): Promise<Candidate[]> {
  try {
    return offeredOf(await agentsOf(typed, options, env), typed);
  } catch {
    return [];
  }
}

/**
 * What is offered of agents: ids, each with its agent's name; once something is typed also names, where they are unique and
 * need no quotes in a shell. Pure.
 */
export function offeredOf(agents: readonly Agent[], typed: string): Candidate[] {
  const ids = agents.map(({ id, name, status }) => ({ word: id, about: oneLine(`${name} (${status})`) }));
  const names = typed === "" ? [] : agents.filter(({ name }) => /^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u.test(name));
  return [
    ...ids,
    ...names
      .filter(({ name }) => agents.filter((other) => other.name === name).length === 1)
      .map(({ id, name, status }) => ({ word: name, about: `${id} (${status})` })),
  ].filter(({ word }) => word.startsWith(typed));
}

async function agentsOf(typed: string, options: GlobalOptions, env: NodeJS.ProcessEnv): Promise<Agent[]> {
  const store = new Store(configFolder(env));
  const { profile, project } = await findHere({ flags: options, env, store, from: process.cwd() });
  const session = await presentSession({ project, store, profile, token: env.LAUNCHPAD_TOKEN || undefined });
  if (session === undefined) return [];
  const url = new URL(`${project.url}/rest/v1/agents`);
  url.search = new URLSearchParams({
    select: "id,name,status",
    user_id: `eq.${session.user.id}`,
    deleted_at: "is.null",
    order: "created_at.desc",
    limit: String(MOST),
    // What else may be in a name is compared here.
    ...(/^[\w-]+$/.test(typed) ? { or: `(id.like.${typed}*,name.like.${typed}*)` } : {}),
  }).toString();
  const answer = await fetch(url, {
    headers: { apikey: project.key, authorization: `Bearer ${session.access_token}` },
    redirect: "error",
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  return answer.ok ? ((await answer.json()) as Agent[]) : [];
}
