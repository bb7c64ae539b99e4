// The plugin store with the real npm and a registry of this machine: names to versions, installs, and what goes wrong with them.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFile,
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, test } from "vitest";
import { createLog } from "../../packages/controller/src/log.ts";
import { machineNpm, type Npm, NpmError } from "../../packages/controller/src/plugins/npm.ts";
import { remembered } from "../../packages/controller/src/plugins/remembered.ts";
import { explainNpm, PluginError, resolvePlugins } from "../../packages/controller/src/plugins/resolve.ts";
import { PluginStore } from "../../packages/controller/src/plugins/store.ts";
import { type Tree, treeId } from "../../packages/controller/src/plugins/tree.ts";
import { startRegistry } from "../helpers/registry.ts";

const LOADER = join(import.meta.dirname, "../../packages/agent-runtime/eliza/load.mjs");
const core = (range: string) => ({ dependencies: { "@elizaos/core": range } });
/** name, version, what else its package.json says. */
const PACKAGES: [name: string, version: string, manifest?: object][] = [
  ["@elizaos/core", "1.7.2"],
  ["@elizaos/core", "2.0.0"],
  ["@elizaos/plugin-one", "1.0.0", core("^1.0.0")],
  ["@elizaos/plugin-one", "1.1.0", core("1.6.0")],
  ["@elizaos/plugin-one", "2.0.0", core("2.0.0")],
  ["@elizaos/plugin-two", "2.1.0", { peerDependencies: { "@elizaos/core": "^2.0.0" } }],
  ["@elizaos/plugin-tag", "1.4.0", core("latest")],
  ["@elizaos/plugin-tag", "2.0.0-alpha.11", core("alpha")],
  ["@elizaos/plugin-pre", "2.0.0-alpha.3", core("2.0.0-alpha.3")],
  ["tagged-tool", "3.0.0", core("latest")],
  ["@elizaos/plugin-node", "1.0.0", { engines: { node: ">=99" } }],
  ["shared", "1.0.0"],
  [
    "my-tool",
    "1.0.0",
    {
      dependencies: { shared: "^1.0.0" },
      scripts: { postinstall: "node -e \"require('fs').writeFileSync('ran','')\"" },
    },
  ],
  ["my-tool", "1.2.0", { dependencies: { shared: "^1.0.0" } }],
  ["other-tool", "1.0.0", { dependencies: { shared: "^1.0.0" } }],
  ["renaming-tool", "1.0.0", { dependencies: { harmless: "npm:shared@1.0.0" } }],
  ["path-tool", "1.0.0", { dependencies: { elsewhere: "file:./elsewhere" } }],
];

let folder: string;
let registry: Awaited<ReturnType<typeof startRegistry>>;
let npm: Npm;
let base: Tree;
const said: string[] = [];
const log = createLog((line) => said.push(line), "info");

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "plugin-store-"));
  const sources: string[] = [];
  for (const [name, version, manifest] of PACKAGES) {
    const source = join(folder, "sources", `${name.replace("/", "+")}-${version}`);
    await mkdir(source, { recursive: true });
    await writeFile(
      join(source, "package.json"),
      JSON.stringify({ name, version, type: "module", main: "index.js", license: "MIT", ...manifest }),
    );
    await writeFile(join(source, "index.js"), `export default { name: "${name}", version: "${version}" };\n`);
    sources.push(source);
  }
  registry = await startRegistry(join(folder, "archives"), sources);
  npm = npmOf("cache");
  const scratch = join(folder, "base");
  await mkdir(scratch);
  const manifest = { private: true, dependencies: { "@elizaos/core": "1.7.2" } };
  await writeFile(join(scratch, "package.json"), JSON.stringify(manifest));
  await npm.lock(scratch);
  base = { manifest, lock: JSON.parse(await readFile(join(scratch, "package-lock.json"), "utf8")) };
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** npm with the registry of this file, and a cache of its own. */
const npmOf = (cache: string) =>
  machineNpm({
    ...process.env,
    npm_config_registry: registry.url,
    npm_config_cache: join(folder, cache),
    npm_config_userconfig: join(folder, "no-npmrc"),
    npm_config_fetch_retries: "0",
  });

