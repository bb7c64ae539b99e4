// A tree: the exact packages of a set of plugins, as npm's package.json and lock file. Its id is the digest of both. Pure.
import { createHash } from "node:crypto";
import { z } from "zod";
import { canonical } from "../reconcile/template.ts";

const names = z.record(z.string(), z.string());
const lockFile = z.looseObject({
  packages: z.record(
    z.string(),
    z.looseObject({
      /** What the registry calls it, where its folder has another name. */
      name: z.string().optional(),
      version: z.string().optional(),
      integrity: z.string().optional(),
      inBundle: z.boolean().optional(),
      hasInstallScript: z.boolean().optional(),
      license: z.unknown().optional(),
      optional: z.boolean().optional(),
      dev: z.boolean().optional(),
      devOptional: z.boolean().optional(),
      dependencies: names.optional(),
    }),
  ),
});
export const treeSchema = z.object({
  manifest: z.looseObject({ dependencies: names.optional(), legacyPeerDeps: z.boolean().optional() }),
  lock: lockFile,
});

export type Tree = z.infer<typeof treeSchema>;

export interface TreePackage {
  package: string;
  version: string;
  install_script: boolean;
  licence: string | null;
}

/** The same packages have the same id, in whatever order a database keeps their fields. */
export function treeId(tree: Tree): string {
  return createHash("sha256").update(canonical(tree)).digest("hex");
}

/** The folders (below the tree's own) of the packages that are installed: npm leaves out optional ones. */
export function installedFolders({ lock }: Tree): string[] {
  return Object.entries(lock.packages).flatMap(([folder, { optional, dev, devOptional }]) =>
    folder === "" || optional || dev || devOptional ? [] : [folder],
  );
}

/** What is installed, once each, for scans. */
export function treePackages(tree: Tree): TreePackage[] {
  const found = new Map<string, TreePackage>();
  for (const folder of installedFolders(tree)) {
    const entry = tree.lock.packages[folder] ?? {};
    const name = entry.name ?? /.*node_modules\/(.+)$/.exec(folder)?.[1];
    const { version, hasInstallScript = false, license } = entry;
    if (name === undefined || version === undefined) continue;
    const licence = typeof license === "string" && license !== "" ? license : null;
    found.set(`${name}@${version}`, { package: name, version, install_script: hasInstallScript, licence });
  }
  return [...found.values()];
}

/** The folders of packages whose content nothing promises: git addresses and paths. What a package has in itself has its integrity. */
export function unpromised(tree: Tree): string[] {
  return installedFolders(tree).filter((folder) => {
    const { inBundle, integrity } = tree.lock.packages[folder] ?? {};
    return integrity === undefined && inBundle !== true;
  });
}

/** The version and integrity of a package at the top of a tree. */
export function locked(tree: Tree, name: string): { version: string; integrity: string | null } | undefined {
  const entry = tree.lock.packages[`node_modules/${name}`];
  return entry?.version === undefined
    ? undefined
    : { version: entry.version, integrity: entry.integrity ?? null };
}

/** npm's settings for a tree's folder; the lock file names no registry, so that any that has the packages can be used. */
export function npmrc(looksAtPeers: boolean): string {
  return `omit-lockfile-registry-resolved=true\n${looksAtPeers ? "" : "legacy-peer-deps=true\n"}`;
}
