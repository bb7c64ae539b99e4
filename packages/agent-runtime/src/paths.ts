// Where the runtime's programs and folders are.

import { fileURLToPath } from "node:url";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** The program to run: `node <runtimeProgram>` with the environment described in this package's README. */
export const runtimeProgram = path("main.ts");

/** Code that the functions share with the runtime, and the manifest that says which kind of module it is. */
export const sharedCode = [
  "supabase/functions/_shared/addresses.ts",
  "supabase/functions/_shared/contract/blank.ts",
  "package.json",
].map((file) => path(`../../../${file}`));

/** Compiled code kept between starts, inside the package: a shared temporary folder could be written by others. */
export const compileCacheDir = path("../.cache/compile");

/** Where the optional elizaOS part is installed. */
export const defaultElizaDir = path("../eliza");
