// Lists the packages that the agent runtime ships with, from its lock files.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { runtimeProgram } from "@agent-launchpad/agent-runtime";
import { z } from "zod";

/** One package at an exact version, of what every agent runs on (model) or those on elizaOS do. */
export interface RuntimePackage {
  set: "model" | "eliza";
  package: string;
  version: string;
  install_script: boolean;
}

const names = z.record(z.string(), z.string());
const lockFile = z.object({
  packages: z.record(
    z.string(),
    z.object({
      version: z.string().optional(),
      link: z.boolean().optional(),
      dev: z.boolean().optional(),
      hasInstallScript: z.boolean().optional(),
      dependencies: names.optional(),
      optionalDependencies: names.optional(),
      peerDependencies: names.optional(),
    }),
  ),
});
type Packages = z.infer<typeof lockFile>["packages"];

/**
 * The packages the agent runtime ships with, from its lock files (npm's format 3). Sets whose lock file is not there are left
 * out: a container may carry the programs alone.
 */
export function runtimePackages(): RuntimePackage[] {
  const runtime = join(dirname(runtimeProgram), "..");
  const root = readLock(join(runtime, "../../package-lock.json"));
  const eliza = readLock(join(runtime, "eliza/package-lock.json"));
  return [
    ...(root === undefined ? [] : closure(root, "packages/agent-runtime", "model")),
    ...(eliza === undefined ? [] : closure(eliza, "", "eliza")),
  ];
}

function readLock(file: string): Packages | undefined {
  try {
    return lockFile.parse(JSON.parse(readFileSync(file, "utf8"))).packages;
  } catch {
    return undefined;
  }
}

/** Everything that the package at `from` needs at run time, found as Node finds it: nearest node_modules first. */
export function closure(packages: Packages, from: string, set: RuntimePackage["set"]): RuntimePackage[] {
  const found = new Map<string, RuntimePackage>();
  const waiting = [from];
  const seen = new Set(waiting);
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const entry = packages[path];
    if (entry === undefined) continue;
    const name = /.*node_modules\/(.+)$/.exec(path)?.[1];
    if (name !== undefined && entry.version !== undefined) {
      const { version, hasInstallScript = false } = entry;
      found.set(`${name}@${version}`, { set, package: name, version, install_script: hasInstallScript });
    }
    const needs = { ...entry.peerDependencies, ...entry.optionalDependencies, ...entry.dependencies };
    for (const need of Object.keys(needs)) {
      const at = locate(packages, path, need);
      if (at === undefined || seen.has(at) || packages[at]?.link === true) continue;
      seen.add(at);
      waiting.push(at);
    }
  }
  return [...found.values()].sort((a, b) =>
    `${a.package}@${a.version}` < `${b.package}@${b.version}` ? -1 : 1,
  );
}

function locate(packages: Packages, from: string, name: string): string | undefined {
  for (let folder = from; ; folder = parent(folder)) {
    const candidate = folder === "" ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
    if (candidate in packages) return candidate;
    if (folder === "") return undefined;
  }
}

/** The package around a package: `a/node_modules/b` → `a`; a workspace or a top-level package → the root. */
function parent(folder: string): string {
  const at = folder.lastIndexOf("/node_modules/");
  return at === -1 ? "" : folder.slice(0, at);
}
