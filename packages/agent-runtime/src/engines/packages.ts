// Plugins are npm packages. Nothing but a package's name is accepted: no path, no URL, no module of Node itself.
import { readFileSync } from "node:fs";
import { builtinModules, findPackageJSON } from "node:module";
import { BUILT_IN_PLUGINS } from "../plugins/built-in.ts";

const NAME = /^(@[a-z0-9][a-z0-9._-]*\/)?[a-z0-9][a-z0-9._-]*$/;

/** True where the text may name an npm package that can be a plugin. */
export function isPackageName(name: string): boolean {
  return name.length <= 214 && NAME.test(name) && !builtinModules.includes(name);
}

/** Scopes and prefixes under which elizaOS plugins are published. */
const ELIZA_NAME = /^(@elizaos\/|@elizaos-plugins\/|elizaos-plugin-)/;

/**
 * Tells whether a plugin needs elizaOS: by its name, or because its package says it depends on @elizaos/core.
 * @param from file URL of the module the plugin is looked up from
 */
export function needsEliza(plugin: string, from: string): boolean {
  if (BUILT_IN_PLUGINS.includes(plugin)) return false;
  if (ELIZA_NAME.test(plugin)) return true;
  if (!isPackageName(plugin)) return false;
  const manifest = readManifest(plugin, from);
  return ["dependencies", "peerDependencies"].some((kind) => {
    const list = manifest?.[kind];
    return typeof list === "object" && list !== null && "@elizaos/core" in list;
  });
}

/**
 * The major version of elizaOS that a plugin means by a tag such as "alpha"; undefined where that is unknown. elizaOS's own
 * plugins have the version of their elizaOS, and `latest` is the one that everybody has.
 * @param version the plugin's own
 */
export function majorBehindTag(name: string, version: string, tag: string): number | undefined {
  if (tag === "latest" || !name.startsWith("@elizaos/")) return undefined;
  const major = Number.parseInt(version, 10);
  return Number.isNaN(major) ? undefined : major;
}

/** The version of an installed package, or undefined. */
export function installedVersion(name: string, from: string): string | undefined {
  if (!isPackageName(name)) return undefined;
  const version = readManifest(name, from)?.version;
  return typeof version === "string" ? version : undefined;
}

/** The package.json of an installed package, or undefined. */
export function readManifest(plugin: string, from: string): Record<string, unknown> | undefined {
  try {
    const file = findPackageJSON(plugin, from);
    return file === undefined ? undefined : JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined; // not installed here; whoever loads it says so
  }
}

/** True for the error of a missing package itself, not of something missing inside an installed one. */
export function isMissing(error: unknown, name: string): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === "ERR_MODULE_NOT_FOUND" && message.includes(`'${name}'`);
}
