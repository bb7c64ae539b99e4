// `npm run check`: format, lint, types, generated files, unit tests; stops at the first that fails.
// With --no-tests: without the unit tests, where `npm test` follows anyway.
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const bin = (name: string) => resolve(root, "node_modules/.bin", name);

const steps: [name: string, command: string, args: string[]][] = [
  ["format and lint", bin("biome"), ["ci", "--error-on-warnings", "."]],
  ["types", bin("tsc"), ["-p", "."]],
  ["docs/openapi.json is current", process.execPath, ["scripts/openapi.ts", "--check"]],
  ["docs/errors.md is current", process.execPath, ["scripts/errors.ts", "--check"]],
  ["the SDK's types are current", process.execPath, ["scripts/sdk-types.ts", "--check"]],
  ["the chart's roles are current", process.execPath, ["scripts/chart-roles.ts", "--check"]],
  ["the chart's dashboard is current", process.execPath, ["scripts/dashboard.ts", "--check"]],
  ["the chart's values are described", process.execPath, ["scripts/chart-values.ts", "--check"]],
  ["the runtime's packages are listed", process.execPath, ["scripts/runtime-packages.ts", "--check"]],
  ["lines of SQL are at most 120 long", process.execPath, ["scripts/sql.ts"]],
  ["the migration follows from supabase/schemas", process.execPath, ["scripts/migration.ts", "--check"]],
  ["docs/adr/README.md is current", process.execPath, ["scripts/adr-index.ts", "--check"]],
];
if (!process.argv.includes("--no-tests")) {
  steps.push(["unit tests", bin("vitest"), ["run", "--project=unit"]]);
}

for (const [name, command, args] of steps) {
  process.stdout.write(`── ${name}\n`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) {
    process.stderr.write(`check failed: ${name}\n`);
    process.exit(status ?? 1);
  }
}
process.stdout.write("check passed\n");
