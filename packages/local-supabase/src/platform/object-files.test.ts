import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { createObjectFiles, rangeOf } from "./object-files.ts";
import { withOutcome } from "./outcome.ts";

test("what is stored comes back, with its type, tag and length, and ranges of it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-objects-"));
  t.onTestFinished(() => rm(folder, { recursive: true }));
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
  t.onTestFinished(() => rm(folder, { recursive: true }));
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

test("what a refused request did to files is undone; of two at once the second begins when the first is settled", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-objects-"));
  t.onTestFinished(() => rm(folder, { recursive: true }));
  const files = createObjectFiles(folder);
  const put = (key: string, text: string) =>
    files.uploadObject("b", key, undefined, Buffer.from(text), "text/plain", "no-cache");
  const textOf = async (key: string) => {
    const { httpStatusCode, body } = await files.getObject("b", key, undefined);
    return httpStatusCode === 404 ? undefined : await new Response(body).text();
  };
  const request = new Request("http://localhost/storage/v1/object/b/k", { method: "POST" });
  const within = (work: () => Promise<unknown>, status: number) =>
    withOutcome(async () => {
      await work();
      return Response.json({}, { status });
    })(request);

  await within(() => put("new", "refused"), 400);
  assert.equal(await textOf("new"), undefined);
  await within(() => put("k", "old"), 200);
  await within(() => put("k", "refused"), 400);
  assert.equal(await textOf("k"), "old");
  const failing = within(async () => {
    await put("k", "lost");
    throw new Error("the database is away");
  }, 200);
  await assert.rejects(failing, /is away/);
  assert.equal(await textOf("k"), "old");

  const { promise: written, resolve } = Promise.withResolvers<void>();
  const { promise: refused, resolve: refuse } = Promise.withResolvers<void>();
  const first = within(async () => {
    await put("k", "first");
    resolve();
    await refused;
  }, 400);
  await written;
  const second = within(() => put("k", "second"), 400);
  const third = within(() => put("k", "third"), 200);
  assert.equal(await textOf("k"), "first");
  refuse();
  await Promise.all([first, second, third]);
  assert.equal(await textOf("k"), "third");

  // A move takes the source's bytes away: the copy stays, whatever becomes of the request.
  await within(async () => {
    await files.copyObject("b", "k", undefined, "b", "moved");
    await files.deleteObject("b", "k");
  }, 500);
  assert.deepEqual([await textOf("k"), await textOf("moved")], [undefined, "third"]);
  const [bucket = ""] = await readdir(folder);
  assert.equal((await readdir(join(folder, bucket))).length, 2, "one object: its bytes and its facts");
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
