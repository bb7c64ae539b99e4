// Plugin sets from the registry to a pod's volume: the controller's store with the real npm, its door, and the init step.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, realpathSync } from "node:fs";
import { appendFile, chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type FetchOptions, fetchSet, SetError } from "../../packages/agent-runtime/src/plugin-set/fetch.ts";
import { createLog } from "../../packages/controller/src/log.ts";
import { machineNpm, type Npm, NpmError } from "../../packages/controller/src/plugins/npm.ts";
import { type Resolution, resolvePlugins } from "../../packages/controller/src/plugins/resolve.ts";
import { createSetServer, setKey } from "../../packages/controller/src/plugins/set-server.ts";
import { SetStore } from "../../packages/controller/src/plugins/set-store.ts";
import { type Tree, treeId } from "../../packages/controller/src/plugins/tree.ts";
import { eventually } from "../helpers/processes.ts";
import { startRegistry } from "../helpers/registry.ts";

const ELIZA = join(import.meta.dirname, "../../packages/agent-runtime/eliza");
const SECRET = "the-secret-of-an-installation";
const MOST = 64 * 1024 ** 2;
const PACKAGES: [name: string, version: string, manifest?: object][] = [
  ["shared", "1.0.0"],
  ["shared", "2.0.0"],
  ["my-tool", "1.0.0", { dependencies: { shared: "^1.0.0" } }],
  ["other-tool", "1.0.0", { dependencies: { shared: "^2.0.0", again: "npm:shared@1.0.0" } }],
  ["@a/b-c", "1.0.0"],
];

