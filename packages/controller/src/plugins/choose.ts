// Which version of a plugin fits this platform, and what to say where none does. Pure.
import { majorBehindTag } from "@agent-launchpad/agent-runtime";
import { minVersion, prerelease, rcompare, satisfies, validRange } from "semver";
import type { Failure } from "../cluster/cluster.ts";
import type { Manifest } from "./npm.ts";

export const CORE = "@elizaos/core";

/** What a plugin must fit. */
export interface Host {
  /** The version of elizaOS that agents run on. */
  core: string;
  node: string;
}

/** Whether the package says that it is one of elizaOS. */
export function usesEliza({ dependencies, peerDependencies }: Manifest): boolean {
  return CORE in { ...dependencies, ...peerDependencies };
}

/** Why a version cannot run here, in words; undefined where it can. */
export function misfit(manifest: Manifest, host: Host): string | undefined {
  const { dependencies, engines, peerDependencies } = manifest;
  const wanted = { ...dependencies, ...peerDependencies }[CORE];
  if (wanted !== undefined && !fitsCore(manifest, wanted, host.core)) {
    return `needs elizaOS ${wanted}, and agents run on ${host.core}`;
  }
  const node = engines?.node;
  if (typeof node === "string" && validRange(node) !== null && !satisfies(host.node, node)) {
    return `needs Node ${node}, and agents run on ${host.node}`;
  }
  return undefined;
}

/**
 * elizaOS's plugins name the core that they were built with, often exactly; within one major version the core keeps its
 * form, and the tree has one core alone. A tag ("alpha") says as much as the plugin's own version does.
 */
function fitsCore({ name, version }: Manifest, range: string, core: string): boolean {
  const own = Number(core.split(".")[0]);
  if (validRange(range) === null) return (majorBehindTag(name, version, range) ?? own) <= own;
  if (satisfies(core, range, { includePrerelease: true })) return true;
  return minVersion(range)?.major === own;
}

/** The newest version that fits: one that is no pre-release, where there is one. */
export function newestFit(manifests: readonly Manifest[], host: Host): Manifest | undefined {
  const fits = manifests
    .filter((manifest) => misfit(manifest, host) === undefined)
    .sort((a, b) => rcompare(a.version, b.version));
  return fits.find(({ version }) => prerelease(version) === null) ?? fits[0];
}

/**
 * The failure of a plugin whose version does not fit.
 * @param fit the newest of its versions that would
 */
export function incompatible(name: string, newest: Manifest, host: Host, fit: Manifest | undefined): Failure {
  const why = misfit(newest, host) ?? "does not fit";
  const cure =
    fit === undefined
      ? "No version of it fits: remove it from plugins"
      : `Name ${name}@${fit.version}, the newest that fits, or remove it from plugins`;
  return { reason: "PLUGIN_INCOMPATIBLE", message: `Plugin ${name}@${newest.version} ${why}. ${cure}.` };
}

/**
 * The versions to name in place of one that does not exist: the next below and above it, and the newest. Those that fit come
 * before others, releases before pre-releases.
 * @param wanted a version, a range or a tag
 */
export function nearestVersions(wanted: string, manifests: readonly Manifest[], host: Host): string[] {
  const fits = manifests.filter((manifest) => misfit(manifest, host) === undefined);
  const versions = (fits.length > 0 ? fits : manifests).map(({ version }) => version);
  const stable = versions.filter((version) => prerelease(version) === null);
  const sorted = (stable.length > 0 ? stable : versions).sort(rcompare);
  const asked = validRange(wanted) === null ? undefined : minVersion(wanted)?.version;
  if (asked === undefined) return sorted.slice(0, 1);
  const above = sorted.findLast((version) => rcompare(version, asked) < 0);
  const below = sorted.find((version) => rcompare(version, asked) > 0);
  const near = [below, above, sorted[0]].filter((version) => version !== undefined);
  return [...new Set(near)].sort(rcompare);
}

/** Names that are near to one that does not exist: at most three. */
export function nearest(name: string, known: readonly string[]): string[] {
  const own = bare(name);
  return known
    .map((other) => ({ other, distance: distance(own, bare(other)) }))
    .filter(({ distance: far }) => far <= Math.max(2, Math.floor(own.length / 4)))
    .sort((a, b) => a.distance - b.distance || (a.other < b.other ? -1 : 1))
    .slice(0, 3)
    .map(({ other }) => other);
}

function bare(name: string): string {
  return name.replace(/^@[^/]+\//, "").replace(/^(elizaos-)?(plugin|client|adapter)-/, "");
}

/** Edits between two words. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + same));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
