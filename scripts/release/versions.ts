// The version: every place that names it, and the change log.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A place that names the version. */
export interface Place {
  file: string;
  /** Finds it; group 2 is the version, between groups 1 and 3. */
  pattern: RegExp;
  /** How often the file names it. */
  times: number;
}

const VERSION = String.raw`(\d+\.\d+\.\d+)`;
const around = (before: string, after: string) => new RegExp(`(${before})${VERSION}(${after})`, "gm");

const MANIFEST = around(`^ {2}"version": "`, `",$`);
const SIBLING = around(String.raw`^ +"@agent-launchpad/[\w-]+": "`, `",?$`);
const MODULE = around(`^export const VERSION = "`, `";$`);

/** The root's version: the one that all others repeat. */
export function versionOf(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string }).version;
}

/** Whether a version such as 0.2.0 comes after another. Pure. */
export function isLater(version: string, than: string): boolean {
  const numbers = (text: string) => /^(\d+)\.(\d+)\.(\d+)$/.exec(text)?.slice(1).map(Number);
  const [next, last] = [numbers(version), numbers(than)];
  if (next === undefined || last === undefined) return false;
  const first = next.findIndex((number, at) => number !== last[at]);
  return first !== -1 && (next[first] as number) > (last[first] as number);
}

/** Every place of a checkout that names the version. */
export function placesOf(folder: string): Place[] {
  const packages = readdirSync(join(folder, "packages")).filter((name) => name !== "sdk-python");
  const manifests = [
    "package.json",
    "packages/agent-runtime/eliza/package.json",
    ...packages.map((name) => `packages/${name}/package.json`),
  ];
  return [
    ...manifests.map((file) => ({ file, pattern: MANIFEST, times: 1 })),
    { file: "packages/cli/package.json", pattern: SIBLING, times: 1 },
    { file: "packages/controller/package.json", pattern: SIBLING, times: 1 },
    { file: "packages/stack/package.json", pattern: SIBLING, times: 1 },
    {
      file: "package-lock.json",
      pattern: around(
        String.raw`^(?: {2}| {6})"name": "(?:@agent-launchpad/[\w-]+|agent-launchpad)",\n +"version": "`,
        `",$`,
      ),
      times: packages.length + 2,
    },
    { file: "package-lock.json", pattern: SIBLING, times: 3 },
    {
      file: "packages/agent-runtime/eliza/package-lock.json",
      pattern: around(String.raw`^(?: {2}| {6})"name": "[\w@/-]+",\n +"version": "`, `",$`),
      times: 2,
    },
    { file: "packages/cli/src/version.ts", pattern: MODULE, times: 1 },
    { file: "packages/controller/src/version.ts", pattern: MODULE, times: 1 },
    { file: "packages/sdk/src/version.ts", pattern: MODULE, times: 1 },
    {
      file: "supabase/functions/_shared/release.ts",
      pattern: around(`^export const RELEASE = "`, `";$`),
      times: 1,
    },
    { file: "docs/openapi.json", pattern: around(`^ {4}"x-release": "`, `",$`), times: 1 },
    { file: "packages/sdk-python/pyproject.toml", pattern: around(`^version = "`, `"$`), times: 1 },
    {
      file: "packages/sdk-python/src/agent_launchpad/_version.py",
      pattern: around(`^__version__ = "`, `"$`),
      times: 1,
    },
    { file: "deploy/chart/Chart.yaml", pattern: around("^(?:version|appVersion): ", "$"), times: 2 },
    { file: "deploy/images/Containerfile", pattern: around("^ARG VERSION=", "$"), times: 2 },
    {
      file: "docs/operations.md",
      pattern: around("registry.example.com/launchpad/[a-z-]+:", " \\.$"),
      times: 2,
    },
    {
      file: "tests/cluster/images.test.ts",
      pattern: around("registry.example.com/launchpad/[a-z-]+:", `",$`),
      times: 2,
    },
  ];
}

/** What a text says at a place. Pure. */
export function versionsAt(text: string, { pattern }: Place): string[] {
  return [...text.matchAll(pattern)].map(([, , version = ""]) => version);
}

/**
 * A text with another version at a place. Pure.
 * @throws {Error} when it does not name `from` as often as it should
 */
export function withVersion(text: string, place: Place, from: string, to: string): string {
  const found = versionsAt(text, place);
  if (found.length !== place.times || found.some((version) => version !== from))
    throw new Error(
      `${place.file} should name ${from} ${place.times}×, but names ${found.join(", ") || "none"}; correct it first.`,
    );
  return text.replace(place.pattern, `$1${to}$3`);
}

const UNRELEASED = "## Unreleased\n";

/**
 * The change log with what was unreleased under the version. Pure.
 * @throws {Error} when there is nothing
 */
export function changeLogOf(text: string, version: string, day: string): string {
  const [before, after] = text.split(UNRELEASED);
  const entries = after?.split(/^## /m)[0]?.trim() ?? "";
  if (before === undefined || after === undefined || entries === "")
    throw new Error(`CHANGELOG.md has nothing under "${UNRELEASED.trim()}"; write what changed for users.`);
  return `${before}${UNRELEASED}\n## ${version} (${day})\n${after}`;
}
