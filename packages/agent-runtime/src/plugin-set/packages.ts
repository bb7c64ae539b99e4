// The archives of a plugin set: which ones its lock file names, under which digest, and where each is unpacked. Pure.

/** The part of npm's lock file that decides what is installed. */
export interface SetLock {
  packages: Record<
    string,
    {
      integrity?: string | undefined;
      name?: string | undefined;
      version?: string | undefined;
      inBundle?: boolean | undefined;
      optional?: boolean | undefined;
      dev?: boolean | undefined;
      devOptional?: boolean | undefined;
    }
  >;
}

/** One archive of a set, as the registry serves it. */
export interface SetArchive {
  /** `<algorithm>-<digest in hex>`: its name in the store and at the controller's door. */
  file: string;
  algorithm: string;
  digest: string;
  /** `name@version`, for people and for npm. */
  spec: string;
  /** Where it is unpacked, below the set's folder; `bundles`: with the packages that it brings along. */
  folders: { path: string; bundles: boolean }[];
}

/** From strong to weak; the strongest that the lock file names counts. */
const ALGORITHMS = ["sha512", "sha384", "sha256", "sha1"];
const NAME = "(?:@[\\w.~-]+/)?[\\w.~-]+";
const FOLDER = new RegExp(`^node_modules/${NAME}(?:/node_modules/${NAME})*$`);

/** The name of an archive, for what is asked from outside. */
export const ARCHIVE = /^sha(?:1|256|384|512)-[0-9a-f]{40,128}$/;

/**
 * The archives of a lock file, each once; what npm leaves out, or a package brings along, has none.
 * @throws {Error} naming the folder whose place or content the lock file does not say
 */
export function setArchives({ packages }: SetLock): SetArchive[] {
  const archives = new Map<string, SetArchive>();
  const bundled = Object.keys(packages).filter((path) => packages[path]?.inBundle === true);
  for (const [path, entry] of Object.entries(packages)) {
    if (path === "" || entry.inBundle || entry.optional || entry.dev || entry.devOptional) continue;
    if (!FOLDER.test(path) || path.split("/").some((part) => part === "." || part === "..")) {
      throw new Error(`the lock file names the folder ${path}`);
    }
    const { algorithm, digest } = strongest(entry.integrity, path);
    const file = `${algorithm}-${digest}`;
    const name = entry.name ?? path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    const archive = archives.get(file) ?? {
      file,
      algorithm,
      digest,
      spec: `${name}@${entry.version}`,
      folders: [],
    };
    archive.folders.push({ path, bundles: bundled.some((other) => other.startsWith(`${path}/`)) });
    archives.set(file, archive);
  }
  return [...archives.values()];
}

function strongest(integrity: string | undefined, path: string): { algorithm: string; digest: string } {
  const known = (integrity ?? "").split(/\s+/).map((text) => text.split("?")[0]?.split("-") ?? []);
  for (const algorithm of ALGORITHMS) {
    const base64 = known.find(([name]) => name === algorithm)?.[1];
    if (base64 !== undefined) return { algorithm, digest: Buffer.from(base64, "base64").toString("hex") };
  }
  throw new Error(`the lock file promises no content of ${path}`);
}
