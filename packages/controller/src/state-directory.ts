// Locks the state directory and names the controller that uses it.

import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processMark } from "./cluster/processes/system.ts";
import { makeFolder } from "./make-folder.ts";

export interface StateDirectory {
  /** This controller's name towards the database; the same for every life in this directory. */
  worker: string;
  /** Lets another controller have the directory. */
  release(): void;
}

interface Owner {
  pid: number;
  mark: string;
}

/**
 * Takes the state directory for this process alone.
 * @throws {Error} when a living controller has it, or it cannot be written
 */
export function takeStateDirectory(directory: string): StateDirectory {
  try {
    makeFolder(directory, 0o700);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(
      `The state directory ${directory} cannot be used (${code}): set LAUNCHPAD_STATE_DIR to a folder that this account may write.`,
    );
  }
  const lock = join(directory, "controller.lock");
  const own = JSON.stringify({ pid: process.pid, mark: processMark(process.pid) ?? "" });
  const draft = join(directory, `controller.lock.${process.pid}`);
  writeFileSync(draft, own, { mode: 0o600 });
  try {
    for (let attempt = 0; !claim(draft, lock); attempt += 1) {
      const text = read(lock);
      const owner = parseOwner(text);
      if ((owner !== undefined && processMark(owner.pid) === owner.mark) || attempt > 20) {
        throw new Error(
          `Another controller (process ${owner?.pid}) uses ${directory}; two must not share it.`,
        );
      }
      discard(lock, text, draft);
    }
  } finally {
    rmSync(draft, { force: true });
  }
  return {
    worker: workerName(directory),
    release: () => {
      if (read(lock) === own) rmSync(lock, { force: true });
    },
  };
}

/** Makes the lock, whole, or not at all: a hard link appears together with its content. */
function claim(draft: string, lock: string): boolean {
  try {
    linkSync(draft, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Puts a dead owner's lock aside. Should a living one have replaced it in between, it gets its lock back. */
function discard(lock: string, text: string | undefined, draft: string): void {
  const aside = `${draft}.old`;
  try {
    renameSync(lock, aside);
  } catch {
    return;
  }
  if (read(aside) !== text) claim(aside, lock);
  rmSync(aside, { force: true });
}

function workerName(directory: string): string {
  const file = join(directory, "worker-id");
  const known = read(file)?.trim();
  if (known !== undefined && /^controller-[a-f0-9]{12}$/.test(known)) return known;
  const worker = `controller-${randomBytes(6).toString("hex")}`;
  writeFileSync(file, `${worker}\n`, { mode: 0o600 });
  return worker;
}

function parseOwner(text: string | undefined): Owner | undefined {
  try {
    const owner = JSON.parse(text ?? "") as Partial<Owner>;
    if (typeof owner.pid !== "number" || typeof owner.mark !== "string") return undefined;
    return { pid: owner.pid, mark: owner.mark };
  } catch {
    return undefined;
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
