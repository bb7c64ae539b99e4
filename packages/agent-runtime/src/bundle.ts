// Makes one program of the runtime's sources and packages: an agent that waits for messages loads a twentieth of them, and in a few files.
// Made where it is used and never committed; esbuild is a tool of the checkout, and images bring what it made.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { isBuiltin } from "node:module";
import { basename, dirname, join } from "node:path";
import type { BuildOptions, OnResolveArgs, OnResolveResult, OutputFile, Plugin } from "esbuild";
import { codeStamp } from "./code-stamp.ts";
import { bundledProgram, runtimeProgram } from "./paths.ts";
import { runFrom } from "./permissions.ts";

/** Files of an older bundle stay this long: an agent that started from it loads the rest with its first message. */
const KEPT_MS = 30 * 24 * 60 * 60 * 1000;

const STAMP = "built-from";

/**
 * Makes the bundle where the sources are newer than it; from then on {@link permittedCommand} runs it.
 * @returns whether there is a bundle: without esbuild agents run from the sources, which takes more memory and a longer start
 * @throws Error where the sources cannot be built, or the folder not written
 */
export async function bundleRuntime(): Promise<boolean> {
  making ??= make().finally(() => {
    making = undefined;
  });
  return await making;
}

let making: Promise<boolean> | undefined;

async function make(): Promise<boolean> {
  const folder = dirname(bundledProgram);
  const stamp = codeStamp();
  if (readStamp(folder) !== stamp) {
    const esbuild = await import("esbuild").catch(() => undefined);
    if (esbuild === undefined) return false;
    const { outputFiles } = await esbuild.build(OPTIONS);
    await esbuild.stop();
    write(folder, outputFiles, stamp);
  }
  runFrom(bundledProgram);
  return true;
}

function readStamp(folder: string): string | undefined {
  const file = join(folder, STAMP);
  return existsSync(file) && existsSync(bundledProgram) ? readFileSync(file, "utf8") : undefined;
}

/** Each file at once, the program after what it loads: others may build the same beside us, or start from it. */
function write(folder: string, files: readonly OutputFile[], stamp: string): void {
  mkdirSync(folder, { recursive: true });
  const put = (name: string, contents: Uint8Array | string) => {
    const made = join(folder, `${name}.${process.pid}`);
    writeFileSync(made, contents);
    renameSync(made, join(folder, name));
  };
  const named = files.map(({ path, contents }) => ({ name: basename(path), contents }));
  const program = basename(bundledProgram);
  for (const { name, contents } of named) if (name !== program) put(name, contents);
  // It names the others by their contents: one that is there already is the same bundle, and keeps its time.
  for (const { name, contents } of named)
    if (name === program && !isWritten(join(folder, name), contents)) put(name, contents);
  put(STAMP, stamp);
  const now = new Set([STAMP, ...named.map(({ name }) => name)]);
  for (const name of readdirSync(folder)) {
    const file = join(folder, name);
    const { mtimeMs = Number.POSITIVE_INFINITY } = statSync(file, { throwIfNoEntry: false }) ?? {};
    if (!now.has(name) && mtimeMs < Date.now() - KEPT_MS) rmSync(file, { force: true });
  }
}

function isWritten(file: string, contents: Uint8Array): boolean {
  try {
    return readFileSync(file).equals(contents);
  } catch {
    return false;
  }
}

/** zod brings its messages in forty languages; ours are English. */
const LANGUAGES = /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/;
const ENGLISH = 'export { default as en } from "./en.js";';

/** Of the packages' files: modules of the ordinary bundle, and those that only the start uses. */
const START = "start";

/**
 * What reads the configuration has its own small part of zod (`zod/mini`): shared with the packages that answer messages, all that they
 * use of it would be loaded before the first one.
 */
const smallZod: Plugin = {
  name: "small-zod",
  setup(build) {
    const find = async ({ path, resolveDir, kind }: OnResolveArgs): Promise<OnResolveResult> => {
      const found = await build.resolve(path, { resolveDir, kind, pluginData: START });
      return { path: found.path, namespace: START, sideEffects: found.sideEffects, errors: found.errors };
    };
    build.onResolve({ filter: /^zod\/mini$/ }, (asked) =>
      asked.pluginData === START ? undefined : find(asked),
    );
    build.onResolve({ filter: /./, namespace: START }, (asked) =>
      asked.pluginData === START ? undefined : find(asked),
    );
    build.onLoad({ filter: /./, namespace: START }, ({ path }) => ({
      contents: LANGUAGES.test(path) ? ENGLISH : readFileSync(path, "utf8"),
      resolveDir: dirname(path),
    }));
    build.onLoad({ filter: LANGUAGES }, ({ path }) => ({ contents: ENGLISH, resolveDir: dirname(path) }));
  },
};

/**
 * Node's own modules as `require` gives them. An ECMAScript import reads every export of one, and `http` has WebSocket, `crypto` has
 * webcrypto: 5 MB and 30 ms of a replica that uses neither (findings/node-import-loads-lazy-exports.sh).
 */
const builtIns: Plugin = {
  name: "built-ins",
  setup(build) {
    build.onResolve({ filter: /^(node:)?[a-z_]+(\/[a-z_]+)*$/ }, ({ path, kind }) =>
      kind === "import-statement" && isBuiltin(path) ? { path, namespace: "built-in" } : undefined,
    );
    build.onLoad({ filter: /./, namespace: "built-in" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

const OPTIONS = {
  entryPoints: [runtimeProgram],
  outdir: dirname(bundledProgram),
  outExtension: { ".js": ".mjs" },
  chunkNames: "[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node24",
  // A stack is told in lines of the sources (stack.ts).
  sourcemap: "external",
  legalComments: "none",
  // Names stay: half a megabyte less of source text.
  minifyWhitespace: true,
  minifySyntax: true,
  // For the packages that are CommonJS.
  banner: {
    js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);',
  },
  plugins: [builtIns, smallZod],
  logLevel: "silent",
  write: false,
} satisfies BuildOptions & { write: false };
