import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { upload, uploadWithinLimits } from "./uploads.ts";

async function send(t: { after(fn: () => unknown): void }, init: RequestInit, most = 100) {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-spool-"));
  t.after(() => rm(folder, { recursive: true }));
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
    { folder, most },
  );
  assert.deepEqual(await readdir(folder), []);
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