let folder: string;
let registry: Awaited<ReturnType<typeof startRegistry>>;
let npm: Npm;
let tool: Resolution;
let both: Resolution;
const trees = new Map<string, Tree>();
const said: string[] = [];
const log = createLog((line) => said.push(line), "info");
const ends: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "plugin-sets-"));
  const sources: string[] = [];
  for (const [name, version, manifest] of PACKAGES) {
    const source = join(folder, "sources", `${name.replace("/", "+")}-${version}`);
    await mkdir(source, { recursive: true });
    const words = { name, version, type: "module", main: "index.js", license: "MIT", ...manifest };
    await writeFile(join(source, "package.json"), JSON.stringify(words));
    await writeFile(join(source, "index.js"), `export default { name: "${name}", version: "${version}" };\n`);
    sources.push(source);
  }
  registry = await startRegistry(join(folder, "archives"), sources);
  npm = machineNpm({
    ...process.env,
    npm_config_registry: registry.url,
    npm_config_cache: join(folder, "cache"),
    npm_config_userconfig: join(folder, "no-npmrc"),
    npm_config_fetch_retries: "0",
  });
  tool = await resolve(["my-tool"]);
  both = await resolve(["my-tool", "other-tool", "@a/b-c"]);
});
afterAll(async () => {
  for (const end of ends) await end();
  await registry?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function resolve(entries: string[]): Promise<Resolution> {
  const scratch = await mkdtemp(join(folder, "scratch-"));
  const base = { manifest: {}, lock: { packages: {} } };
  const runtime = pathToFileURL(join(folder, "nowhere.js")).href;
  const found = await resolvePlugins(entries, { npm, base, scratch, runtime, node: process.versions.node });
  assert.ok(found);
  trees.set(found.id, found.tree);
  return found;
}

interface Controller {
  store: SetStore;
  folder: string;
  url(agentId?: string): string;
}

/** A controller's store and door, empty unless its folder is not. */
async function startController(
  options: { folder?: string; maxBytes?: number; by?: Npm } = {},
): Promise<Controller> {
  const at = options.folder ?? (await mkdtemp(join(folder, "store-")));
  const store = new SetStore({ folder: at, npm: options.by ?? npm, log, maxBytes: options.maxBytes ?? MOST });
  await store.open();
  const database = {
    tree: async (id: string) => {
      const tree = trees.get(id);
      if (tree === undefined) throw new Error("plugin_tree: 404");
      return tree;
    },
  };
  const server: Server = createSetServer({ secret: SECRET, store, database, log });
  await once(server.listen(0, "127.0.0.1"), "listening");
  ends.push(async () => {
    server.closeAllConnections();
    server.close();
    await store.close();
  });
  const { port } = server.address() as AddressInfo;
  return { store, folder: at, url: (agentId = "ada") => `http://127.0.0.1:${port}/agents/${agentId}/sets` };
}

/** What a pod does, with short waits. */
async function fetchInto(controller: Controller, set: string, part: Partial<FetchOptions> = {}) {
  const pod = part.folder ?? (await mkdtemp(join(folder, "pod-")));
  const how = await fetchSet({
    url: controller.url(),
    key: setKey(SECRET, "ada", set),
    set,
    folder: pod,
    limit: MOST,
    eliza: ELIZA,
    patienceMs: 5000,
    wait: (milliseconds) => new Promise((resolve) => setTimeout(resolve, Math.min(milliseconds, 50))),
    ...part,
  });
  return { how, pod };
}

const versionOf = async (tree: string, name: string) =>
  JSON.parse(await readFile(join(tree, "node_modules", name, "package.json"), "utf8")).version;
const archivesOf = (controller: Controller) => readdir(join(controller.folder, "archives"));

describe("a set on its way to a pod", () => {
  test("has the packages of the lock file, each in its place, and can be loaded", async () => {
    const controller = await startController();
    await controller.store.provide(both.id, async () => both.tree);
    const { how, pod } = await fetchInto(controller, both.id);
    assert.equal(how, "fetched");
    const tree = join(pod, "tree");
    assert.equal(await versionOf(tree, "my-tool"), "1.0.0");
    const folders = Object.keys(both.tree.lock.packages).filter((path) => path !== "");
    for (const path of folders) assert.ok(existsSync(join(tree, path, "index.js")), path);
    assert.equal(folders.length, 6, "one archive stands in two folders: two names of one package");
    assert.equal((await archivesOf(controller)).length, 5);
    const { load } = await import(pathToFileURL(join(tree, "load.mjs")).href);
    assert.equal((await load("@a/b-c")).default.name, "@a/b-c");
    assert.deepEqual(await readdir(pod), ["tree"]);
  });

  test("a step that runs again in the same pod asks for nothing", async () => {
    const controller = await startController();
    const { pod } = await fetchInto(controller, tool.id);
    const send = () => assert.fail("it asked");
    assert.equal((await fetchInto(controller, tool.id, { folder: pod, send })).how, "there");
  });

  test("what an interrupted step left half is not used", async () => {
    const controller = await startController();
    const pod = await mkdtemp(join(folder, "pod-"));
    await mkdir(join(pod, "draft/node_modules/my-tool"), { recursive: true });
    await writeFile(join(pod, "draft/node_modules/my-tool/left.js"), "");
    await fetchInto(controller, tool.id, { folder: pod });
    assert.ok(!existsSync(join(pod, "tree/node_modules/my-tool/left.js")));
  });

  test("two controllers serve the same bytes, also one that has nothing yet", async () => {
    const [one, other] = [await startController(), await startController()];
    await one.store.provide(tool.id, async () => tool.tree);
    await fetchInto(other, tool.id);
    assert.equal(await one.store.lockOf(tool.id), await other.store.lockOf(tool.id));
    assert.deepEqual((await archivesOf(one)).sort(), (await archivesOf(other)).sort());
  });

  test("a controller that restarts with an empty volume fetches the set again, days later too", async () => {
    const before = await startController();
    await fetchInto(before, tool.id);
    const again = await startController();
    const asked = registry.asked.length;
    assert.equal((await fetchInto(again, tool.id)).how, "fetched");
    assert.ok(registry.asked.length > asked);
  });

  test("a controller that restarts with its volume needs no registry", async () => {
    const before = await startController();
    await before.store.provide(tool.id, async () => tool.tree);
    registry.fault = "away";
    try {
      const after = await startController({ folder: before.folder });
      assert.equal((await fetchInto(after, tool.id)).how, "fetched");
    } finally {
      registry.fault = "none";
    }
  });

  test("an image that was built with these packages needs none", async () => {
    const controller = await startController();
    const eliza = join(folder, "image");
    await mkdir(join(eliza, "node_modules/@elizaos/core"), { recursive: true });
    await writeFile(join(eliza, "node_modules/@elizaos/core/package.json"), "{}");
    await writeFile(join(eliza, "package-lock.json"), JSON.stringify(tool.tree.lock));
    const { how, pod } = await fetchInto(controller, tool.id, { eliza });
    assert.equal(how, "image");
    assert.ok(existsSync(join(pod, "tree/node_modules/@elizaos/core/package.json")));
    await cp(join(ELIZA, "load.mjs"), join(eliza, "load.mjs"));
    await writeFile(join(eliza, "package-lock.json"), JSON.stringify(both.tree.lock));
    assert.equal((await fetchInto(controller, tool.id, { eliza })).how, "fetched");
  });
});

describe("faults on the way", () => {
  /** Spoils the first answers with an archive. */
  const spoiling = (times: number, spoil: (response: Response) => Promise<Response>): typeof fetch => {
    let left = times;
    return async (input, init) => {
      const response = await fetch(input, init);
      const isArchive = /\/sha512-/.test(String(input));
      if (!isArchive || !response.ok || left === 0) return response;
      left -= 1;
      return await spoil(response);
    };
  };
  const altered = async (response: Response) => {
    const bytes = Buffer.from(await response.arrayBuffer());
    bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20);
    return new Response(bytes, response);
  };
  const cut = async (response: Response) => {
    const bytes = Buffer.from(await response.arrayBuffer());
    let sent = false;
    const body = new ReadableStream({
      pull(stream) {
        if (sent) stream.error(new TypeError("terminated"));
        else stream.enqueue(bytes.subarray(0, 20));
        sent = true;
      },
    });
    return new Response(body, response);
  };

  for (const [what, spoil] of [
    ["altered", altered],
    ["cut", cut],
  ] as const) {
    test(`an archive that arrives ${what} is asked for again`, async () => {
      const controller = await startController();
      const { how } = await fetchInto(controller, tool.id, { send: spoiling(3, spoil) });
      assert.equal(how, "fetched");
    });

    test(`archives that always arrive ${what} fail, and nothing is used`, async () => {
      const controller = await startController();
      const pod = await mkdtemp(join(folder, "pod-"));
      const send = spoiling(Number.POSITIVE_INFINITY, spoil);
      await assert.rejects(
        fetchInto(controller, tool.id, { folder: pod, send, patienceMs: 300 }),
        what === "altered" ? /is not (my-tool|shared)@1\.0\.0/ : /terminated/,
      );
      assert.ok(!existsSync(join(pod, "tree")));
    });
  }

  test("another lock file than the revision's is refused", async () => {
    const controller = await startController();
    await controller.store.provide(both.id, async () => both.tree);
    const send: typeof fetch = (input, init) =>
      fetch(String(input).replace(tool.id, both.id), {
        ...init,
        headers: { authorization: `Bearer ${setKey(SECRET, "ada", both.id)}` },
      });
    await assert.rejects(
      fetchInto(controller, tool.id, { send, patienceMs: 200 }),
      /not the one of this revision/,
    );
  });

  test("a controller that is down is waited for, then named", async () => {
    const controller = await startController();
    const closed = createServer();
    await once(closed.listen(0, "127.0.0.1"), "listening");
    const { port } = closed.address() as AddressInfo;
    closed.close();
    const down = { ...controller, url: () => `http://127.0.0.1:${port}/agents/ada/sets` };
    await assert.rejects(fetchInto(down, tool.id, { patienceMs: 200 }), /ECONNREFUSED/);
    let tries = 0;
    const send: typeof fetch = (input, init) => {
      tries += 1;
      return tries < 4 ? Promise.reject(new TypeError("fetch failed")) : fetch(input, init);
    };
    assert.equal((await fetchInto(controller, tool.id, { send })).how, "fetched");
  });

  test("a registry that is down is named in the pod's last words", async () => {
    const controller = await startController();
    registry.fault = "away";
    try {
      await assert.rejects(
        fetchInto(controller, tool.id, { patienceMs: 3000 }),
        /The plugins cannot be installed \(E\w+: .*\. Check the registry/s,
      );
    } finally {
      registry.fault = "none";
    }
    // After its rest the registry is asked again.
    assert.equal((await fetchInto(controller, tool.id, { patienceMs: 30_000 })).how, "fetched");
  });

  test("plugins that do not fit say how much there is, and trying again cannot help", async () => {
    const controller = await startController();
    await assert.rejects(fetchInto(controller, tool.id, { limit: 100 }), (error: Error) => {
      assert.ok(error instanceof SetError);
      assert.match(error.message, /need more than the 0 MiB .* ephemeral storage/);
      return true;
    });
  });
});

describe("who may fetch", () => {
  const get = (url: string, key?: string, method = "GET") =>
    fetch(url, { method, headers: key === undefined ? {} : { authorization: `Bearer ${key}` } });

  test("the key names one agent and one set; no other opens it", async () => {
    const controller = await startController();
    await controller.store.provide(tool.id, async () => tool.tree);
    const url = `${controller.url("ada")}/${tool.id}`;
    assert.equal((await get(url, setKey(SECRET, "ada", tool.id))).status, 200);
    const wrong = {
      "no key": undefined,
      "another agent's": setKey(SECRET, "eve", tool.id),
      "another set's": setKey(SECRET, "ada", both.id),
      "another installation's": setKey("another-secret-of-some-length", "ada", tool.id),
      empty: "",
      "a guess": "0".repeat(64),
    };
    for (const [what, key] of Object.entries(wrong)) {
      for (const path of ["", `/${(await archivesOf(controller))[0]}`]) {
        const response = await get(`${url}${path}`, key);
        assert.equal(response.status, 401, what);
        assert.equal((await response.json()).error.code, "INVALID_API_KEY");
      }
    }
  });

  test("a key that is refused fetches nothing from the registry", async () => {
    const controller = await startController();
    const asked = registry.asked.length;
    assert.equal((await get(`${controller.url()}/${tool.id}`, "0".repeat(64))).status, 401);
    assert.equal(registry.asked.length, asked);
    assert.deepEqual(await archivesOf(controller), []);
  });

  test("an archive of another set, a path and anything else are not found", async () => {
    const controller = await startController();
    await controller.store.provide(both.id, async () => both.tree);
    await controller.store.provide(tool.id, async () => tool.tree);
    const key = setKey(SECRET, "ada", tool.id);
    const foreign = new Set(await archivesOf(controller));
    for (const entry of Object.values(tool.tree.lock.packages)) {
      if (entry.integrity !== undefined)
        foreign.delete(`sha512-${Buffer.from(entry.integrity.slice(7), "base64").toString("hex")}`);
    }
    assert.equal(foreign.size, 3);
    const paths = [...foreign, "..%2f..%2fsets", `%2e%2e`, "constructor", `sha512-${"0".repeat(128)}`];
    for (const path of paths) {
      const { status } = await get(`${controller.url()}/${tool.id}/${path}`, key);
      assert.equal(status, 404, path);
    }
    assert.equal((await get(`${controller.url()}/${tool.id}`, key, "POST")).status, 405);
    assert.equal((await get(controller.url().replace("/agents/ada/sets", "/metrics"))).status, 404);
  });
});

describe("the controller's store", () => {
  test("npm is run by its file where there is no PATH and no home, as in the controller's image", async () => {
    const onPath = (process.env.PATH ?? "").split(":").map((path) => join(path, "npm"));
    const program = realpathSync(onPath.find((path) => existsSync(path)) ?? "npm");
    const home = await mkdtemp(join(folder, "home-"));
    const env = { HOME: home, npm_config_registry: registry.url, npm_config_cache: join(home, "cache") };
    const controller = await startController({ by: machineNpm(env, program) });
    assert.equal((await fetchInto(controller, tool.id)).how, "fetched");
  });

  test("many who ask for one set download it once", async () => {
    let calls = 0;
    const counting: Npm = {
      ...npm,
      pack: async (...args) => {
        calls += 1;
        await npm.pack(...args);
      },
    };
    const controller = await startController({ by: counting });
    await Promise.all(
      Array.from({ length: 5 }, () => controller.store.provide(tool.id, async () => tool.tree)),
    );
    assert.equal(calls, 1);
  });

  test("an archive altered on its disk is downloaded again", async () => {
    const controller = await startController();
    await controller.store.provide(tool.id, async () => tool.tree);
    const [name = ""] = await archivesOf(controller);
    const file = join(controller.folder, "archives", name);
    await chmod(file, 0o644);
    await appendFile(file, "x");
    assert.equal((await fetchInto(controller, tool.id)).how, "fetched");
    assert.ok(said.some((line) => line.includes("altered") && line.includes(name)));
  });

  test("a lock file altered on its disk is read from the database again", async () => {
    const controller = await startController();
    await controller.store.provide(tool.id, async () => tool.tree);
    await writeFile(join(controller.folder, "sets", `${tool.id}.json`), "{}");
    assert.equal((await fetchInto(controller, tool.id)).how, "fetched");
  });

  test("a registry that serves other content than was promised is refused", async () => {
    const controller = await startController();
    const tree = structuredClone(tool.tree);
    const entry = tree.lock.packages["node_modules/shared"];
    assert.ok(entry);
    entry.integrity = `sha512-${Buffer.alloc(64, 7).toString("base64")}`;
    await assert.rejects(
      controller.store.provide(treeId(tree), async () => tree),
      (error: unknown) => error instanceof NpmError && error.code === "EINTEGRITY",
    );
  });

  test("the set that was not used for longest makes room; one that does not fit says so", async () => {
    const sizes = async (controller: Controller) => {
      const { stat } = await import("node:fs/promises");
      const all = await Promise.all(
        (await archivesOf(controller)).map((name) => stat(join(controller.folder, "archives", name))),
      );
      return all.reduce((sum, { size }) => sum + size, 0);
    };
    const roomy = await startController();
    await roomy.store.provide(both.id, async () => both.tree);
    const most = await sizes(roomy);
    const tight = await startController({ maxBytes: most });
    const single = await resolve(["@a/b-c"]);
    await tight.store.provide(single.id, async () => single.tree);
    await tight.store.provide(both.id, async () => both.tree);
    assert.ok((await sizes(tight)) <= most);
    const tiny = await startController({ maxBytes: 10 });
    await assert.rejects(
      tiny.store.provide(tool.id, async () => tool.tree),
      (error: unknown) => error instanceof NpmError && error.code === "ENOSPC",
    );
  });

  test("sets that no revision names go after an hour, with archives that no other set names", async () => {
    const controller = await startController();
    await controller.store.provide(tool.id, async () => tool.tree);
    await controller.store.provide(both.id, async () => both.tree);
    assert.deepEqual(await controller.store.collect(new Set([tool.id]), Date.now()), []);
    assert.deepEqual(await controller.store.collect(new Set([tool.id]), Date.now() + 3_700_000), [both.id]);
    assert.equal((await archivesOf(controller)).length, 2);
    await eventually(
      "it still serves the other",
      async () => (await fetchInto(controller, tool.id)).how === "fetched",
    );
  });
});
