// The files of an installed tree: written down with their digests when it is installed, shared between trees, compared later.
// Synchronous, for a thread of its own (files.ts): 22,000 files take a third of the time and a sixth of the work that way.
import { hash } from "node:crypto";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";

/** [path below the tree, size, modification time in ms, SHA-256 in hex]. */
export type FileRecord = [path: string, size: number, time: number, digest: string];

/** The list stands beside the packages, and is no package. */
export const LIST = ".launchpad-files.json";
const READ_ONLY = 0o444;
const PROGRAM = 0o555;

/** Every file and link below a folder. */
function* walk(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else yield path;
  }
}

/** Of a file's content, or of where a link leads to; nothing else is ever in a package. */
function digest(file: string): string {
  const entry = lstatSync(file);
  if (entry.isSymbolicLink()) return hash("sha256", `link ${readlinkSync(file)}`);
  return hash("sha256", entry.isFile() ? readFileSync(file) : "");
}

/**
 * Makes the files of a tree read-only and one copy with those of other trees, and writes the list of them.
 * @param shared where one file of each content is; left out: each stays a file of its own
 */
export function seal(tree: string, shared?: string): void {
  const list: FileRecord[] = [];
  for (let i = 0; shared !== undefined && i < 256; i += 1) {
    mkdirSync(join(shared, i.toString(16).padStart(2, "0")), { recursive: true, mode: 0o755 });
  }
  for (const file of walk(tree)) {
    const sum = digest(file);
    let entry = lstatSync(file);
    if (entry.isFile()) {
      chmodSync(file, (entry.mode & 0o111) === 0 ? READ_ONLY : PROGRAM);
      if (shared !== undefined) share(file, join(shared, sum.slice(0, 2), sum));
      entry = lstatSync(file);
    }
    list.push([relative(tree, file), entry.size, entry.mtimeMs, sum]);
  }
  writeFileSync(join(tree, LIST), JSON.stringify(list), { mode: READ_ONLY });
}

/** The file becomes a name of the shared one, or the shared one a name of it. Another disk, or too many names: a copy of its own. */
function share(file: string, one: string): void {
  try {
    linkSync(file, one);
    return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") return;
  }
  if (digest(one) !== one.slice(-64)) {
    // Altered by hand: it is given to nobody any more.
    rmSync(one, { force: true });
    linkSync(file, one);
    return;
  }
  try {
    linkSync(one, `${file}.shared`);
    renameSync(`${file}.shared`, file);
  } catch {
    // It stays a file of its own.
  }
}

/**
 * What of a tree is not as it was installed: the path of one file, or undefined.
 * @param whole also reads every file; else sizes and times are compared
 */
export function findChange(tree: string, whole: boolean): string | undefined {
  const left = readList(tree);
  if (left === undefined) return LIST;
  for (const file of walk(tree)) {
    const path = relative(tree, file);
    if (path === LIST) continue;
    const known = left.get(path);
    left.delete(path);
    if (known === undefined || !isAsWritten(file, known, whole)) return path;
  }
  return left.keys().next().value;
}

/** The list of a tree by path; undefined where it cannot be read. */
export function readList(tree: string): Map<string, FileRecord> | undefined {
  try {
    const list = JSON.parse(readFileSync(join(tree, LIST), "utf8")) as FileRecord[];
    return new Map(list.map((record) => [record[0], record]));
  } catch {
    return undefined;
  }
}

/** Whether a file is as its record says. */
export function isAsWritten(file: string, [, size, time, sum]: FileRecord, whole: boolean): boolean {
  const now = lstatSync(file);
  return now.size === size && now.mtimeMs === time && (!whole || digest(file) === sum);
}

/** Removes shared files that no tree names any more. */
export function forgetUnshared(shared: string): void {
  for (const file of walk(shared)) if (lstatSync(file).nlink === 1) rmSync(file, { force: true });
}
