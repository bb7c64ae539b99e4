// Compiled code of plugins, with the real runtime: who makes it, who may change it, and what becomes of code that was changed.
import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  type Stats,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  codeFolders,
  compileCacheDir,
  defaultElizaDir,
  permittedCommand,
  runtimeProgram,
} from "@agent-launchpad/agent-runtime";
import { type TestContext, test } from "vitest";
import { eventually } from "../../../../../tests/helpers/processes.ts";
import { createLog } from "../../log.ts";
import { LIST } from "../../plugins/file-list.ts";
import { temporaryFolder } from "../../testing/temporary.ts";
import { replicaAccounts } from "./accounts.ts";
import { compiledFor, fillCompileCache } from "./compile-cache.ts";
import { type CompileRunOptions, compileRun } from "./compile-run.ts";
import { CompiledTrees } from "./compiled-trees.ts";
import { Folders } from "./folders.ts";
import { endLeftovers } from "./leftover-processes.ts";

type Run = Parameters<ConstructorParameters<typeof CompiledTrees>[0]["run"]>;

const PLUGIN = "export default { name: 'my-tool', init() {} };\n";

/** A store with one tree, whose plugin has this source. */
function storeWith(context: TestContext, source: string, options: Partial<CompileRunOptions> = {}) {
  const folder = temporaryFolder(context);
  chmodSync(folder, 0o755);
  const store = join(folder, "store");
  const tree = join(store, "trees", "one");
  const plugin = join(tree, "node_modules", "my-tool");
  mkdirSync(plugin, { recursive: true });
  copyFileSync(join(defaultElizaDir, "load.mjs"), join(tree, "load.mjs"));
  writeFileSync(join(tree, "package.json"), JSON.stringify({ dependencies: { "my-tool": "1.0.0" } }));
  const manifest = { name: "my-tool", version: "1.0.0", type: "module", main: "index.js" };
  writeFileSync(join(plugin, "package.json"), JSON.stringify(manifest));
  writeFileSync(join(plugin, "index.js"), source);
  const said: string[] = [];
  const log = createLog((line) => said.push(line), "info");
  let runs = 0;
  const settings: CompileRunOptions = {
    command: ({ cacheDir, configFile, dataDir, readable = [] }) =>
      permittedCommand({ cacheDir, configFile, stateDir: dataDir, readable }),
    scratch: join(folder, "compile"),
    account: replicaAccounts([process.execPath, runtimeProgram, ...codeFolders(), folder], log),
    sharedCache: compileCacheDir,
    machineEnvironment: { PATH: process.env.PATH ?? "" },
    signal: context.signal,
    ...options,
  };
  /** As another controller process would open it. */
  const open = (run = (...args: Run) => compileRun(settings, ...args)) =>
    new CompiledTrees({
      store,
      log,
      run: async (...args) => {
        runs += 1;
        await run(...args);
      },
    });
  return { folder, store, tree, said, open, runs: () => runs };
}

test("compiled code of plugins is the controller's, read-only, and replicas get links to it", async (context) => {
  const { folder, tree, said, open } = storeWith(context, PLUGIN);
  const trees = open();
  assert.equal(trees.folder(tree), undefined);
  await trees.compile(tree, ["my-tool", "mcp:https://mcp.example.com/mcp", "@elizaos/plugin-web3"]);
  const compiled = trees.folder(tree);
  assert.ok(compiled, said.join(""));
  const [own] = compiledFor(compiled);
  assert.ok(own);
  const files = readdirSync(join(compiled, own.name));
  assert.ok(files.length > 0);
  assert.equal(statSync(compiled).mode & 0o777, 0o755);
  const cache = join(folder, "replica");
  fillCompileCache(compiled, cache, 0x7000_0001);
  for (const file of files) {
    const kept: Stats = statSync(join(compiled, own.name, file));
    assert.deepEqual([kept.uid, kept.mode & 0o777], [process.getuid?.(), 0o444]);
    assert.equal(statSync(join(cache, `${own.version}${0x7000_0001}`, file)).ino, kept.ino);
  }
  assert.ok(!existsSync(join(folder, "compile")), "what the run needed is gone");
  assert.deepEqual(readdirSync(join(folder, "store")).sort(), ["compiled", "trees"], "no draft is left");
});

test("code that another V8 compiled for the shared cache leaves nothing in a tree's", async (context) => {
  const shared = temporaryFolder(context);
  const other = join(shared, `v0.0.0-x64-other-${process.getuid?.()}`);
  mkdirSync(other);
  writeFileSync(join(other, "file"), "compiled");
  const { tree, open } = storeWith(context, PLUGIN, { sharedCache: shared });
  const trees = open();
  await trees.compile(tree, ["my-tool"]);
  const names = compiledFor(trees.folder(tree) ?? "").map(({ name }) => name);
  assert.equal(names.length, 1);
  assert.match(names[0] ?? "", new RegExp(`^${process.version}-`));
});

test("the code of a tree is compiled once, and a folder outside the store not at all", async (context) => {
  const { folder, tree, open, runs } = storeWith(context, PLUGIN);
  const trees = open();
  await Promise.all([trees.compile(tree, ["my-tool"]), trees.compile(tree, ["my-tool"])]);
  await open().compile(tree, ["my-tool"]);
  await trees.compile(join(folder, "elsewhere"), ["my-tool"]);
  assert.equal(runs(), 1);
});

