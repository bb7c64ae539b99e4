// Knowledge files on the whole stack: uploaded through Storage, indexed by the function, used by the next answer.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { makePdf } from "../../supabase/functions/knowledge/testing/pdf.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let alice: TestUser;
let bob: TestUser;
let agentId: string;

before(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [alice, bob] = await Promise.all([stack.createUser(), stack.createUser()]);
  const { data } = await alice.client.from("agents").insert({ name: "Ada" }).select("id").single();
  agentId = data?.id;
});
after(() => stack.stop());

const files = (user = alice) => user.client.storage.from("agent-assets");

async function upload(
  path: string,
  content: string | Uint8Array<ArrayBuffer>,
  contentType = "text/markdown",
) {
  const body = new Blob([content], { type: contentType });
  const { error } = await files().upload(`${agentId}/${path}`, body, { contentType, upsert: true });
  assert.equal(error, null);
}

interface FileRow {
  path: string;
  status: string;
  error: string | null;
  chunks: number;
}

/** The files, once none is pending. */
async function settled(timeoutMs = 30_000): Promise<Record<string, FileRow>> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const { data } = await alice.client.from("knowledge_files").select("path, status, error, chunks");
    const rows = (data ?? []) as FileRow[];
    if (rows.every(({ status }) => status !== "pending"))
      return Object.fromEntries(rows.map((row) => [row.path, row]));
    assert.ok(Date.now() < deadline, JSON.stringify(rows));
    await delay(20);
  }
}

describe("a file of the folder knowledge/", () => {
  test("is indexed within moments, a PDF by its text; what is no text is refused with a sentence", async () => {
    const started = performance.now();
    await upload("knowledge/faq.md", "# Refunds\nRefunds take thirty days.");
    await settled();
    const took = performance.now() - started;
    assert.ok(took < 5_000, `${took} ms`); // without the sweep of every ten seconds
    await upload(
      "knowledge/sub folder/price list.pdf",
      new Uint8Array(makePdf(["The chair costs 90 euros."])),
      "application/pdf",
    );
    await upload(
      "knowledge/program.bin",
      new Uint8Array([0x7f, 0x45, 0, 1, 2, 3]),
      "application/octet-stream",
    );
    await upload("knowledge/broken.pdf", "%PDF-1.7\n nothing", "application/pdf");
    await upload("knowledge/cat.png", "not really", "image/png");
    await upload("other.md", "not knowledge");
    const all = await settled();
    assert.deepEqual(
      Object.values(all)
        .map(({ path, status, chunks }) => `${path} ${status} ${chunks}`)
        .sort(),
      [
        "knowledge/broken.pdf refused 0",
        "knowledge/cat.png refused 0",
        "knowledge/faq.md indexed 1",
        "knowledge/program.bin refused 0",
        "knowledge/sub folder/price list.pdf indexed 1",
      ],
    );
    assert.match(all["knowledge/program.bin"]?.error ?? "", /is not text\. Upload/);
    assert.match(all["knowledge/broken.pdf"]?.error ?? "", /PDF cannot be read/);
  });

  test("follows a replacement, a move and a removal", async () => {
    await upload("knowledge/faq.md", `# Refunds\n${"Refunds take forty days.\n\n".repeat(100)}`);
    assert.ok(((await settled())["knowledge/faq.md"]?.chunks ?? 0) > 1);
    const moved = await files().move(`${agentId}/knowledge/faq.md`, `${agentId}/knowledge/questions.md`);
    assert.equal(moved.error, null);
    assert.equal((await settled())["knowledge/questions.md"]?.status, "indexed");
    assert.equal((await files().remove([`${agentId}/knowledge/questions.md`])).error, null);
    assert.equal((await settled())["knowledge/questions.md"], undefined);
  });

  test("of 50 MB is refused with a sentence, quickly and without being read", async () => {
    await upload("knowledge/large.txt", "x".repeat(50 * 1024 * 1024), "text/plain");
    assert.match((await settled())["knowledge/large.txt"]?.error ?? "", /52428800 bytes.*Split it/);
  });

  test("is seen by its owner alone, through REST and Realtime's publication", async () => {
    assert.deepEqual((await bob.client.from("knowledge_files").select()).data, []);
    const anonymous = await stack.client().from("knowledge_files").select();
    assert.equal(anonymous.error?.code, "42501");
    const written = await alice.client
      .from("knowledge_files")
      .update({ status: "indexed" })
      .eq("agent_id", agentId);
    assert.equal(written.error?.code, "42501");
  });
});
