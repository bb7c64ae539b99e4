// Archives as a registry may hold them: what is unpacked, what is left out, and what never leaves the package's folder.
import assert from "node:assert/strict";
import { createWriteStream, existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip, gzipSync } from "node:zlib";
import { type Header, pack } from "tar-stream";
import { afterAll, beforeAll, test } from "vitest";
import { setArchives } from "./packages.ts";
import { unpack } from "./unpack.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "unpack-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function archiveOf(entries: [header: Partial<Header> & { name: string }, content?: string][]) {
  const file = join(await mkdtemp(join(folder, "archive-")), "a.tgz");
  const stream = pack();
  for (const [header, content] of entries) stream.entry(header, content ?? "");
  stream.finalize();
  await pipeline(stream, createGzip(), createWriteStream(file));
  return file;
}

async function unpacked(file: string, bundles = false, room: (bytes: number) => void = () => {}) {
  const root = await mkdtemp(join(folder, "volume-"));
  await unpack(file, join(root, "node_modules/it"), { bundles, room });
  const files = await readdir(root, { recursive: true, withFileTypes: true });
  return {
    root,
    files: files
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
      .sort(),
  };
}

test("files without the archive's first folder, whatever it is called; programs stay programs", async () => {
  for (const first of ["package", "it-1.0.0", "./package"]) {
    const file = await archiveOf([
      [{ name: `${first}/`, type: "directory" }],
      [{ name: `${first}/index.js`, mode: 0o600 }, "export {};"],
      [{ name: `${first}/bin/run`, mode: 0o755 }, "#!"],
      [{ name: `${first}/größe/ü.txt` }, "ü"],
      [{ name: `${first}/${"long/".repeat(40)}name.js` }, "x"],
    ]);
    const { files, root } = await unpacked(file);
    assert.equal(files.length, 4);
    assert.ok(files.includes("node_modules/it/größe/ü.txt"), files.join());
    assert.ok(((await stat(join(root, "node_modules/it/bin/run"))).mode & 0o111) !== 0);
    assert.ok(((await stat(join(root, "node_modules/it/index.js"))).mode & 0o444) === 0o444);
  }
});

test("a name that comes twice means the last one", async () => {
  const file = await archiveOf([
    [{ name: "package/a.js" }, "a first and longer one"],
    [{ name: "package/a.js" }, "last"],
  ]);
  const { root } = await unpacked(file);
  assert.equal(await readFile(join(root, "node_modules/it/a.js"), "utf8"), "last");
});

test("links, devices and paths that lead outside are left out", async () => {
  const file = await archiveOf([
    [{ name: "package/link", type: "symlink", linkname: "/etc/passwd" }],
    [{ name: "package/hard", type: "link", linkname: "../../../x" }],
    [{ name: "package/pipe", type: "fifo" }],
    [{ name: "package/../../../up.js" }, "x"],
    [{ name: "../../up.js" }, "x"],
    [{ name: "package/a/../../../up.js" }, "x"],
    [{ name: "package/..\\..\\up.js" }, "x"],
    [{ name: "/up.js" }, "x"],
    [{ name: "package/ok.js" }, "x"],
  ]);
  const { files } = await unpacked(file);
  assert.deepEqual(
    files.filter((path) => !path.startsWith("node_modules/it/")),
    [],
  );
  assert.ok(files.includes("node_modules/it/ok.js"));
  assert.ok(!files.some((path) => /link|hard|pipe/.test(path)), files.join());
});

test("packages inside the package are its own where the lock file says so", async () => {
  const file = await archiveOf([
    [{ name: "package/index.js" }, "x"],
    [{ name: "package/node_modules/inner/index.js" }, "x"],
  ]);
  assert.deepEqual((await unpacked(file)).files, ["node_modules/it/index.js"]);
  assert.equal((await unpacked(file, true)).files.length, 2);
});

test("what does not fit ends before it is written", async () => {
  const file = await archiveOf([
    [{ name: "package/small.js" }, "x"],
    [{ name: "package/large.js" }, "x".repeat(10_000)],
  ]);
  let left = 100;
  const room = (bytes: number) => {
    left -= bytes;
    if (left < 0) throw new Error("full");
  };
  await assert.rejects(unpacked(file, false, room), /full/);
});

test("what is no archive, or ends early, is an error", async () => {
  const file = join(folder, "no.tgz");
  for (const content of [Buffer.from("<html>"), gzipSync("<html>".repeat(200)), Buffer.alloc(0)]) {
    await writeFile(file, content);
    await assert.rejects(unpacked(file));
  }
  const whole = await readFile(await archiveOf([[{ name: "package/a.js" }, "x".repeat(5000)]]));
  await writeFile(file, whole.subarray(0, whole.length - 20));
  await assert.rejects(unpacked(file));
  assert.ok(existsSync(file));
});

const integrity = `sha512-${Buffer.alloc(64, 1).toString("base64")}`;

test("one archive for each content, with every folder; what npm leaves out has none", () => {
  const archives = setArchives({
    packages: {
      "": {},
      "node_modules/a": { version: "1.0.0", integrity },
      "node_modules/b/node_modules/a": { version: "1.0.0", integrity },
      "node_modules/b": { version: "1.0.0", integrity: `sha1-${Buffer.alloc(20).toString("base64")}` },
      "node_modules/b/node_modules/inner": { version: "1.0.0", inBundle: true },
      "node_modules/left": { version: "1.0.0", optional: true },
      "node_modules/alias": {
        name: "@x/real",
        version: "2.0.0",
        integrity: `sha256-${Buffer.alloc(32).toString("base64")}`,
      },
    },
  });
  assert.deepEqual(
    archives.map(({ folders, spec }) => [spec, folders.map(({ path }) => path)]),
    [
      ["a@1.0.0", ["node_modules/a", "node_modules/b/node_modules/a"]],
      ["b@1.0.0", ["node_modules/b"]],
      ["@x/real@2.0.0", ["node_modules/alias"]],
    ],
  );
  assert.equal(archives[1]?.folders[0]?.bundles, true);
});

for (const path of ["../x", "node_modules/..", "node_modules/a/../../x", "/etc", "node_modules/a/b/c"]) {
  test(`a lock file that names the folder ${path} is refused`, () => {
    assert.throws(
      () => setArchives({ packages: { [path]: { version: "1.0.0", integrity } } }),
      /names the folder/,
    );
  });
}

test("a package whose content nothing promises is refused", () => {
  assert.throws(
    () => setArchives({ packages: { "node_modules/a": { version: "1.0.0" } } }),
    /promises no content/,
  );
});
