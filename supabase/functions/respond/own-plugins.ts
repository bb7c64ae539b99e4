// The tools of plugins that the runtime brings, for answers of agents that are not deployed.
import type { Warning } from "../../../packages/agent-runtime/src/engines/model/facts.ts";
import type { OwnTool } from "../../../packages/agent-runtime/src/plugins/own.ts";
import type { Task } from "./task.ts";

/** What the agent's plugins offer, and which of them offer nothing for want of a setting. Loads them where one is named. */
export async function toolsOfOwnPlugins({
  ownPlugins,
}: Pick<Task, "ownPlugins">): Promise<{ tools: OwnTool[]; warnings: Warning[] }> {
  if (!ownPlugins) return { tools: [], warnings: [] };
  const { openOwnPlugin } = await import("../../../packages/agent-runtime/src/plugins/own.ts");
  const { environment, names, project } = ownPlugins;
  // Short values would blot out ordinary words.
  const secrets = Object.values(environment)
    .filter(({ length }) => length >= 8)
    .sort((a, b) => b.length - a.length);
  const opened = names.map((name) => ({
    name,
    plugin: openOwnPlugin(name, {
      environment,
      supabaseProject: project ?? undefined,
      secrets,
    }),
  }));
  return {
    tools: opened.flatMap(({ plugin }) => plugin?.tools ?? []),
    warnings: opened.flatMap(({ name, plugin }) =>
      plugin?.problem === undefined ? [] : [{ field: "plugins", message: `${name}: ${plugin.problem}` }],
    ),
  };
}
