// Finds lines of SQL above 120 characters; with --fix it breaks them where it can, without changing what they say.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { WIDTH, wrap } from "./sql/wrap.ts";

const root = resolve(import.meta.dirname, "..");
// Migrations follow from supabase/schemas; copies of extensions are kept as their makers wrote them.
const WRITTEN = [
  "supabase/schemas/*.sql",
  "supabase/seed.sql",
  "packages/local-supabase/src/postgres/bootstrap/*.sql",
];
// New files too, before they are committed.
const list = ["ls-files", "--cached", "--others", "--exclude-standard", "--", ...WRITTEN];
const { stdout } = spawnSync("git", list, { cwd: root, encoding: "utf8" });

let long = 0;
for (const file of stdout.split("\n").filter(Boolean)) {
  const text = readFileSync(join(root, file), "utf8");
  const now = process.argv.includes("--fix") ? wrap(text) : text;
  if (now !== text) writeFileSync(join(root, file), now);
  for (const [at, line] of now.split("\n").entries()) {
    if (line.length <= WIDTH) continue;
    long += 1;
    process.stderr.write(
      `${file}:${at + 1} has ${line.length} characters; at most ${WIDTH} are read well.\n`,
    );
  }
}
if (long > 0) {
  process.stderr.write("`node scripts/sql.ts --fix` breaks lines; then run `npm run migration`.\n");
  process.exitCode = 1;
}
