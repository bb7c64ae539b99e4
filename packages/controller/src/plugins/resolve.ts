// From the names in a definition to exact packages: what the runtime has, what the engine's own lock file has, else the registry.
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  BUILT_IN_PLUGINS,
  installedVersion,
  isMcpPlugin,
  needsEliza,
  parsePlugin,
} from "@agent-launchpad/agent-runtime";
import { satisfies, validRange } from "semver";
import type { Failure } from "../cluster/cluster.ts";
import { errorMessage } from "../log.ts";
import { CORE, type Host, incompatible, nearest, nearestVersions, newestFit, usesEliza } from "./choose.ts";
import { makeDraft } from "./drafts.ts";
import { type Manifest, type Npm, NpmError, readNpmJson } from "./npm.ts";
import {
  locked,
  npmrc,
  type Tree,
  type TreePackage,
  treeId,
  treePackages,
  treeSchema,
  unpromised,
} from "./tree.ts";

/** Why plugins cannot be had, for the agent's owner. */
export class PluginError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.name = "PluginError";
    this.failure = failure;
  }
}

/** What is kept of a plugin with the revision. */
export interface ResolvedPlugin {
  name: string;
  version: string;
  integrity: string | null;
}

export interface Resolution {
  id: string;
  tree: Tree;
  engine: string;
  plugins: ResolvedPlugin[];
  /** For the list of known plugins. */
  known: { name: string; version: string; description: string; engine: string; settings: PluginSetting[] }[];
  packages: TreePackage[];
}

interface PluginSetting {
  name: string;
  required: boolean;
  description: string;
}

export interface ResolverOptions {
  npm: Npm;
  /** The engine: elizaOS and the packages that it was tested with. */
  base: Tree;
  /** Where a lock file is made. */
  scratch: string;
  /** File URL that the runtime's own packages are looked up from. */
  runtime: string;
  node: string;
}

/** Plugins that people mean most, for the sake of a name that is nearly right. */
const WELL_KNOWN = [
  "anthropic",
  "bootstrap",
  "browser",
  "discord",
  "evm",
  "farcaster",
  "github",
  "google-genai",
  "groq",
  "knowledge",
  "mcp",
  "ollama",
  "openai",
  "openrouter",
  "solana",
  "sql",
  "supabase",
  "telegram",
  "twitter",
  "web3",
].map((name) => `@elizaos/plugin-${name}`);

const MODEL = "model";

/**
 * Resolves the plugins of a definition.
 * @returns undefined where nothing has to be installed
 * @throws PluginError for what a person must change, or where the registry does not answer
 */
export async function resolvePlugins(
  entries: readonly string[],
  { base, node, npm, runtime, scratch }: ResolverOptions,
): Promise<Resolution | undefined> {
  const core = locked(base, CORE)?.version ?? "0.0.0";
  const host: Host = { core, node };
  const isPackage = (name: string) => !BUILT_IN_PLUGINS.includes(name) && !isMcpPlugin(name);
  const asked = entries.map(parsePlugin).filter(({ name }) => isPackage(name));
  const chosen: { name: string; version: string; manifest?: Manifest }[] = [];
  for (const { name, version: wanted } of asked) {
    const own = needsEliza(name, runtime) ? undefined : installedVersion(name, runtime);
    if (own !== undefined && meets(own, wanted)) continue;
    const shipped = locked(base, name);
    if (
      shipped !== undefined &&
      name in (base.manifest.dependencies ?? {}) &&
      meets(shipped.version, wanted)
    ) {
      chosen.push({ name, version: shipped.version });
      continue;
    }
    const manifest = await find(npm, name, wanted, host);
    chosen.push({ name, version: manifest.version, manifest });
  }
  if (chosen.length === 0) return undefined;
  const eliza = chosen.some(
    ({ manifest, name }) => manifest === undefined || usesEliza(manifest) || needsEliza(name, runtime),
  );
  const extra = chosen.filter(({ manifest }) => manifest !== undefined);
  const tree = extra.length === 0 ? base : await lockOf(npm, scratch, extra, eliza ? base : undefined, core);
  return {
    id: treeId(tree),
    tree,
    engine: eliza ? `elizaos@${core}` : MODEL,
    plugins: chosen.map(({ name, version }) => ({
      name,
      version,
      integrity: locked(tree, name)?.integrity ?? null,
    })),
    known: extra.flatMap(({ manifest, name, version }) =>
      manifest === undefined
        ? []
        : [
            {
              name,
              version,
              description: (manifest.description ?? "").slice(0, 500),
              engine: usesEliza(manifest) || needsEliza(name, runtime) ? "elizaos" : MODEL,
              settings: settingsOf(manifest),
            },
          ],
    ),
    packages: treePackages(tree),
  };
}

