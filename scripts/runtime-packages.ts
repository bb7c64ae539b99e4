// Writes supabase/functions/upkeep/runtime-packages.ts: what the agent runtime ships with, from its lock files.
//   node scripts/runtime-packages.ts          after a change of a lock file
//   --check                                   fails where the file is out of date
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { closure, lockFile } from "./runtime-packages/closure.ts";

const root = resolve(import.meta.dirname, "..");
const file = join(root, "supabase/functions/upkeep/runtime-packages.ts");

function linesOf(lock: string, from: string): string {
  const { packages } = lockFile.parse(JSON.parse(readFileSync(join(root, lock), "utf8")));
  return closure(packages, from)
    .map(({ package: name, version, installScript }) => `${name}@${version}${installScript ? " script" : ""}`)
    .join("\n");
}

const text = `// What the agent runtime of this release ships with; scripts/runtime-packages.ts writes it from the lock files.

/** \`name@version\` a line, \`script\` behind it where the package has an install script. */
export const SHIPPED = {
  /** What every agent runs on. */
  model: \`
${linesOf("package-lock.json", "packages/agent-runtime")}
\`,
  /** What agents with plugins of elizaOS run on. */
  eliza: \`
${linesOf("packages/agent-runtime/eliza/package-lock.json", "")}
\`,
};
`;

if (!process.argv.includes("--check")) {
  writeFileSync(file, text);
} else if (readFileSync(file, "utf8") !== text) {
  process.stderr.write(`${file} is out of date: run node scripts/runtime-packages.ts\n`);
  process.exit(1);
}
