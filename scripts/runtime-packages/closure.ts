// Lists the packages that the agent runtime ships with, from lock files (npm's format 3).

import { z } from "zod";

/** One package at an exact version. */
export interface ShippedPackage {
  package: string;
  version: string;
  installScript: boolean;
}

const names = z.record(z.string(), z.string());

/** A lock file, as far as packages follow from it. */
export const lockFile = z.object({
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

/** Everything that the package at `from` needs at run time, found as Node finds it: nearest node_modules first. */
export function closure(packages: Packages, from: string): ShippedPackage[] {
  const found = new Map<string, ShippedPackage>();
  const waiting = [from];
  const seen = new Set(waiting);
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const entry = packages[path];
    if (entry === undefined) continue;
    const name = /.*node_modules\/(.+)$/.exec(path)?.[1];
    if (name !== undefined && entry.version !== undefined) {
      const { version, hasInstallScript: installScript = false } = entry;
      found.set(`${name}@${version}`, { package: name, version, installScript });
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
