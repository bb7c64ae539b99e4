// The files of an installed tree: written down with their digests when it is installed, shared between trees, looked at later.
import { createHash } from "node:crypto";
import {
  chmod,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  writeFile,
} from "node:fs/promises";
import { join, relative } from "node:path";
import { z } from "zod";

/** [path below the tree, size, modification time in ms, SHA-256 in hex]. */
const record = z.tuple([z.string(), z.number(), z.number(), z.string()]);
const records = z.array(record);
export type FileRecord = z.infer<typeof record>;

/** The list stands beside the packages, and is no package. */
export const LIST = ".launchpad-files.json";
const AT_ONCE = 16;
const READ_ONLY = 0o444;
const PROGRAM = 0o555;

/** Every file and link below a folder. */
async function* walk(folder: string): AsyncGenerator<string> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else yield path;
  }
}

/** Works on several at a time: most of the work is waiting for the disk. */
async function eachOf(files: AsyncIterable<string>, work: (file: string) => Promise<void>): Promise<void> {
  const iterator = files[Symbol.asyncIterator]();
  const worker = async () => {
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Of a file's content, or of where a link leads to; nothing else is ever in a package. */
async function digest(file: string): Promise<string> {
  const entry = await lstat(file);
  const content = entry.isSymbolicLink()
    ? `link ${await readlink(file)}`
    : entry.isFile()
      ? await readFile(file)
      : "";
  return createHash("sha256").update(content).digest("hex");
}

/**
 * Makes the files of a tree read-only and one copy with those of other trees, and writes the list of them.
 * @param shared where one file of each content is
 */
export async function seal(tree: string, shared: string): Promise<void> {
  const list: FileRecord[] = [];
  for (let i = 0; i < 256; i += 1) {
    await mkdir(join(shared, i.toString(16).padStart(2, "0")), { recursive: true, mode: 0o755 });
  }
  await eachOf(walk(tree), async (file) => {
    const sum = await digest(file);
    const entry = await lstat(file);
    if (entry.isFile()) {
      await chmod(file, (entry.mode & 0o111) === 0 ? READ_ONLY : PROGRAM);
      await share(file, join(shared, sum.slice(0, 2), sum));
    }
    const { mtimeMs, size } = await lstat(file);
    list.push([relative(tree, file), size, mtimeMs, sum]);
  });
  await writeFile(join(tree, LIST), JSON.stringify(list), { mode: READ_ONLY });
}

/** The file becomes a name of the shared one, or the shared one a name of it. Another disk, or too many names: a copy of its own. */
async function share(file: string, one: string): Promise<void> {
  try {
    await link(file, one);
    return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") return;
  }
  if ((await digest(one)) !== one.slice(-64)) {
    // Altered by hand: it is given to nobody any more.
    await rm(one, { force: true });
    await link(file, one);
    return;
  }
  try {
    await link(one, `${file}.shared`);
    await rename(`${file}.shared`, file);
  } catch {
    // It stays a file of its own.
  }
}

/**
 * What of a tree is not as it was installed: the path of one file, or undefined.
 * @param whole also reads every file; else sizes and times are compared
 */
export async function findChange(tree: string, whole: boolean): Promise<string | undefined> {
  let known: FileRecord[];
  try {
    known = records.parse(JSON.parse(await readFile(join(tree, LIST), "utf8")));
  } catch {
    return LIST;
  }
  const left = new Map(known.map(([path, ...facts]) => [path, facts] as const));
  let change: string | undefined;
  await eachOf(walk(tree), async (file) => {
    const path = relative(tree, file);
    if (path === LIST || change !== undefined) return;
    const [size, time, sum] = left.get(path) ?? [];
    const now = await lstat(file);
    if (now.size !== size || now.mtimeMs !== time || (whole && (await digest(file)) !== sum)) change ??= path;
    left.delete(path);
  });
  return change ?? left.keys().next().value;
}

/** Removes shared files that no tree names any more. */
export async function forgetUnshared(shared: string): Promise<void> {
  for await (const file of walk(shared)) if ((await lstat(file)).nlink === 1) await rm(file, { force: true });
}
