// node install.mjs <folder>: installs what one program needs at run time, and leaves out what only a person reads.
// The folder is a workspace, or has a lock file of its own. It works on the image's copy of the repository.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const own = existsSync(join(folder, "package-lock.json"));
if (!own) keepOwnWorkspaces();

// No scripts: nothing of what runs here needs one, and they are code of strangers.
const args = [
  "ci",
  "--omit=dev",
  // An image has what esbuild makes; elizaOS's optional packages are of no use to an agent.
  "--omit=optional",
  "--ignore-scripts",
  "--no-audit",
  "--no-fund",
  "--no-update-notifier",
  "--loglevel=error",
];
const where = own ? [] : ["--workspace", folder];
const { status, error } = spawnSync("npm", [...args, ...where], {
  cwd: own ? folder : ".",
  stdio: "inherit",
});
if (error !== undefined) throw error;
if (status !== 0) process.exit(status ?? 1);

// Node runs no TypeScript below node_modules; licences stay.
const unread = /\.(map|[cm]?ts|tsx|mdx?|markdown)$/i;
const licence = /licen[cs]e|notice|copying/i;
let saved = 0;
const modules = join(own ? folder : ".", "node_modules");
for (const entry of readdirSync(modules, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !unread.test(entry.name) || licence.test(entry.name)) continue;
  const file = join(entry.parentPath, entry.name);
  saved += statSync(file).size;
  rmSync(file);
}
process.stdout.write(`Left out ${(saved / 1e6).toFixed(1)} MB of types, source maps and documents.\n`);

/** Only some of the workspaces are here; npm wants those that the manifest names, and those alone. */
function keepOwnWorkspaces() {
  const { devDependencies: _, workspaces, ...manifest } = JSON.parse(readFileSync("package.json", "utf8"));
  const here = workspaces.filter((workspace) => existsSync(join(workspace, "package.json")));
  writeFileSync("package.json", JSON.stringify({ ...manifest, workspaces: here }));
}
