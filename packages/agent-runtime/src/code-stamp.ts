// Names the state of the runtime's code: it changes with Node, with the sources, and with what npm installed.
import { createHash } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { defaultElizaDir, runtimeProgram, sharedCode } from "./paths.ts";
import { codeFolders } from "./permissions.ts";

/** By sizes and times, which are read in milliseconds. */
export function codeStamp(): string {
  const folder = dirname(runtimeProgram);
  const sources = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => !name.endsWith(".test.ts"))
    .sort()
    .map((name) => join(folder, name));
  const installed = [...codeFolders(), defaultElizaDir].flatMap((modules) => [
    join(modules, ".package-lock.json"),
    join(modules, "node_modules", ".package-lock.json"),
  ]);
  const hash = createHash("sha256").update(`${process.version} ${process.arch}`);
  for (const file of [...sources, ...sharedCode, ...installed]) {
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat?.isFile()) hash.update(`${file} ${stat.size} ${stat.mtimeMs}\n`);
  }
  return hash.digest("hex");
}
