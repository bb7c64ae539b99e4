import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createObjectFiles, rangeOf } from "./object-files.ts";

test("what is stored comes back, with its type, tag and length, and ranges of it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-objects-"));
  t.after(() => rm(folder, { recursive: true }));
  const files = createObjectFiles(folder);
  for (const key of ["a", "a/b", "../../escape", "x".repeat(900)]) {
    await files.uploadObject(
      "bucket",
      key,
      undefined,
      Buffer.from(`bytes of ${key}`),
      "text/plain",
      "max-age=1",
    );
    const { metadata, body } = await files.getObject("bucket", key, undefined);
    assert.equal(await new Response(body).text(), `bytes of ${key}`);
    assert.equal(metadata.mimetype, "text/plain");
    assert.equal(metadata.cacheControl, "max-age=1");
    assert.equal(metadata.size, `bytes of ${key}`.length);
  }
  const part = await files.getObject("bucket", "a", undefined, { range: "bytes=6-7" });
  assert.equal(part.httpStatusCode, 206);
  assert.equal(await new Response(part.body).text(), "of");
  const same = await files.getObject("bucket", "a", undefined, { ifNoneMatch: part.metadata.eTag });
  assert.equal(same.httpStatusCode, 304);

  await files.copyObject("bucket", "a", undefined, "other", "copy");
  await files.deleteObjects("bucket", ["a", "never there"]);
  assert.equal((await files.getObject("bucket", "a", undefined)).httpStatusCode, 404);
  assert.equal((await files.headObject("other", "copy")).mimetype, "text/plain");
  assert.equal((await readdir(folder)).length, 2); // one folder a bucket, nothing outside
});

test("an upload that breaks off leaves the old object", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-objects-"));
  t.after(() => rm(folder, { recursive: true }));
  const files = createObjectFiles(folder);
  await files.uploadObject("b", "k", undefined, Buffer.from("old"), "text/plain", "no-cache");
  const broken = new ReadableStream({
    pull(controller) {
      controller.error(new Error("the client left"));
    },
  });
  await assert.rejects(files.uploadObject("b", "k", undefined, broken, "text/plain", "no-cache"));
  assert.equal(await new Response((await files.getObject("b", "k", undefined)).body).text(), "old");
});

test("ranges as RFC 9110 has them", () => {
  assert.deepEqual(rangeOf("bytes=0-3", 10), { start: 0, end: 3 });
  assert.deepEqual(rangeOf("bytes=4-", 10), { start: 4, end: 9 });
  assert.deepEqual(rangeOf("bytes=-3", 10), { start: 7, end: 9 });
  assert.deepEqual(rangeOf("bytes=8-99", 10), { start: 8, end: 9 });
  for (const whole of [undefined, "", "bytes=-", "bytes=9-3", "lines=1-2", "bytes=1-2,4-5"]) {
    assert.equal(rangeOf(whole, 10), undefined);
  }
});
