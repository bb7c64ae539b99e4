import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "vitest";
import { openSpool } from "./spool.ts";
import { upload, uploadWithinLimits } from "./uploads.ts";

async function send(t: Pick<TestContext, "onTestFinished">, init: RequestInit, most = 100) {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-spool-"));
  t.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const seen: { type: string | null; length: string | null; text: string; whole: string | undefined }[] = [];
  const request = new Request("http://localhost/storage/v1/object/b/k", { method: "POST", ...init });
  const answer = await uploadWithinLimits(
    async (inner) => {
      seen.push({
        type: inner.headers.get("content-type"),
        length: inner.headers.get("content-length"),
        text: await inner.text(),
        whole: upload.getStore()?.contentType,
      });
      return new Response();
    },
    request,
    openSpool({ folder, most, total: 2 * most }),
  );
  assert.deepEqual(await readdir(folder).catch(() => []), []);
  return { answer, seen };
}

const stream = (text: string) =>
  ({
    body: new Blob([text]).stream(),
    duplex: "half",
    headers: { "content-type": "text/plain;charset=UTF-8" },
  }) as RequestInit;

test("the type is compared without its parameters, and kept with them", async (t) => {
  const { seen } = await send(t, {
    body: "hello",
    headers: { "content-type": "text/plain; charset=utf-8", "content-length": "5" },
  });
  assert.deepEqual(seen, [
    { type: "text/plain", length: "5", text: "hello", whole: "text/plain; charset=utf-8" },
  ]);
});

test("a body of unknown length gets one; nothing of it stays behind", async (t) => {
  const { seen } = await send(t, stream("x".repeat(99)));
  assert.deepEqual([seen[0]?.length, seen[0]?.text.length], ["99", 99]);
});

test("a body beyond the limit is refused in Storage's own form, before anybody sees it", async (t) => {
  const { answer, seen } = await send(t, stream("x".repeat(101)));
  assert.equal(seen.length, 0);
  assert.equal((await answer.json()).statusCode, "413");
});

test("a body that breaks off leaves nothing", async (t) => {
  const broken = new ReadableStream({
    pull(controller) {
      controller.error(new Error("the client left"));
    },
  });
  await assert.rejects(send(t, { body: broken, duplex: "half" } as RequestInit), /the client left/);
});

/** A form as it is written. */
const form = (parts: string[], boundary = "x-y"): RequestInit => ({
  body: `${parts.map((part) => `--${boundary}\r\n${part}\r\n`).join("")}--${boundary}--\r\n`,
  headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
});
const field = (name: string, value: string) =>
  `content-disposition: form-data; name="${name}"\r\n\r\n${value}`;
const file = (content: string) =>
  `Content-Disposition: form-data; name=""; filename="blob"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n${content}`;

test("a form's file is served from the disk, whatever bytes are in it", async (t) => {
  for (const content of ["", "hello", "-x-y--", "\r\n--x-\r\n", "a\r\n\r\nb", "\r\n--x\r\n--x-"]) {
    const { seen } = await send(t, form([field("cacheControl", "60"), file(content)]), 1000);
    assert.deepEqual(seen, [
      {
        type: "text/plain",
        length: String(content.length),
        text: content,
        whole: "text/plain; charset=utf-8",
      },
    ]);
  }
});

test("a boundary across two reads of the disk is found", async (t) => {
  for (const size of [1024 * 1024 - 100, 1024 * 1024 - 90, 1024 * 1024, 2 * 1024 * 1024 + 5]) {
    const { seen } = await send(
      t,
      form([file("x".repeat(size)), field("cacheControl", "60")]),
      4 * 1024 * 1024,
    );
    assert.equal(seen[0]?.text.length, size);
  }
});

test("what is no form with a file, or has metadata that cannot be read, is refused", async (t) => {
  for (const init of [
    form([field("cacheControl", "60")]),
    form([]),
    form(Array.from({ length: 30 }, () => file("x"))),
    { body: "no form", headers: { "content-type": "multipart/form-data; boundary=x" } },
    form([field("metadata", "{"), file("x")]),
    form([field("metadata", '{"a":"\\u0000"}'), file("x")]),
  ]) {
    const { answer, seen } = await send(t, init, 4000);
    assert.equal(answer.status, 400);
    assert.equal(seen.length, 0);
  }
});

test("what an earlier process left is deleted, and all that waits has a limit", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-spool-"));
  t.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "left.upload"), "x");
  const spool = openSpool({ folder, most: 100, total: 150 });
  const body = () => new Blob(["x".repeat(100)]).stream();
  const outer = await spool.with(body(), async () => {
    assert.equal((await readdir(folder)).length, 1);
    return await spool.with(body(), async () => "kept");
  });
  assert.equal(outer, "full");
  assert.equal(await spool.with(body(), async () => "kept"), "kept", "given back");
  assert.deepEqual(await readdir(folder), []);
});
