// The command `launchpad whoami`.

import type { Context } from "../context.ts";
import { span } from "../output/figures.ts";
import { facts } from "../output/table.ts";
import { oneLine } from "../output/text.ts";

/** `launchpad whoami` */
export async function run(context: Context): Promise<void> {
  const project = await context.project();
  const { client, expiresAt } = await context.session();
  const { user, profile } = await client.users.getProfile({ signal: context.signal });
  const login = context.env.LAUNCHPAD_TOKEN ? "LAUNCHPAD_TOKEN" : `profile ${context.profile}`;
  const told = {
    user: { id: user.id, email: user.email },
    permissions: user.user_metadata.permissions,
    agents: profile.agent_count,
    project: { url: project.url, apiUrl: project.apiUrl, source: project.source },
    login: { source: login, expiresAt: new Date(expiresAt).toISOString() },
  };
  context.out.result(told, ({ paint }) =>
    facts(
      [
        ["User", `${paint("bold", oneLine(user.email ?? "without an address"))} (${user.id})`],
        ["Project", `${project.url} (from the ${project.source})`],
        ["May", told.permissions.join(", ") || "nothing"],
        ["Agents", String(profile.agent_count)],
        ["Login", `${login}; its token lives for ${span(expiresAt - Date.now())}`],
      ],
      paint,
    ),
  );
}
