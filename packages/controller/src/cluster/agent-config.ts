import type { Workload } from "./cluster.ts";

/** What a replica is told of its agent, in its configuration file. No secret is in it. */
export function agentConfig({
  agentId,
  revision,
  spec,
}: Omit<Workload, "environment">): Record<string, unknown> {
  const { name, character, plugins, platforms, framework, model, systemPrompt, settings, resources } = spec;
  const { memory, cpu } = resources;
  return {
    agentId,
    name,
    character,
    plugins,
    platforms,
    framework,
    model,
    systemPrompt,
    settings,
    resources: { memory, cpu },
    revision,
  };
}
