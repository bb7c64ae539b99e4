// Computes the fingerprint of what a replica is started with.

import { createHash } from "node:crypto";
import type { AgentSpec } from "../contract.ts";

/**
 * The fingerprint of what a replica is started with. The number of replicas, the scaling policy and the revision's
 * number are left out: a change of these alone replaces no replica.
 * @param restarts counts the restarts asked for: each makes another template of the same spec
 */
export function templateOf(spec: AgentSpec, restarts: number): string {
  const { resolvedPlugins, scalingPolicy: _, ...runs } = spec;
  const packages = resolvedPlugins == null ? {} : { tree: resolvedPlugins.tree };
  return createHash("sha256")
    .update(canonical({ ...runs, ...packages, restarts }))
    .digest("hex")
    .slice(0, 16);
}

/** JSON with sorted keys: equal values give equal texts, whatever order the database wrote them in. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`).join(",")}}`;
}
