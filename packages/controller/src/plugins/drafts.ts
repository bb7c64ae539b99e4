// What is made aside in the store, and what each process uses of it: names begin with a dot and hold the process's id, so that
// what an ended process left can be told from what another controller works on.
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const OF_A_PROCESS = /^\.[a-z]+-(\d+)-/;

/** A new folder of this process. */
export function makeDraft(store: string, what: "download" | "install" | "lock"): Promise<string> {
  return mkdtemp(join(store, `.${what}-${process.pid}-`));
}

/** Removes what no other running process made. @returns what could not be removed: a later start tries again */
export async function removeLeftovers(store: string): Promise<string[]> {
  const left: string[] = [];
  for (const name of await readdir(store)) {
    if (!name.startsWith(".") || isAnothers(name)) continue;
    // npm of a killed controller may still be writing there.
    await rm(join(store, name), { recursive: true, force: true, maxRetries: 3 }).catch(() => left.push(name));
  }
  return left;
}

/** Tells other controllers which trees this one uses. */
export async function writeUses(store: string, trees: Iterable<string>): Promise<void> {
  const file = join(store, `.uses-${process.pid}-trees`);
  await writeFile(`${file}.new`, JSON.stringify([...trees]));
  await rename(`${file}.new`, file);
}

/** The trees that other running controllers use. */
export async function othersUses(store: string): Promise<Set<string>> {
  const names = (await readdir(store)).filter((name) => name.endsWith("-trees") && isAnothers(name));
  const lists = await Promise.all(names.map((name) => readFile(join(store, name), "utf8").catch(() => "[]")));
  return new Set(lists.flatMap((text) => JSON.parse(text) as string[]));
}

function isAnothers(name: string): boolean {
  const id = Number(OF_A_PROCESS.exec(name)?.[1] ?? process.pid);
  if (id === process.pid) return false;
  try {
    process.kill(id, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
