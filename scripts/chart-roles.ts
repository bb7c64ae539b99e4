// Writes the rules of the chart's roles from the controller's table of permissions; `--check` only compares.
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import {
  CLUSTER_PERMISSIONS,
  OWN_PERMISSIONS,
  type Permission,
  TENANT_PERMISSIONS,
} from "../packages/controller/src/cluster/kubernetes/permissions.ts";

const folder = resolve(import.meta.dirname, "../deploy/chart/files");

const files = {
  "cluster-rules.yaml": rules(CLUSTER_PERMISSIONS),
  "tenant-rules.yaml": rules(TENANT_PERMISSIONS),
  "own-rules.yaml": rules(OWN_PERMISSIONS),
};

function rules(permissions: readonly Permission[]): string {
  const list = (values: readonly string[]) => `[${values.map((value) => JSON.stringify(value)).join(", ")}]`;
  const lines = permissions.flatMap(({ expose, group, resource, verbs, names }) => [
    `- apiGroups: ${list([group])}`,
    `  resources: ${list([resource])}`,
    `  verbs: ${list(verbs)}`,
    ...(names === undefined ? [] : [`  resourceNames: ${list(names)}`]),
    ...(expose === undefined ? [] : [`  expose: ${expose}`]),
  ]);
  return `# Written by scripts/chart-roles.ts from permissions.ts of the controller.\n${lines.join("\n")}\n`;
}

for (const [name, text] of Object.entries(files)) {
  const file = resolve(folder, name);
  if (!process.argv.includes("--check")) writeFileSync(file, text);
  else if (readFileSync(file, "utf8") !== text) {
    process.stderr.write(`deploy/chart/files/${name} is not current: node scripts/chart-roles.ts\n`);
    process.exit(1);
  }
}