/** Whether an installed version is one that was asked for; a tag means what is newest, which the registry alone knows. */
function meets(version: string, wanted: string | undefined): boolean {
  return (
    wanted === undefined ||
    (validRange(wanted) !== null && satisfies(version, wanted, { includePrerelease: true }))
  );
}

async function find(npm: Npm, name: string, wanted: string | undefined, host: Host): Promise<Manifest> {
  try {
    const named = await npm.view(`${name}@${wanted ?? "latest"}`);
    const fit = newestFit(named, host);
    if (fit !== undefined) return fit;
    // What is newest may be made for a newer elizaOS: without a version, the newest that fits is meant; else it is named.
    const all = await npm.view(`${name}@>=0.0.0`).catch((error: unknown) => {
      if (named.length > 0 && wanted !== undefined) return []; // there is none but pre-releases
      throw error;
    });
    const other = newestFit(all, host);
    if (other !== undefined && wanted === undefined) return other;
    const newest = named.at(-1) ?? all.at(-1);
    if (newest === undefined) throw new NpmError("E404", "no version");
    throw new PluginError(incompatible(name, newest, host, other));
  } catch (error) {
    if (error instanceof PluginError) throw error;
    const code = error instanceof NpmError ? error.code : "";
    if (wanted !== undefined && (code === "E404" || code === "ETARGET")) {
      const near = nearestVersions(wanted, await versionsOf(npm, name), host);
      if (near.length > 0) throw new PluginError(noSuchVersion(name, wanted, near));
    }
    throw new PluginError(explainNpm(error, wanted === undefined ? name : `${name}@${wanted}`, name));
  }
}

/** What the registry has of a package; without a release, what "latest" means; nothing where it has neither. */
async function versionsOf(npm: Npm, name: string): Promise<Manifest[]> {
  for (const wanted of [">=0.0.0", "latest"]) {
    const found = await npm.view(`${name}@${wanted}`).catch(() => []);
    if (found.length > 0) return found;
  }
  return [];
}

/** The failure of a version that a known package does not have. */
function noSuchVersion(name: string, wanted: string, near: readonly string[]): Failure {
  const tag = validRange(wanted) === null;
  return {
    reason: "PLUGIN_NOT_FOUND",
    message: `Plugin ${name} has no ${tag ? "tag" : "version"} ${wanted} in the registry that npm is configured with. Name one it has, such as ${near.join(", ")}.`,
  };
}

