// What a plugin's package says it needs: a Node, an elizaOS, settings.
import ltr from "semver/ranges/ltr.js";
import validRange from "semver/ranges/valid.js";
import { ConfigurationError } from "../errors.ts";
import { installedVersion, majorBehindTag, readManifest } from "./packages.ts";

/** The versions that a plugin meets here. */
export interface Here {
  readonly node: string;
  /** Undefined where the plugin's engine is not elizaOS. */
  readonly core: string | undefined;
}

/**
 * Compares what a package asks for with what is here. A package made for an older version is left alone: most work.
 * @param from file URL of the module the plugin is looked up from
 * @throws ConfigurationError PLUGIN_INCOMPATIBLE
 */
export function requireCompatible(name: string, from: string, here: Here): void {
  const manifest = readManifest(name, from);
  const engines = asTexts(manifest?.engines);
  const fail = (needs: string, has: string, cure: string) => {
    const message = `Plugin ${name} needs ${needs}; agents run on ${has}. ${cure}`;
    throw new ConfigurationError("PLUGIN_INCOMPATIBLE", message, { plugin: name });
  };
  if (isNewer(engines.node, here.node)) {
    fail(`Node ${engines.node}`, here.node, "Name an older version of it, or remove it.");
  }
  const core =
    asTexts(manifest?.peerDependencies)["@elizaos/core"] ?? asTexts(manifest?.dependencies)["@elizaos/core"];
  const version = String(manifest?.version ?? "");
  if (here.core !== undefined && (isNewer(core, here.core) || isBehindTag(name, version, core, here.core))) {
    fail(`elizaOS ${core}`, here.core, `Name a version of it for elizaOS ${here.core.split(".")[0]}.x.`);
  }
}

/** How Node says that a module has no such export: of an ECMAScript module, and of one of CommonJS. */
const MISSING_EXPORT =
  /requested module '@elizaos\/core' does not provide an export named '([\w$]+)'|Named export '([\w$]+)' not found\. The requested module '@elizaos\/core'/;

/**
 * A plugin that asks for any elizaOS, and imports what the one here does not have, is made for another one all the same.
 * @param error what loading it threw
 * @returns the failure to report instead; undefined for any other error
 */
export function missesExport(
  name: string,
  from: string,
  error: unknown,
  core: string | undefined,
): ConfigurationError | undefined {
  const [, ...found] = MISSING_EXPORT.exec(error instanceof Error ? error.message : "") ?? [];
  const missing = found.find((part) => part !== undefined);
  if (missing === undefined) return undefined;
  const version = installedVersion(name, from);
  const what = version === undefined ? name : `${name}@${version}`;
  return new ConfigurationError(
    "PLUGIN_INCOMPATIBLE",
    `Plugin ${what} needs another elizaOS: it imports ${missing}, which elizaOS ${core ?? ""} does not have. Name an older version of it, or remove it.`,
    { plugin: name },
  );
}

/**
 * The secrets that a package says it cannot do without and that are not set.
 * @param settings what the agent has
 */
export function missingSecrets(
  name: string,
  from: string,
  settings: Readonly<Record<string, unknown>>,
): string[] {
  const { agentConfig } = (readManifest(name, from) ?? {}) as {
    agentConfig?: { pluginParameters?: Record<string, { required?: boolean; sensitive?: boolean } | null> };
  };
  return Object.entries(agentConfig?.pluginParameters ?? {})
    .filter(
      ([key, parameter]) => parameter?.required === true && parameter.sensitive === true && !settings[key],
    )
    .map(([key]) => key);
}

/** True where a tag stands for a newer elizaOS than the one here. */
const isBehindTag = (name: string, version: string, tag: string | undefined, core: string): boolean =>
  tag !== undefined &&
  validRange(tag) === null &&
  (majorBehindTag(name, version, tag) ?? 0) > Number.parseInt(core, 10);

/** True where every version that a range allows is newer than the one here; words such as "latest" are no range. */
const isNewer = (range: string | undefined, version: string): boolean =>
  range !== undefined && validRange(range) !== null && ltr(version, range);

function asTexts(value: unknown): Record<string, string | undefined> {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(Object.entries(value).filter(([, text]) => typeof text === "string"));
}
