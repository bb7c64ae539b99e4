// Whether `npm run install:eliza` installed the engine as this version of the product wants it.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defaultElizaDir } from "./paths.ts";

/** Compares what scripts/install.mjs wrote down with the lock file. */
export function installedEngine(folder: string = defaultElizaDir): boolean {
  try {
    const lock = readFileSync(join(folder, "package-lock.json"));
    const wanted = createHash("sha256")
      .update(lock)
      .update(process.platform)
      .update(process.arch)
      .digest("hex");
    return readFileSync(join(folder, "node_modules/.launchpad-installed"), "utf8") === wanted;
  } catch {
    return false;
  }
}
