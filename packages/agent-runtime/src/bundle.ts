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
 * @returns whether there is a bundle: without esbuild agents run from the sources, with more memory and a longer start
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

/** Of Node's own modules: what nothing needs before the first message. Crypto alone is 1.4 MB and 6 ms. */
const LATER = /^(node:)?(crypto|dns\/promises|timers\/promises)$/;

/**
 * A built-in module of Node's as one of ours: only the exports that somebody imports are read, and functions of a LATER module ask for it
 * when they are called.
 */
function builtInModule(path: string): string {
  const module = process.getBuiltinModule(path) as Record<string, unknown>;
  const asked = `process.getBuiltinModule(${JSON.stringify(path)})`;
  const isLater = (name: string) =>
    LATER.test(path) &&
    /^[a-z]/.test(name) &&
    typeof Object.getOwnPropertyDescriptor(module, name)?.value === "function";
  const exports = Object.keys(module)
    .filter((name) => name !== "default")
    .map((name) =>
      isLater(name)
        ? `export const ${name} = (...given) => ${asked}.${name}(...given);`
        : `export const ${name} = /* @__PURE__ */ (() => ${asked}.${name})();`,
    );
  return [...exports, `export default /* @__PURE__ */ ${asked};`].join("\n");
}

/**
 * Node's own modules, read by `process.getBuiltinModule`. An ECMAScript import reads every export of one, and `http` has WebSocket, `crypto`
 * has webcrypto: 5 MB and 30 ms of a replica that uses neither (findings/node-import-loads-lazy-exports.sh).
 */
const builtIns: Plugin = {
  name: "built-ins",
  setup(build) {
    build.onResolve({ filter: /^(node:)?[a-z_]+(\/[a-z_]+)*$/ }, ({ path, kind }) => {
      if (!isBuiltin(path)) return undefined;
      if (kind === "import-statement") return { path, namespace: "built-in" };
      return kind === "require-call" ? { path, namespace: "required" } : undefined;
    });
    build.onLoad({ filter: /./, namespace: "built-in" }, ({ path }) => ({ contents: builtInModule(path) }));
    build.onLoad({ filter: /./, namespace: "required" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

/**
 * The AI SDK brings Vercel's gateway for models that are only names. Ours are objects: 110 KB, and 1.3 MB of each agent after its first
 * message, that no call reaches.
 */
const noGateway: Plugin = {
  name: "no-gateway",
  setup(build) {
    build.onResolve({ filter: /^@ai-sdk\/gateway$/ }, ({ path }) => ({ path, namespace: "no-gateway" }));
    build.onLoad({ filter: /./, namespace: "no-gateway" }, () => ({
      contents: `
        export class GatewayError extends Error { static isInstance() { return false; } }
        export const GatewayAuthenticationError = GatewayError;
        const none = () => { throw new Error("This runtime calls no gateway: name a provider."); };
        export const gateway = none;
        export const createGateway = none;`,
    }));
  },
};

/**
 * All that the start needs in one file. Parts that are loaded later share it, and esbuild makes a file for each set of sharers: 17 files,
 * each found and read by itself. Where every later part claims the whole start, which is loaded by then, there is one set.
 */
const oneStart: Plugin = {
  name: "one-start",
  setup(build) {
    const whole = join(dirname(runtimeProgram), "run.ts");
    build.onResolve({ filter: /^\.\.?\// }, ({ path, kind, resolveDir }) => {
      const file = join(resolveDir, path);
      const isPart = kind === "dynamic-import" && file !== whole && resolveDir.startsWith(dirname(whole));
      return isPart ? { path: file, namespace: "part" } : undefined;
    });
    build.onLoad({ filter: /./, namespace: "part" }, ({ path }) => ({
      contents: `import ${JSON.stringify(whole)}; export * from ${JSON.stringify(path)};`,
      resolveDir: dirname(path),
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
  // Logged stacks name lines of the sources (stack.ts).
  sourcemap: "external",
  legalComments: "none",
  // Names stay: half a megabyte less of source text.
  minifyWhitespace: true,
  minifySyntax: true,
  plugins: [builtIns, smallZod, noGateway, oneStart],
  logLevel: "silent",
  write: false,
} satisfies BuildOptions & { write: false };