const resolve = async (entries: string[], by = npm) => {
  await mkdir(join(folder, "scratch"), { recursive: true });
  return resolvePlugins(entries, {
    npm: by,
    base,
    scratch: join(folder, "scratch"),
    runtime: pathToFileURL(join(folder, "nowhere.js")).href,
    node: process.versions.node,
  });
};
const failureOf = async (work: Promise<unknown>) => {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof PluginError, String(error));
    return error.failure;
  }
  throw new Error("it did not fail");
};
const openStore = async (name: string, by = npm) => {
  const store = new PluginStore({ folder: join(folder, name), npm: by, log, loader: LOADER });
  await store.open();
  return store;
};

describe("names to versions", () => {
  const cases: [entry: string, version: string][] = [
    ["my-tool", "1.2.0"],
    ["my-tool@1.0.0", "1.0.0"],
    ["my-tool@^1", "1.2.0"],
    ["my-tool@~1.0", "1.0.0"],
    ["my-tool@latest", "1.2.0"],
    // Its newest is for elizaOS 2: without a version the newest that fits is meant.
    ["@elizaos/plugin-one", "1.1.0"],
    ["@elizaos/plugin-one@1.0.0", "1.0.0"],
    // Its newest says "alpha", and is one of elizaOS 2 by its own version.
    ["@elizaos/plugin-tag", "1.4.0"],
    ["tagged-tool", "3.0.0"],
  ];
  for (const [entry, version] of cases) {
    test(`${entry} is ${version}`, async () => {
      const found = await resolve([entry]);
      assert.equal(found?.plugins[0]?.version, version);
      assert.match(found?.plugins[0]?.integrity ?? "", /^sha512-/);
    });
  }

  test("a plugin of elizaOS brings the engine, with one core alone", async () => {
    const found = await resolve(["@elizaos/plugin-one@1.1.0", "my-tool"]);
    assert.equal(found?.engine, "elizaos@1.7.2");
    const cores = found?.packages.filter((entry) => entry.package === "@elizaos/core");
    assert.deepEqual(
      cores?.map(({ version }) => version),
      ["1.7.2"],
    );
    assert.equal((await resolve(["my-tool"]))?.engine, "model");
  });

  test("an MCP server needs nothing installed, and no registry", async () => {
    registry.asked.length = 0;
    assert.equal(await resolve(["mcp:https://mcp.example.com/mcp#TOKEN"]), undefined);
    assert.deepEqual(registry.asked, []);
    const found = await resolve(["my-tool", "mcp:https://mcp.example.com/@scope/x"]);
    assert.deepEqual(
      found?.plugins.map(({ name }) => name),
      ["my-tool"],
    );
  });

  test("what the runtime brings needs nothing installed", async () => {
    assert.equal(await resolve(["@elizaos/plugin-web3", "@elizaos/plugin-supabase"]), undefined);
  });

  const failures: [entry: string, reason: string, message: RegExp][] = [
    ["@elizaos/plugin-discrod", "PLUGIN_NOT_FOUND", /plugin-discrod.*Did you mean @elizaos\/plugin-discord/],
    ["my-tool@^9", "PLUGIN_NOT_FOUND", /my-tool has no version \^9 .* such as 1\.2\.0\.$/],
    ["my-tool@1.1.0", "PLUGIN_NOT_FOUND", /has no version 1\.1\.0 .* such as 1\.2\.0, 1\.0\.0\.$/],
    ["my-tool@nightly", "PLUGIN_NOT_FOUND", /has no tag nightly .* such as 1\.2\.0\.$/],
    ["@elizaos/plugin-pre@1.0.0", "PLUGIN_NOT_FOUND", /such as 2\.0\.0-alpha\.3\.$/],
    // 2.0.0 is there, and is for another elizaOS.
    ["@elizaos/plugin-one@99", "PLUGIN_NOT_FOUND", /such as 1\.1\.0\.$/],
    ["no-such-tool@1.0.0", "PLUGIN_NOT_FOUND", /no-such-tool@1\.0\.0 is not in the registry/],
    [
      "@elizaos/plugin-one@2.0.0",
      "PLUGIN_INCOMPATIBLE",
      /needs elizaOS 2\.0\.0, and agents run on 1\.7\.2\. Name @elizaos\/plugin-one@1\.1\.0, the newest that fits/,
    ],
    [
      "@elizaos/plugin-tag@2.0.0-alpha.11",
      "PLUGIN_INCOMPATIBLE",
      /needs elizaOS alpha.* Name @elizaos\/plugin-tag@1\.4\.0,/,
    ],
    [
      "@elizaos/plugin-two",
      "PLUGIN_INCOMPATIBLE",
      /plugin-two@2\.1\.0 needs elizaOS \^2.* No version of it fits: remove it/,
    ],
    [
      "@elizaos/plugin-pre@2.0.0-alpha.3",
      "PLUGIN_INCOMPATIBLE",
      /needs elizaOS 2\.0\.0-alpha\.3.* No version of it fits/,
    ],
    ["@elizaos/plugin-node", "PLUGIN_INCOMPATIBLE", /needs Node >=99/],
  ];
  for (const [entry, reason, message] of failures) {
    test(`${entry} is ${reason}`, async () => {
      const failure = await failureOf(resolve([entry]));
      assert.equal(failure.reason, reason);
      assert.match(failure.message, message);
    });
  }

  test("a registry that is down is PLUGIN_INSTALL_FAILED with the cure; names that were resolved before still work", async () => {
    const kept = join(folder, "kept");
    const before = await remembered(kept, ["my-tool"], () => resolve(["my-tool"]));
    registry.fault = "away";
    try {
      const failure = await failureOf(resolve(["my-tool"], npmOf("empty")));
      assert.equal(failure.reason, "PLUGIN_INSTALL_FAILED");
      assert.match(failure.message, /Check the registry/);
      const again = await remembered(kept, ["my-tool"], () => resolve(["my-tool"], npmOf("empty")));
      assert.equal(again?.id, before?.id);
    } finally {
      registry.fault = "none";
    }
  });

  test("launches at once look names up once", async () => {
    const kept = join(folder, "kept-at-once");
    let looked = 0;
    const look = () => {
      looked += 1;
      return resolve(["my-tool"]);
    };
    const found = await Promise.all([1, 2, 3].map(() => remembered(kept, ["my-tool"], look)));
    assert.equal(new Set(found.map((one) => one?.id)).size, 1);
    assert.equal(looked, 1);
    assert.equal((await readdir(kept)).length, 1);
  });

  test("a package under another folder's name is scanned under its own", async () => {
    const found = await resolve(["renaming-tool"]);
    assert.deepEqual(found?.packages.map((one) => one.package).sort(), ["renaming-tool", "shared"]);
  });

  test("a package that comes from a path is refused", async () => {
    const { message, reason } = await failureOf(resolve(["path-tool"]));
    assert.equal(reason, "PLUGIN_NOT_ALLOWED");
    assert.match(message, /elsewhere from a git address or a path/);
  });

  test("a full disk is told with the cure", () => {
    const { reason, message } = explainNpm(
      new NpmError("ENOSPC", "no space left on device, write"),
      "my-tool",
    );
    assert.equal(reason, "PLUGIN_INSTALL_FAILED");
    assert.match(message, /make room/);
  });
});

