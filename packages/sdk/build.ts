/**
 * Builds the package as it is published, into a folder of its own: ES modules, CommonJS, types, package.json, README.
 *   node packages/sdk/build.ts [folder]      default: packages/sdk/dist
 *   npm publish packages/sdk/dist
 * Inside the repository the source is used as it is; nothing here needs the build.
 */
import { spawnSync } from "node:child_process";
import { cpSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { buildSync } from "esbuild";

const here = import.meta.dirname;
const root = resolve(here, "../..");
const entry = join(here, "src/index.ts");
const TARGET = "es2022";

/** No Node types and no newer library than the oldest supported runtimes have: what compiles runs in a browser. */
const compilerOptions = [
  "--ignoreConfig",
  ...["--target", TARGET, "--lib", `${TARGET},dom,dom.iterable`, "--types", ""],
  ...["--module", "esnext", "--moduleResolution", "bundler", "--allowImportingTsExtensions"],
  ...[
    "--strict",
    "--skipLibCheck",
    "--declaration",
    "--emitDeclarationOnly",
    "--noEmitOnError",
    "--stripInternal",
  ],
];

/**
 * Builds the package.
 * @param out the folder to make; what is in it goes
 */
export function build(out: string): void {
  rmSync(out, { recursive: true, force: true });
  bundle("esm", out);
  bundle("cjs", out);
  declare(join(out, "cjs"));
  // One set of types serves both: what an ES module takes from CommonJS types has the same names.
  writeFileSync(join(out, "esm/index.d.ts"), 'export * from "../cjs/index.js";\n');
  writeFileSync(join(out, "cjs/package.json"), '{ "type": "commonjs" }\n');
  writeFileSync(join(out, "package.json"), `${JSON.stringify(manifest(), null, 2)}\n`);
  cpSync(join(here, "README.md"), join(out, "README.md"));
  cpSync(join(root, "LICENSE"), join(out, "LICENSE"));
}

/** One file; names stay, so that stack traces can be read. */
function bundle(format: "esm" | "cjs", out: string): void {
  buildSync({
    entryPoints: [entry],
    outfile: join(out, format, "index.js"),
    bundle: true,
    format,
    platform: "neutral",
    target: TARGET,
    charset: "utf8",
    minifySyntax: true,
    minifyWhitespace: true,
    logLevel: "warning",
  });
}

function declare(out: string): void {
  const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, ...compilerOptions, "--outDir", out, entry], {
    cwd: here,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`tsc failed:\n${stdout}`);
  const reached = pointToOutput(out, "index.d.ts");
  for (const file of globSync("**/*.d.ts", { cwd: out })) if (!reached.has(file)) rmSync(join(out, file));
}

/** tsc writes `./x.ts` in declarations. Returns the files that can be reached from one; others are nobody's. */
function pointToOutput(folder: string, file: string, reached = new Set<string>()): Set<string> {
  if (reached.has(file)) return reached;
  reached.add(file);
  const text = readFileSync(join(folder, file), "utf8");
  const specifier = /(from |import\()"(\.{1,2}\/[^"]+)\.ts"/g;
  for (const [, , path] of text.matchAll(specifier)) {
    pointToOutput(folder, join(dirname(file), `${path}.d.ts`), reached);
  }
  writeFileSync(join(folder, file), text.replaceAll(specifier, '$1"$2.js"'));
  return reached;
}

function manifest(): Record<string, unknown> {
  const { name, version, description, license, peerDependencies, engines, keywords } = JSON.parse(
    readFileSync(join(here, "package.json"), "utf8"),
  ) as Record<string, unknown>;
  const files = (folder: string) => ({ types: `./${folder}/index.d.ts`, default: `./${folder}/index.js` });
  return {
    name,
    version,
    description,
    keywords,
    license,
    type: "module",
    engines,
    sideEffects: false,
    main: "./cjs/index.js",
    module: "./esm/index.js",
    types: "./cjs/index.d.ts",
    exports: {
      ".": { import: files("esm"), require: files("cjs") },
      "./package.json": "./package.json",
    },
    peerDependencies,
  };
}

if (import.meta.main) build(resolve(process.argv[2] ?? join(here, "dist")));
