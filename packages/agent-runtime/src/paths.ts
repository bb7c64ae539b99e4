// Where the runtime's programs and folders are.

import { findPackageJSON } from "node:module";
import { dirname, join } from "node:path";

/** This package: its code is loaded from `src`, or from the bundle in `dist`. */
const folder = dirname(findPackageJSON(import.meta.url) ?? "");

/** The program in the sources: `node <runtimeProgram>` with the environment described in this package's README. */
export const runtimeProgram = join(folder, "src/main.ts");

/** The same program as one bundle (bundle.ts), where it was made. */
export const bundledProgram = join(folder, "dist/main.mjs");

/** Code that the functions share with the runtime, and the manifest that says which kind of module it is. */
export const sharedCode = [
  "supabase/functions/_shared/addresses.ts",
  "supabase/functions/_shared/contract/blank.ts",
  "package.json",
].map((file) => join(folder, "../..", file));

/** Compiled code kept between starts, inside the package: a shared temporary folder could be written by others. */
export const compileCacheDir = join(folder, ".cache/compile");

/** In a compile cache: the part that agents without plugins load, a tenth of its files. Each replica gets a link to each file. */
export const modelCacheOf = (cache: string): string => join(cache, "model");

/** Where the optional elizaOS part is installed. */
export const defaultElizaDir = join(folder, "eliza");
