// Builds the configuration file that a replica reads about its agent.

import { parsePlugin } from "@agent-launchpad/agent-runtime";
import type { Workload } from "./cluster.ts";

/** What a replica is told of its agent, in its configuration file. No secret is in it. */
export function agentConfig({
  agentId,
  revision,
  spec,
}: Omit<Workload, "environment">): Record<string, unknown> {
  const { name, character, plugins, platforms, framework, model, systemPrompt, settings, resources } = spec;
  const { memory, cpu } = resources;
  const project = spec.supabaseConfig?.project_ref;
  // What was resolved, not what a range may mean meanwhile.
  const exact = new Map(spec.resolvedPlugins?.plugins.map((plugin) => [plugin.name, plugin.version]));
  const named = (plugins ?? []).map((text) => {
    const { name } = parsePlugin(text);
    const version = exact.get(name);
    return version === undefined ? text : `${name}@${version}`;
  });
  return {
    agentId,
    name,
    character,
    plugins: plugins == null ? plugins : named,
    platforms,
    framework,
    model,
    systemPrompt,
    ...(project && { supabaseProject: project }),
    settings,
    resources: { memory, cpu },
    revision,
  };
}