/** npm's refusal as the reason of a failed generation. */
export function explainNpm(error: unknown, what: string, name?: string): Failure {
  const ofNpm = error instanceof NpmError;
  const message = errorMessage(error);
  const code = (error as { code?: string }).code;
  if ((code === "E404" || code === "ETARGET") && name !== undefined) {
    const near = nearest(
      name,
      [...WELL_KNOWN, ...BUILT_IN_PLUGINS].filter((other) => other !== name),
    );
    const hint = near.length === 0 ? "" : ` Did you mean ${[...new Set(near)].join(" or ")}?`;
    return {
      reason: "PLUGIN_NOT_FOUND",
      message: `Plugin ${what} is not in the registry that npm is configured with.${hint}`,
    };
  }
  if (code === "ERESOLVE") {
    return {
      reason: "PLUGIN_INCOMPATIBLE",
      message: `Plugins ${what} cannot be installed together: ${message}`,
    };
  }
  const cure =
    code === "ENOSPC"
      ? "The disk of the plugin store is full: make room, then restart the agent."
      : code === "EACCES" || code === "EPERM" || code === "EROFS"
        ? "Let the controller's account write to the plugin store and to npm's cache, then restart the agent."
        : code === "EINTEGRITY"
          ? "The registry served other content than it promised: check the registry, then restart the agent."
          : ofNpm
            ? "Check the registry that npm is configured with, then restart the agent."
            : "Restart the agent once that is mended.";
  return {
    reason: "PLUGIN_INSTALL_FAILED",
    message: `${what} cannot be installed (${ofNpm ? `${code}: ` : ""}${message}). ${cure}`,
  };
}

/** The failure of plugins of which a part comes from outside the registry. */
function notPromised(what: string, folder: string): Failure {
  const name = folder.replace(/^.*node_modules\//, "");
  return {
    reason: "PLUGIN_NOT_ALLOWED",
    message: `${what} needs ${name} from a git address or a path, whose content may change. Name a version whose packages all come from a registry.`,
  };
}

/** A lock file with the plugins at exactly these versions, on top of the engine's own where they need it. */
async function lockOf(
  npm: Npm,
  scratch: string,
  extra: readonly { name: string; version: string }[],
  base: Tree | undefined,
  core: string,
): Promise<Tree> {
  const folder = await makeDraft(scratch, "lock");
  const what = extra.map(({ name, version }) => `${name}@${version}`).join(", ");
  try {
    const versions = Object.fromEntries(extra.map(({ name, version }) => [name, version]));
    const manifest = {
      private: true,
      dependencies: { ...base?.manifest.dependencies, ...versions },
      // One core, whatever a plugin names: a second one would be another elizaOS beside ours.
      ...(base === undefined ? {} : { overrides: { [CORE]: core } }),
    };
    await writeFile(join(folder, "package.json"), JSON.stringify(manifest));
    for (const looksAtPeers of [true, false]) {
      await writeFile(join(folder, ".npmrc"), npmrc(looksAtPeers));
      if (base !== undefined) await writeFile(join(folder, "package-lock.json"), JSON.stringify(base.lock));
      try {
        await npm.lock(folder);
      } catch (error) {
        // Plugins name peers that they work without: what npm refuses for these alone is tried without them.
        if (looksAtPeers && error instanceof NpmError && error.code === "ERESOLVE") continue;
        throw error;
      }
      const lock = readNpmJson(await readFile(join(folder, "package-lock.json"), "utf8"));
      const tree = treeSchema.parse({
        manifest: { ...manifest, ...(!looksAtPeers && { legacyPeerDeps: true }) },
        lock,
      });
      const [loose] = unpromised(tree);
      if (loose !== undefined) throw new PluginError(notPromised(what, loose));
      return tree;
    }
    throw new NpmError("ERESOLVE", "npm found no set of versions");
  } catch (error) {
    throw error instanceof PluginError ? error : new PluginError(explainNpm(error, what));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What a plugin of elizaOS says that it reads: `agentConfig.pluginParameters` of its package.json. */
function settingsOf({ agentConfig }: Manifest): PluginSetting[] {
  const parameters = agentConfig?.pluginParameters;
  if (typeof parameters !== "object" || parameters === null) return [];
  return Object.entries(parameters).flatMap(([name, value]) => {
    const { description, required } = (value ?? {}) as { description?: unknown; required?: unknown };
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) return [];
    return [
      {
        name,
        required: required === true,
        description: typeof description === "string" ? description.slice(0, 300) : "",
      },
    ];
  });
}
