// Knowledge files on the whole stack: uploaded through Storage, indexed by the function, used by the next answer.
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, test } from "vitest";
import { makePdf } from "../../supabase/functions/knowledge/testing/pdf.ts";
import { api, reached } from "../helpers/agents.ts";
import { type Asked, type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stub: ProviderStub;
let stack: TestStack;
let alice: TestUser;
let bob: TestUser;
let agentId: string;

beforeAll(async () => {
  stub = await startProviderStub(() => "fine");
  stack = await startTestStack({ env: { ...stub.environment } });
  await stack.raiseRateLimits();
  [alice, bob] = await Promise.all([stack.createUser(), stack.createUser()]);
  const { data } = await alice.client.from("agents").insert({ name: "Ada" }).select("id").single();
  agentId = data?.id;
});
afterAll(async () => {
  await stack.stop();
  await stub.close();
});

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
async function settled(timeoutMs = 60_000): Promise<Record<string, FileRow>> {
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

/** Waits for the answer to a message; returns its row and what the model was asked. */
async function ask(content: string, of = agentId): Promise<{ row: Row; prompt: string }> {
  const before = stub.requests.length;
  const { data, error } = await alice.client
    .from("messages")
    .insert({ to_agent_id: of, content })
    .select("id")
    .single();
  assert.equal(error, null);
  const deadline = Date.now() + 60_000;
  for (;;) {
    const [row] = await stack.sql<Row>("select * from public.messages where reply_to = $1", [data?.id]);
    if (row !== undefined) return { row, prompt: stub.requests.slice(before).map(said).join("\n") };
    assert.ok(Date.now() < deadline, "no answer");
    await delay(20);
  }
}

interface Row extends Record<string, unknown> {
  id: string;
  status: string;
  sources: { path: string; chunk: number; heading?: string }[] | null;
}
const said = ({ system, messages }: Asked) => [system, ...messages.map(({ text }) => text)].join("\n");

describe("an answer", () => {
  test("that is asked for right after an upload, a replacement or a removal knows it, and its row names the file", async () => {
    await upload("knowledge/hours.md", "# Opening hours\nThe library opens at nine.");
    const first = await ask("When does the library open?");
    assert.match(
      first.prompt,
      /<knowledge-[0-9a-f]+ file="knowledge\/hours\.md" section="Opening hours">\nThe library opens at nine\./,
    );
    assert.deepEqual(first.row.sources, [{ path: "knowledge/hours.md", chunk: 0, heading: "Opening hours" }]);

    await upload("knowledge/hours.md", "# Opening hours\nThe library opens at ten.");
    const second = await ask("When does the library open?");
    assert.match(second.prompt, /opens at ten/);
    assert.doesNotMatch(second.prompt, /opens at nine/);

    await files().remove([`${agentId}/knowledge/hours.md`]);
    const third = await ask("When does the library open?");
    assert.doesNotMatch(third.prompt, /opens at/);
    assert.deepEqual(third.row.sources, []);
  });

  test("leaves a step that says what was looked for and found", async () => {
    const { row } = await ask("What does the chair cost?");
    const { data } = await alice.client
      .from("answer_steps")
      .select("kind, name, status, result")
      .eq("message_id", row.id)
      .eq("kind", "retrieval");
    assert.equal(data?.length, 1);
    assert.match(data?.[0]?.result, /sub folder\/price list\.pdf/);
  });

  test("of a deployed agent knows its files too: by messages and at its address; so does a long character", async () => {
    const knowledge = Array.from({ length: 300 }, (_, n) => `The colour of room ${n + 1000} is hue-${n}.`);
    const launch = await api(stack, alice, "POST", "/agents", {
      agentName: "deployed",
      character: { name: "Deployed", knowledge },
      resources: { memory: "256Mi", cpu: "250m" },
    });
    const id = String((launch.body as { agentId: string }).agentId);
    await reached(stack, id, "DEPLOYED");
    await settled();
    const { prompt, row } = await ask("Which colour has room 1234?", id);
    assert.match(prompt, /room 1234 is hue-234\./);
    assert.doesNotMatch(prompt, /room 1001 is/, "not all of it");
    assert.equal(row.sources?.[0]?.path, "character.knowledge");

    stub.requests.length = 0;
    const answer = await stack.agentFetch(id, "/message", {
      method: "POST",
      token: alice.token,
      body: JSON.stringify({ text: "Which colour has room 1234?" }),
    });
    assert.equal(answer.status, 200, JSON.stringify(answer));
    assert.match(stub.requests.map(said).join("\n"), /room 1234 is hue-234\./);
  });
});