describe("the store", () => {
  const treeOf = async (entry: string) => {
    const found = await resolve([entry]);
    assert.ok(found);
    return found;
  };
  const provide = (store: PluginStore, { id, tree }: { id: string; tree: Tree }) =>
    store.provide(id, async () => tree);

  test("launches at once install once, without scripts, and get the same folder", async () => {
    const store = await openStore("once", npmOf("cache-once"));
    const found = await treeOf("my-tool@1.0.0");
    registry.asked.length = 0;
    const folders = await Promise.all([1, 2, 3, 4].map(() => provide(store, found)));
    assert.equal(new Set(folders).size, 1);
    assert.equal(registry.asked.filter((path) => path.includes("my-tool-1.0.0.tgz")).length, 1);
    const [at = ""] = folders;
    assert.deepEqual((await readdir(join(at, "node_modules/my-tool"))).sort(), ["index.js", "package.json"]);
    const { load } = await import(pathToFileURL(join(at, "load.mjs")).href);
    assert.equal((await load("my-tool")).default.version, "1.0.0");
  });

  test("files are read-only, and one copy for all trees that have them", async () => {
    const store = await openStore("shared");
    const [one, other] = [
      await provide(store, await treeOf("my-tool")),
      await provide(store, await treeOf("other-tool")),
    ];
    const [a, b] = [
      await stat(join(one, "node_modules/shared/index.js")),
      await stat(join(other, "node_modules/shared/index.js")),
    ];
    assert.equal(a.ino, b.ino);
    assert.equal(a.mode & 0o222, 0);
  });

  test("works while the registry is down, once it is there", async () => {
    const store = await openStore("offline");
    const found = await treeOf("my-tool");
    await provide(store, found);
    registry.fault = "away";
    try {
      const later = await openStore("offline", npmOf("empty-2"));
      assert.match(await provide(later, found), /offline/);
    } finally {
      registry.fault = "none";
    }
  });

  for (const [what, alter] of [
    ["content", (file: string) => appendFile(file, "// more\n")],
    [
      "content of the same size and time",
      async (file: string) => {
        const { atime, mtime } = await stat(file);
        const text = await readFile(file, "utf8");
        await writeFile(file, text.replace("export", "EXPORT"));
        const { utimes } = await import("node:fs/promises");
        await utimes(file, atime, mtime);
      },
    ],
    ["a file more", (file: string) => writeFile(`${file}.more.js`, "")],
    ["a file less", (file: string) => rm(file)],
    ["a link more", (file: string) => symlink(tmpdir(), `${file}.link`)],
  ] as [string, (file: string) => Promise<void>][]) {
    test(`altered by hand (${what}): never used, installed again`, async () => {
      const name = `altered-${what.replaceAll(" ", "-")}`;
      const found = await treeOf("my-tool");
      const at = await provide(await openStore(name), found);
      const file = join(at, "node_modules/my-tool/index.js");
      await chmod(file, 0o644);
      await alter(file);
      said.length = 0;
      // A new controller: it reads every file once.
      const again = await provide(await openStore(name), found);
      assert.match(said.join("\n"), /altered/);
      assert.match(
        await readFile(join(again, "node_modules/my-tool/index.js"), "utf8"),
        /^export default .*1\.2\.0/,
      );
      assert.deepEqual(await readdir(join(again, "node_modules/my-tool")), ["index.js", "package.json"]);
    });
  }

  test("content of another integrity is refused, and nothing half is left", async () => {
    const found = await treeOf("other-tool");
    const store = await openStore("integrity", npmOf("cache-integrity"));
    registry.fault = "altered";
    try {
      await assert.rejects(provide(store, found), (error: NpmError) => {
        assert.equal(error.code, "EINTEGRITY");
        assert.equal(explainNpm(error, "other-tool").reason, "PLUGIN_INSTALL_FAILED");
        return true;
      });
    } finally {
      registry.fault = "none";
    }
    assert.deepEqual(await readdir(join(folder, "integrity/trees")), []);
    assert.deepEqual(
      (await readdir(join(folder, "integrity"))).filter((name) => name.startsWith(".")),
      [],
    );
    await provide(store, found);
  });

  test("an install that is broken off leaves nothing half; what a killed controller left goes at the next start", async () => {
    const hangs: Npm = {
      ...npm,
      install: (_, signal) =>
        new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason))),
    };
    const store = await openStore("broken", hangs);
    const found = await treeOf("my-tool");
    const work = assert.rejects(provide(store, found));
    while (store.progress(found.id) === undefined) await new Promise((done) => setImmediate(done));
    assert.match(store.progress(found.id) ?? "", /0 of 2 packages \(0 MB\), 2 left/);
    await store.close();
    await work;
    assert.deepEqual(await readdir(join(folder, "broken/trees")), []);
    await cp(
      join(folder, "shared/trees", (await readdir(join(folder, "shared/trees")))[0] ?? ""),
      join(folder, "broken/.install-x"),
      { recursive: true },
    );
    await openStore("broken");
    assert.deepEqual((await readdir(join(folder, "broken"))).sort(), ["files", "trees"]);
  });

  test("what no revision names goes, with the files that no other tree has; what is named or new stays", async () => {
    const store = await openStore("collected");
    const [one, other] = [await treeOf("my-tool"), await treeOf("other-tool")];
    await provide(store, one);
    const at = await provide(store, other);
    const compiled = join(folder, "collected/compiled");
    // The last one's tree went before, when a controller was killed between the two.
    for (const id of [one.id, other.id, "gone"]) await mkdir(join(compiled, id, "v1"), { recursive: true });
    const now = Date.now();
    assert.deepEqual(await store.collect(new Set(), now), []);
    assert.deepEqual((await readdir(compiled)).sort(), [one.id, other.id].sort());
    assert.deepEqual(await store.collect(new Set([other.id]), now + 7_200_000), [one.id]);
    assert.deepEqual(await readdir(join(folder, "collected/trees")), [other.id]);
    assert.deepEqual(await readdir(compiled), [other.id]);
    const left = (
      await readdir(join(folder, "collected/files"), { recursive: true, withFileTypes: true })
    ).filter((entry) => entry.isFile());
    const files = (await readdir(at, { recursive: true, withFileTypes: true })).filter((entry) =>
      entry.isFile(),
    );
    // The list of files itself is no shared file.
    assert.ok(left.length > 0 && left.length <= files.length - 1);
  });

  test("a rollback after collecting installs the same bytes again, and no others", async () => {
    const store = await openStore("rolled-back", npmOf("cache-rolled-back"));
    const found = await treeOf("my-tool@1.0.0");
    const list = async (at: string) =>
      (
        JSON.parse(await readFile(join(at, ".launchpad-files.json"), "utf8")) as [
          string,
          number,
          number,
          string,
        ][]
      )
        // npm's note of what is installed has the time in it.
        .filter(([path]) => path !== "node_modules/.package-lock.json")
        .map(([path, size, , sum]) => [path, size, sum])
        .sort();
    const before = await list(await provide(store, found));
    assert.deepEqual(await store.collect(new Set(), Date.now() + 7_200_000), [found.id]);
    assert.deepEqual(await readdir(join(folder, "rolled-back/trees")), []);

    registry.fault = "altered";
    const other = await openStore("rolled-back", npmOf("cache-rolled-back-2"));
    await assert.rejects(provide(other, found), (error: unknown) => {
      assert.ok(error instanceof NpmError);
      assert.equal(error.code, "EINTEGRITY");
      return true;
    });
    registry.fault = "none";
    assert.deepEqual(await list(await provide(other, found)), before);
  });

  test("two controllers with one store: neither removes what the other makes or uses; both may install the same", async () => {
    const found = await treeOf("my-tool");
    const store = await openStore("two");
    const other = spawn(process.execPath, ["-e", "process.stdin.resume()"], {
      stdio: ["pipe", "ignore", "ignore"],
    });
    try {
      const at = join(folder, "two");
      const draft = join(at, `.install-${other.pid}-x`);
      await mkdir(draft);
      await openStore("two");
      await stat(draft);
      // The other one is faster.
      const slow: Npm = {
        ...npm,
        install: async (place, signal) => {
          await npm.install(place, signal);
          await provide(store, found);
        },
      };
      await provide(await openStore("two", slow), found);
      await writeFile(join(at, `.uses-${other.pid}-trees`), JSON.stringify([found.id]));
      const later = Date.now() + 7_200_000;
      assert.deepEqual(await store.collect(new Set(), later), []);
      other.kill();
      await once(other, "exit");
      assert.deepEqual(await store.collect(new Set(), later), [found.id]);
      await openStore("two");
      await assert.rejects(stat(draft));
    } finally {
      other.kill();
    }
  });

  test("a tree has the same id in whatever order its fields come", () => {
    const turned = JSON.parse(JSON.stringify(base), (_, value) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).reverse())
        : value,
    );
    assert.notEqual(JSON.stringify(turned), JSON.stringify(base));
    assert.equal(treeId(turned), treeId(base));
  });
});
