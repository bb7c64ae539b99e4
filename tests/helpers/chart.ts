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
export function runHelm(
  helm: string,
  args: string[],
  more: { input?: string; env?: NodeJS.ProcessEnv } = {},
): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(helm, args, { encoding: "utf8", ...more });
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
  return objectsOf(helm, release, settings({ ...LEAST, ...values }));
}

/**
 * The same with values as they stand in a file, over the least ones.
 * @param files further files of values
 */
export function renderValues(
  helm: string,
  values: object,
  files: readonly string[] = [],
  release = { name: "launchpad", namespace: "launchpad-system" },
): Manifest[] {
  const given = ["-f", "-", ...files.flatMap((file) => ["-f", file])];
  return objectsOf(helm, release, [...settings(LEAST), ...given], JSON.stringify(values));
}

function objectsOf(
  helm: string,
  release: { name: string; namespace: string },
  given: string[],
  input?: string,
): Manifest[] {
  // Without a cluster, a Helm that was built from its sources thinks of a much older one.
  const cluster = ["--kube-version", "1.36.0", "--namespace", release.namespace];
  const args = ["template", release.name, CHART, ...cluster, ...given];
  const { status, out, err } = runHelm(helm, args, input === undefined ? {} : { input });
  if (status !== 0) throw new Error(err);
  const manifests = parseAllDocuments(out).map((document) => document.toJS() as Manifest | null);
  return manifests.filter((manifest) => manifest !== null);
}
