// The chart of the controller, rendered by Helm.
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { parseAllDocuments } from "yaml";

export const CHART = resolve(import.meta.dirname, "../../deploy/chart");

/** The least that an operator must say. */
export const LEAST = {
  "supabase.url": "https://project.example.com",
  "supabase.publishableKey": "sb_publishable_for-tests",
  secretName: "launchpad",
  "agents.domain": "example.com",
};

export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: manifests are judged field by field.
  [field: string]: any;
}

/** Runs Helm and gives what it said. */
export function runHelm(helm: string, args: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(helm, args, { encoding: "utf8" });
  return { status, out: stdout, err: stderr };
}

/** Values as `--set` arguments. */
export function settings(values: Record<string, string | number | boolean>): string[] {
  return Object.entries(values).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
}

/**
 * The objects of the chart.
 * @throws {Error} with Helm's words when the values do not fit
 */
export function renderChart(
  helm: string,
  values: Record<string, string | number | boolean> = {},
  release = { name: "launchpad", namespace: "launchpad-system" },
): Manifest[] {
  const given = settings({ ...LEAST, ...values });
  const { status, out, err } = runHelm(helm, [
    "template",
    release.name,
    CHART,
    "--namespace",
    release.namespace,
    ...given,
  ]);
  if (status !== 0) throw new Error(err);
  const manifests = parseAllDocuments(out).map((document) => document.toJS() as Manifest | null);
  return manifests.filter((manifest) => manifest !== null);
}
