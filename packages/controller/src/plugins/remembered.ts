// What names were resolved to before, for launches while the registry is away.
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PluginError, type Resolution } from "./resolve.ts";

/**
 * Resolves, and writes the answer down; where the registry does not answer, the one from before is taken.
 * @param folder where answers are kept
 */
export async function remembered(
  folder: string,
  entries: readonly string[],
  resolve: () => Promise<Resolution | undefined>,
): Promise<Resolution | undefined> {
  const key = createHash("sha256")
    .update(JSON.stringify([...entries].sort()))
    .digest("hex");
  const file = join(folder, `${key}.json`);
  try {
    const resolution = await resolve();
    if (resolution !== undefined) {
      await mkdir(folder, { recursive: true });
      await writeFile(`${file}.new`, JSON.stringify(resolution));
      await rename(`${file}.new`, file);
    }
    return resolution;
  } catch (error) {
    if (!(error instanceof PluginError) || error.failure.reason !== "PLUGIN_INSTALL_FAILED") throw error;
    const before = await readFile(file, "utf8").catch(() => undefined);
    if (before === undefined) throw error;
    return JSON.parse(before) as Resolution;
  }
}
