import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, test } from "vitest";
import { withHostedForms } from "./compat.ts";
import { openSpool } from "./spool.ts";

const folder = await mkdtemp(join(tmpdir(), "launchpad-spool-"));
afterAll(() => rm(folder, { recursive: true, force: true }));
const spool = openSpool({
  folder,
  most: 1000,
  total: 2000,
});

const accounts = { hasPassword: async () => true, isBanned: async () => false };

/** What reaches the handler. */
async function seen(path: string, init: RequestInit): Promise<{ text: string; headers: Headers }> {
  let got: { text: string; headers: Headers } | undefined;
  const handler = withHostedForms(
    async (request) => {
      got = { text: await request.text(), headers: request.headers };
      return new Response();
    },
    spool,
    accounts,
  );
  await handler(new Request(`http://localhost${path}`, init));
  assert.ok(got);
  return got;
}

test("a code of type email is asked for as lite knows it; other types and garbage pass", async () => {
  const verify = async (body: string) => (await seen("/auth/v1/verify", { method: "POST", body })).text;
  assert.equal(await verify('{"type":"email","token":"1"}'), '{"type":"magiclink","token":"1"}');
  assert.equal(await verify('{"type":"signup"}'), '{"type":"signup"}');
  assert.equal(await verify("{"), "{");
});

test("a file in a form becomes the body, its fields headers", async () => {
  const body = new FormData();
  body.append("cacheControl", "3600");
  body.append("metadata", '{"a":1}');
  body.append("", new Blob(["the file"], { type: "text/plain" }));
  const { text, headers } = await seen("/storage/v1/object/b/k", { method: "POST", body });
  assert.equal(text, "the file");
  assert.equal(headers.get("content-type"), "text/plain");
  assert.equal(headers.get("content-length"), "8");
  assert.equal(headers.get("cache-control"), "max-age=3600");
  assert.equal(Buffer.from(headers.get("x-metadata") ?? "", "base64").toString(), '{"a":1}');
});

test("other bodies pass as they are", async () => {
  const headers = { "content-length": "5" };
  const { text } = await seen("/storage/v1/object/b/k", { method: "POST", body: "plain", headers });
  assert.equal(text, "plain");
});

test("signed links have hosted's names and begin after /storage/v1", async () => {
  const answer = async (body: unknown) => {
    const handler = withHostedForms(async () => Response.json(body), spool, accounts);
    return await (
      await handler(new Request("http://localhost/storage/v1/object/sign/b/k", { method: "POST" }))
    ).json();
  };
  const given = { signedUrl: "/storage/v1/object/sign/b/k?token=t" };
  assert.deepEqual(await answer(given), { signedURL: "/object/sign/b/k?token=t" });
  assert.deepEqual(await answer([{ path: "k", error: null, ...given }]), [
    { path: "k", error: null, signedURL: "/object/sign/b/k?token=t" },
  ]);
});
