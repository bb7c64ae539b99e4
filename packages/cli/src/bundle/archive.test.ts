import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { type TestContext, test } from "vitest";
import { type Asset, readArchive, writeArchive } from "./archive.ts";

async function scratch(t: Pick<TestContext, "onTestFinished">): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-cli-"));
  t.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function* each(assets: Asset[]) {
  yield* assets;
}

async function archiveOf(entries: { name: string; text: string }[]): Promise<Buffer> {
  const tar = pack();
  for (const { name, text } of entries) tar.entry({ name }, text);
  tar.finalize();
  return gzipSync(Buffer.concat(await Array.fromAsync(tar as AsyncIterable<Buffer>)));
}

async function read(data: Buffer): Promise<{ document: string; assets: Asset[] }> {
  const found = { document: "", assets: [] as Asset[] };
  await readArchive(
    data,
    async (text) => {
      found.document = text;
    },
    async (asset) => {
      found.assets.push(asset);
    },
  );
  return found;
}

test("what is written is read again: the document, then each file, also empty and large ones", async (t) => {
  const file = join(await scratch(t), "a.tar.gz");
  const assets = [
    { bucket: "agent-assets", path: "deep/er/ünïcode name.txt", content: Buffer.from("hello") },
    { bucket: "agent-assets", path: "empty", content: Buffer.alloc(0) },
    { bucket: "agent-backups", path: `${"long-name-".repeat(20)}.bin`, content: Buffer.alloc(3_000_001, 7) },
  ];
  await writeArchive(file, '{"a": 1}', each(assets));
  const found = await read(await readFile(file));
  assert.equal(found.document, '{"a": 1}');
  assert.deepEqual(found.assets, assets);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

test("an export that fails half-way leaves nothing", async (t) => {
  const folder = await scratch(t);
  async function* failing(): AsyncGenerator<Asset> {
    yield { bucket: "b", path: "p", content: Buffer.alloc(100_000) };
    throw new Error("the download broke");
  }
  await assert.rejects(writeArchive(join(folder, "a.tar.gz"), "{}", failing()), /the download broke/);
  assert.deepEqual(await readdir(folder), []);
});

test("a folder that is not there is the error of the file, and nobody waits", async (t) => {
  const file = join(await scratch(t), "none/a.tar.gz");
  const assets = each([{ bucket: "b", path: "p", content: Buffer.alloc(5_000_000) }]);
  await assert.rejects(writeArchive(file, "{}", assets), { code: "ENOENT" });
});

test("other archives are told in one sentence", async () => {
  await assert.rejects(read(await archiveOf([])), /it has no agent\.json/);
  await assert.rejects(
    read(await archiveOf([{ name: "assets/b/p", text: "x" }])),
    /agent\.json is not its first file/,
  );
});

test("a damaged archive is an error, not half an agent without a word", async (t) => {
  const file = join(await scratch(t), "a.tar.gz");
  const content = Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * 7919) % 251));
  await writeArchive(file, "{}", each([{ bucket: "b", path: "p", content }]));
  const whole = await readFile(file);
  await assert.rejects(read(whole.subarray(0, whole.length - 100)));
  await assert.rejects(read(gzipSync(gunzipSync(whole).subarray(0, 5000))));
  await writeFile(file, "not gzip");
  await assert.rejects(read(await readFile(file)));
});

test("a file that cannot be written is told as that, whenever it shows", async (t) => {
  const file = join(await scratch(t), "missing", "a.tar.gz");
  async function* late() {
    await new Promise((resolve) => setImmediate(resolve));
    yield { bucket: "agent-assets", path: "a.txt", content: Buffer.from("a") };
    await new Promise((resolve) => setTimeout(resolve, 50));
    yield { bucket: "agent-assets", path: "b.txt", content: Buffer.from("b") };
  }
  await assert.rejects(writeArchive(file, "{}", late()), { code: "ENOENT" });
  await assert.rejects(writeArchive(file, "{}", each([])), { code: "ENOENT" });
});
