// Brings node_modules in line with package-lock.json; does nothing when they already agree.
// Runs on the machine's own Node (20 or newer), before the project's Node 24 exists: plain JavaScript, no dependency.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const eliza = process.argv.includes("--eliza");
const folder = eliza ? join(root, "packages/agent-runtime/eliza") : root;
const extra = eliza ? ["--ignore-scripts", "--omit=optional"] : [];

const lock = readFileSync(join(folder, "package-lock.json"));
const wanted = createHash("sha256").update(lock).update(process.platform).update(process.arch).digest("hex");
const stamp = join(folder, "node_modules/.launchpad-installed");

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
  process.stderr.write(`Installing ${eliza ? "the elizaOS engine" : "dependencies"} (once) …\n`);
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const args = ["ci", "--no-audit", "--no-fund", "--loglevel=error", ...extra];
  const { status } = spawnSync(npm, args, { cwd: folder, stdio: ["ignore", 2, 2] });
  if (status !== 0) {
    process.stderr.write(`npm ci failed in ${folder}; its message is above.\n`);
    process.exit(status ?? 1);
  }
  writeFileSync(stamp, wanted);
}