test("while its code is compiled a plugin writes no compiled code and no tree, and starts no program", async (context) => {
  const { tree, said, open } = storeWith(
    context,
    `import { spawnSync } from "node:child_process";
    import { readdirSync, writeFileSync } from "node:fs";
    import { join } from "node:path";
    const cache = process.env.NODE_COMPILE_CACHE;
    const done = [];
    const attempt = (what, work) => { try { work(); done.push(what); } catch {} };
    attempt("cache", () => writeFileSync(join(cache, "x"), ""));
    for (const name of readdirSync(cache))
      attempt("its cache", () => writeFileSync(join(cache, name, "x"), ""));
    attempt("tree", () => writeFileSync(new URL("./x", import.meta.url), ""));
    attempt("program", () => spawnSync("true"));
    // Where one of them worked it never starts, and so nothing is kept.
    if (done.length > 0) await new Promise(() => setInterval(() => {}, 1000));
    ${PLUGIN}`,
    { limitMs: 30_000 },
  );
  const trees = open();
  await trees.compile(tree, ["my-tool"]);
  assert.ok(trees.folder(tree), said.join(""));
});

const changes: [what: string, change: (folder: string, file: string) => void][] = [
  ["longer", (_, file) => append(file)],
  [
    "of the same length and time",
    (_, file) => {
      const { atime, mtime } = statSync(file);
      const bytes = readFileSync(file);
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      rewrite(file, bytes);
      utimesSync(file, atime, mtime);
    },
  ],
  ["joined by another file", (_, file) => writeFileSync(`${file}0`, "")],
  ["without its list", (folder) => rewrite(join(folder, LIST), Buffer.from("{"))],
];
for (const [what, change] of changes) {
  test(`compiled code that is ${what} is linked for no replica, and is compiled again`, async (context) => {
    const { folder: scratch, tree, said, open: openWith, runs } = storeWith(context, PLUGIN);
    const cache = join(scratch, "cache");
    mkdirSync(join(cache, `v24.0.0-x64-aa-${process.getuid?.()}`), { recursive: true });
    writeFileSync(join(cache, `v24.0.0-x64-aa-${process.getuid?.()}`, "code"), "compiled");
    const open = () => openWith(async (...[, , keep]) => keep({ cache, uid: undefined, known: new Set() }));
    await open().compile(tree, ["my-tool"]);
    const trees = open();
    const folder = trees.folder(tree) ?? "";
    const [own] = compiledFor(folder);
    const [file] = readdirSync(join(folder, own?.name ?? ""));
    change(folder, join(folder, own?.name ?? "", file ?? ""));
    // The content is read once per process: this is one that has not read it.
    const next = what.includes("time") ? open() : trees;
    assert.equal(next.folder(tree), undefined);
    assert.match(said.join(""), /compiled code of plugins was altered and is removed/);
    assert.ok(!existsSync(folder));
    await next.compile(tree, ["my-tool"]);
    assert.ok(next.folder(tree));
    assert.equal(runs(), 2);
  });
}

test("a plugin that ends the runtime leaves what was compiled until then", async (context) => {
  const { tree, said, open } = storeWith(
    context,
    `${PLUGIN}process.exitCode = 3; throw new Error("no key");\n`,
  );
  const trees = open();
  await trees.compile(tree, ["my-tool"]);
  assert.ok(trees.folder(tree), said.join(""));
});

test("a plugin that never starts is ended, reported once, and not tried again", async (context) => {
  const { folder, tree, said, open, runs } = storeWith(
    context,
    `await new Promise(() => setInterval(() => {}, 1000));\n${PLUGIN}`,
    { limitMs: 500 },
  );
  const trees = open();
  await trees.compile(tree, ["my-tool"]);
  await trees.compile(tree, ["my-tool"]);
  assert.equal(trees.folder(tree), undefined);
  assert.equal(runs(), 1);
  assert.equal(said.filter((line) => line.includes("could not be compiled beforehand")).length, 1);
  assert.ok(!existsSync(join(folder, "compile")));
});

test("a run that a killed controller left, and whose plugin never rests, is ended by the next controller", async (context) => {
  const busy = 'import { writeFileSync } from "node:fs"; writeFileSync("busy", ""); while (true);';
  const { folder, tree, said, open } = storeWith(context, `${busy}\n${PLUGIN}`, { limitMs: 120_000 });
  const compiled = open().compile(tree, ["my-tool"]);
  await eventually("the plugin is busy", () => existsSync(join(folder, "compile", "data", "busy")));
  // As the next controller does when it starts; this one only waits for the process.
  await endLeftovers(
    new Folders(folder),
    createLog((line) => said.push(line), "info"),
  );
  await compiled;
  assert.match(said.join(""), /of an earlier controller did not end and was killed/);
});

function append(file: string): void {
  chmodSync(file, 0o644);
  appendFileSync(file, " ");
}

function rewrite(file: string, content: Buffer): void {
  chmodSync(file, 0o644);
  writeFileSync(file, content);
}
