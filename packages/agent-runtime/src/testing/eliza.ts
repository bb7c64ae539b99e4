// An optional part for tests: the real elizaOS, with packages of the test's own beside it.
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { defaultElizaDir } from "../paths.ts";

const installed = existsSync(join(defaultElizaDir, "node_modules/@elizaos/core/package.json"));

/** Why a test of elizaOS cannot run here; false where it can. */
export const skipEliza = installed ? false : "the elizaOS engine is not installed: npm run install:eliza";

/** A package of a test: its module, and what its package.json says besides. */
export interface TestPackage {
  readonly module: string;
  readonly manifest?: Record<string, unknown>;
}

/** Makes a folder for AGENT_ELIZA_DIR; it goes with the test. */
export function makeElizaPart(packages: Readonly<Record<string, TestPackage>>): Disposable & {
  readonly folder: string;
} {
  const folder = mkdtempSync(join(tmpdir(), "agent-eliza-part-"));
  for (const file of ["package.json", "load.mjs"]) cpSync(join(defaultElizaDir, file), join(folder, file));
  const modules = join(folder, "node_modules");
  mkdirSync(modules);
  if (installed) symlinkSync(join(defaultElizaDir, "node_modules/@elizaos"), join(modules, "@elizaos"));
  for (const [name, { module, manifest }] of Object.entries(packages)) {
    const file = join(modules, name, "index.js");
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, module);
    const dependencies = { "@elizaos/core": "^1.0.0" };
    writeFileSync(
      join(modules, name, "package.json"),
      JSON.stringify({ name, version: "1.0.0", type: "module", main: "index.js", dependencies, ...manifest }),
    );
  }
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
