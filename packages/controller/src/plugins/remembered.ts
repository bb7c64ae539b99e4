// What names were resolved to before, for launches while the registry is down.
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PluginError, type Resolution } from "./resolve.ts";

/** Look-ups under way, by their file. */
const under = new Map<string, Promise<Resolution | undefined>>();

/**
 * Resolves, once for all who ask at the same time, and writes the answer down; where the registry does not answer, the one
 * from before is taken.
 * @param folder where answers are kept
 */
export function remembered(
  folder: string,
  entries: readonly string[],
  resolve: () => Promise<Resolution | undefined>,
): Promise<Resolution | undefined> {
  const key = createHash("sha256")
    .update(JSON.stringify([...entries].sort()))
    .digest("hex");
  const file = join(folder, `${key}.json`);
  const work = under.get(file) ?? lookUp(file, folder, resolve).finally(() => under.delete(file));
  under.set(file, work);
  return work;
}

async function lookUp(
  file: string,
  folder: string,
  resolve: () => Promise<Resolution | undefined>,
): Promise<Resolution | undefined> {
  try {
    const resolution = await resolve();
    if (resolution !== undefined) await keep(file, folder, resolution);
    return resolution;
  } catch (error) {
    if (!(error instanceof PluginError) || error.failure.reason !== "PLUGIN_INSTALL_FAILED") throw error;
    const before = await readFile(file, "utf8").catch(() => undefined);
    if (before === undefined) throw error;
    try {
      return JSON.parse(before) as Resolution;
    } catch {
      // Altered by hand: as if there were none.
      throw error;
    }
  }
}

/** Under a name of its own first: another process may write the same at the same time. */
async function keep(file: string, folder: string, resolution: Resolution): Promise<void> {
  await mkdir(folder, { recursive: true });
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeFile(draft, JSON.stringify(resolution));
    await rename(draft, file);
  } finally {
    await rm(draft, { force: true });
  }
}
