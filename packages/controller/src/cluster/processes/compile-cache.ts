// A replica's compile cache: its own folder, filled with links to compiled code that it may read and not change.
import { copyFileSync, linkSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Node keeps the compiled code of each version and user in a folder named after both: `v24.…-x64-…-<uid>`. */
const OF_A_USER = /^(v.*-)(\d+)$/;

/**
 * Fills a replica's folder from the shared one. Node replaces a file that it compiles again, so the shared one stays as
 * it is. Without a shared folder the replica starts all the same, slower.
 * @param uid whose cache it becomes; absent: the one who compiled it
 * @returns the folders made, to be given to that user
 */
export function fillCompileCache(shared: string, own: string, uid?: number): string[] {
  mkdirSync(own, { recursive: true, mode: 0o700 });
  const folders = [own];
  for (const { name, version } of compiledFor(shared)) {
    const folder = join(own, uid === undefined ? name : `${version}${uid}`);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    folders.push(folder);
    for (const file of list(join(shared, name))) put(join(shared, name, file), join(folder, file));
  }
  return folders;
}

/** The folders in a cache that hold compiled code of a user; absent: of this process's. */
export function compiledFor(cache: string, uid = process.getuid?.()): { name: string; version: string }[] {
  return list(cache).flatMap((name) => {
    const match = OF_A_USER.exec(name);
    return match !== null && match[2] === String(uid ?? "") ? [{ name, version: match[1] ?? "" }] : [];
  });
}

function put(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    // There already; or another disk, or another's file: then a copy.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") copy(from, to);
  }
}

function copy(from: string, to: string): void {
  try {
    copyFileSync(from, to);
  } catch {
    // Replaced meanwhile, or the disk is full: it is compiled again.
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
