// Opens and locks a stack's data folder.

import { chmod, link, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { codeOf, StackError } from "./errors.ts";
import { isRunning, startTimeOf } from "./supervise/process-table.ts";

const ProcessId = z.object({ pid: z.number().int(), start: z.string() });
type ProcessId = z.infer<typeof ProcessId>;

/** How the name of a temporary data folder begins; the guardian deletes no other (guardian.sh). */
const TEMPORARY = "local-supabase-";

/** What the lock says: the stack that uses the folder, and the guardian that cleans up after it. */
const Lock = ProcessId.extend({ guardian: ProcessId.optional() });

/** The folder of one stack, locked for this process. */
export interface DataDir {
  path: string;
  /** Deleted when the stack stops. */
  ephemeral: boolean;
  storage: string;
  logs: string;
  /** Writes the guardian into the lock: a later start waits until it has cleaned up. */
  nameGuardian(pid: number): Promise<void>;
  /** Says in `stack.json` (mode 0600) where the stack is, for programs that look for it. */
  announce(where: { apiUrl: string; dbUrl: string }): Promise<void>;
  /** Gives the folder up (an ephemeral one is deleted). */
  release(): Promise<void>;
}

/** What a data folder holds beside what every project has. */
export interface DataDirOptions {
  /** Folders of programs that may run under other accounts: they can pass on the way to what is theirs. */
  passages?: readonly string[];
}

/**
 * Opens (makes, where needed) and locks a data folder. Takes its path, or nothing for a temporary one.
 * Throws StackError, one sentence each, when the folder cannot be used or another stack uses it.
 */
export async function openDataDir(
  path: string | undefined,
  { passages = [] }: DataDirOptions = {},
): Promise<DataDir> {
  const ephemeral = path === undefined;
  const folder = ephemeral ? await mkdtemp(join(tmpdir(), TEMPORARY)) : resolve(path);
  try {
    for (const part of ["", "storage", "logs", ...passages]) await makeFolder(join(folder, part));
    await closeFolders(folder, passages);
  } catch (error) {
    throw new StackError(`The data folder ${folder} cannot be used: ${explain(codeOf(error))}.`);
  }
  const lock = join(folder, "lock");
  const own: ProcessId = { pid: process.pid, start: startTimeOf(process.pid) ?? "" };
  await takeLock(lock, own, folder);
  return {
    path: folder,
    ephemeral,
    storage: join(folder, "storage"),
    logs: join(folder, "logs"),
    async nameGuardian(pid) {
      await put(lock, { ...own, guardian: { pid, start: startTimeOf(pid) ?? "" } });
    },
    async announce(where) {
      await put(join(folder, "stack.json"), where);
    },
    async release() {
      await rm(join(folder, "stack.json"), { force: true });
      await rm(ephemeral ? folder : lock, { recursive: true, force: true });
    },
  };
}

/** mkdir -p. Not Node's own: below /proc, where nothing can be made, it tries for ever (Node 24). */
async function makeFolder(path: string): Promise<void> {
  const isFolder = async () => (await stat(path).catch(() => undefined))?.isDirectory() === true;
  try {
    await mkdir(path);
  } catch (error) {
    if (await isFolder()) return;
    if (codeOf(error) !== "ENOENT" || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await mkdir(path).catch(async (again: unknown) => {
      if (!(await isFolder())) throw again;
    });
  }
}

/**
 * Closes the folders to other accounts, those of an earlier version too. Where the stack is root, PostgreSQL and other
 * programs have accounts of their own, which must pass on the way to their folders; they cannot list what is beside them.
 */
async function closeFolders(folder: string, passages: readonly string[]): Promise<void> {
  const passage = process.getuid?.() === 0 ? 0o711 : 0o700;
  for (const part of ["", ...passages]) await chmod(join(folder, part), passage);
  for (const part of ["storage", "logs"]) await chmod(join(folder, part), 0o700);
}

async function takeLock(lock: string, own: ProcessId, folder: string): Promise<void> {
  const mine = `${lock}.${process.pid}`;
  await writeFile(mine, JSON.stringify(own), { mode: 0o600 }).catch((error: unknown) => {
    throw new StackError(`The data folder ${folder} cannot be used: ${explain(codeOf(error))}.`);
  });
  try {
    for (;;) {
      try {
        await link(mine, lock); // fails where a lock is: nobody can take it between a look and a write
        return;
      } catch (error) {
        if (codeOf(error) !== "EEXIST") throw error;
      }
      await clearStaleLock(lock, folder);
    }
  } finally {
    await rm(mine, { force: true });
  }
}

/** Removes the lock of a stack that is gone, after its guardian has finished; throws when the stack is there. */
async function clearStaleLock(lock: string, folder: string): Promise<void> {
  const held = await readLock(lock);
  if (held && isRunning(held)) {
    throw new StackError(
      `The data folder ${folder} is used by another stack (process ${held.pid}); stop that one, or choose another folder with --data-dir.`,
    );
  }
  // The system tells nobody but its parent when the guardian ends, so this looks.
  for (let waited = 0; held?.guardian && isRunning(held.guardian) && waited < 15_000; waited += 50)
    await sleep(50);
  const stale = `${lock}.stale.${process.pid}`;
  await rename(lock, stale).catch(() => {}); // another start may have been faster: then its lock decides
  const moved = await readLock(stale);
  if (moved && isRunning(moved)) await rename(stale, lock);
  else await rm(stale, { force: true });
}

async function readLock(file: string): Promise<z.infer<typeof Lock> | undefined> {
  try {
    return Lock.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    return undefined; // none, or half-written by a stack that was killed meanwhile
  }
}

async function put(file: string, value: object): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify(value), { mode: 0o600 });
  await rename(`${file}.new`, file);
}

function explain(code: string | undefined): string {
  if (code === "ENOTDIR" || code === "EEXIST") return "a file is in its place";
  if (code === "ENOENT") return "no folder can be made there";
  if (code === "EACCES" || code === "EPERM") return "this user may not write there";
  if (code === "EROFS") return "it is on a read-only disk";
  if (code === "ENOSPC") return "the disk is full";
  return code ?? "unknown reason";
}
