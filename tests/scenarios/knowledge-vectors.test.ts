// Knowledge by meaning on the whole stack with pgvector: files get vectors from a local server of embeddings, answers use them,
// deployed and undeployed; without the server words find what they can, and the answer's step says so.
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, test } from "vitest";
import { pgvector } from "../../scripts/pgvector.ts";
import {
  type EmbeddingServer,
  startEmbeddingServer,
} from "../../supabase/functions/_shared/testing/embedding-server.ts";
import { api, reached } from "../helpers/agents.ts";
import { openTerminal } from "../helpers/cli.ts";
import { type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

/** What a model of embeddings knows: that these words belong together. */
const topics = [/refund|geld zurück/i, /hours|geöffnet/i];
const vectors = (texts: readonly string[]) =>
  texts.map((text) => [0.05, ...topics.map((topic) => (topic.test(text) ? 1 : 0.01))]);
const FACT = "Refunds take thirty days.";
const QUESTION = "Wie lange dauert es, bis ich mein Geld zurück habe?";

let embeddings: EmbeddingServer | undefined;
let stub: ProviderStub | undefined;
let stack: TestStack;
let alice: TestUser;
let bob: TestUser;
let agentId: string;

beforeAll(async () => {
  embeddings = await startEmbeddingServer(vectors);
  stub = await startProviderStub(() => "fine");
  stack = await startTestStack({
    env: {
      ...stub.environment,
      LAUNCHPAD_POSTGRES_EXTENSIONS: await pgvector(),
      LAUNCHPAD_EMBEDDING_BASE_URL: embeddings.url,
      LAUNCHPAD_EMBEDDING_API_KEY: "embedding-key",
    },
  });
  await stack.raiseRateLimits();
  [alice, bob] = await Promise.all([stack.createUser(), stack.createUser()]);
  const { data } = await alice.client.from("agents").insert({ name: "Ada" }).select("id").single();
  agentId = data?.id;
});
afterAll(async () => {
  await stack?.stop();
  await stub?.close();
  await embeddings?.close();
});

/** Repeats a question to the database until it has an answer. */
async function until<T>(what: string, ask: () => Promise<T | undefined>, timeoutMs = 60_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    assert.ok(Date.now() < deadline, what);
    await delay(20); // rows change without an event that this process hears
  }
}
const embedded = (count: number) =>
  until(`${count} vectors`, async () => {
    const [row] = await stack.sql<{ n: number }>("select count(*)::int as n from private.knowledge_vectors");
    return row?.n === count ? row.n : undefined;
  });

async function upload(path: string, text: string) {
  const body = new Blob([text], { type: "text/markdown" });
  const options = { contentType: "text/markdown", upsert: true };
  const { error } = await alice.client.storage
    .from("agent-assets")
    .upload(`${agentId}/${path}`, body, options);
  assert.equal(error, null);
}

/** Sends a message; what its answer's retrieval looked for and found. */
async function ask(content: string, of = agentId) {
  const { data, error } = await alice.client
    .from("messages")
    .insert({ to_agent_id: of, content })
    .select("id")
    .single();
  assert.equal(error, null);
  const row = await until("an answer", async () => {
    const [found] = await stack.sql<{ id: string; sources: { path: string }[]; status: string }>(
      "select id, sources, status from public.messages where reply_to = $1 and status <> 'pending'",
      [data?.id],
    );
    return found;
  });
  const { data: steps } = await alice.client
    .from("answer_steps")
    .select("arguments, result")
    .eq("message_id", row.id)
    .eq("kind", "retrieval");
  return { paths: row.sources?.map(({ path }) => path), step: steps?.[0]?.arguments };
}

test("a file that was there before the setting gets its vectors, and an answer finds it by its meaning", async () => {
  await upload("knowledge/faq.md", FACT);
  await until("indexed", async () => {
    const { data } = await alice.client.from("knowledge_files").select("status").eq("status", "indexed");
    return data?.length ? data : undefined;
  });
  assert.deepEqual((await ask(QUESTION)).paths, [], "no word of it is in the file");
  const { data, error } = await stack
    .client(stack.info.secretKey)
    .rpc("set_embedding_model", { framework: "openai", model: "text-embedding-3-small" });
  assert.equal(error, null);
  assert.deepEqual(data, { framework: "openai", model: "text-embedding-3-small", files: 1 });
  await embedded(1);
  assert.deepEqual(embeddings?.asked[0]?.texts, [FACT]);
  assert.equal(embeddings?.asked[0]?.key, "embedding-key");
  const { paths, step } = await ask(QUESTION);
  assert.deepEqual(paths, ["knowledge/faq.md"]);
  assert.deepEqual(step, { question: QUESTION, by: "words and meaning" });
});

test("a new file gets its vectors right after it is indexed; a deleted one's are gone", async () => {
  await upload("knowledge/hours.md", "Opening hours: nine to five.");
  await embedded(2);
  assert.deepEqual((await ask("Wann habt ihr eigentlich heute noch geöffnet?")).paths, [
    "knowledge/hours.md",
  ]);
  await alice.client.storage.from("agent-assets").remove([`${agentId}/knowledge/hours.md`]);
  await embedded(1);
});

test("an embedding model that fails costs no answer: words are searched, and the step says so", async () => {
  assert.ok(embeddings);
  embeddings.answer = () => 500;
  const { paths, step } = await ask("How long do refunds take?");
  assert.deepEqual(paths, ["knowledge/faq.md"]);
  assert.deepEqual(step, {
    question: "How long do refunds take?",
    notByMeaning: "The embedding model answered with HTTP 500.",
  });
  await upload("knowledge/late.md", "Another text about refunds.");
  await until("a failure", async () => {
    const [row] = await stack.sql<{ last_error: string }>(
      "select last_error from private.embedding_jobs where last_error is not null",
    );
    return row;
  });
  embeddings.answer = vectors;
  await embedded(2);
});

test("a deployed agent's address finds by meaning too; a forged credential gets no vector and asks no model", async () => {
  const knowledge = Array.from({ length: 300 }, (_, n) => `The colour of room ${n + 1000} is hue-${n}.`);
  const launch = await api(stack, alice, "POST", "/agents", {
    agentName: "deployed",
    character: { name: "Deployed", knowledge: [...knowledge, FACT] },
    resources: { memory: "256Mi", cpu: "250m" },
  });
  const id = String((launch.body as { agentId: string }).agentId);
  await reached(stack, id, "DEPLOYED");
  await until("vectors", async () => {
    const [row] = await stack.sql(
      `select from private.knowledge_vectors v where v.agent_id = $1
       and not exists (select from private.embedding_jobs) limit 1`,
      [id],
    );
    return row;
  });
  const answer = await stack.agentFetch(id, "/message", {
    method: "POST",
    token: alice.token,
    body: JSON.stringify({ text: QUESTION }),
  });
  assert.equal(answer.status, 200, JSON.stringify(answer));
  const { messageId } = JSON.parse(answer.body) as { messageId: string };
  const step = await until("a step", async () => {
    const { data } = await alice.client
      .from("answer_steps")
      .select("arguments, result")
      .eq("message_id", messageId)
      .eq("kind", "retrieval");
    return data?.[0];
  });
  assert.equal(step.arguments.by, "words and meaning");
  assert.match(JSON.stringify(stub?.requests.at(-1)?.body), /Refunds take thirty days/);
  assert.equal((await ask(QUESTION, id)).step?.by, "words and meaning");

  const before = embeddings?.asked.length;
  for (const token of [undefined, bob.token, alice.token])
    for (const credential of ["0".repeat(64), "", alice.token]) {
      const response = await stack.fetch("/functions/v1/knowledge/embedding", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ agent_id: id, credential: credential.slice(0, 200), question: "x" }),
        ...(token !== undefined && { token }),
      });
      assert.equal(response.status, 403);
    }
  assert.equal(embeddings?.asked.length, before);
});

test("users and visitors cannot set the model, or read the vectors", async () => {
  for (const client of [bob.client, stack.client()]) {
    const { error } = await client.rpc("set_embedding_model", { framework: null, model: null });
    assert.equal(error?.code, "42501");
  }
});

test("launchpad models embed sets the model with the secret key alone, and turns it off again", async () => {
  const terminal = await openTerminal(stack.info);
  try {
    await terminal.login(bob);
    const embed = (...args: string[]) =>
      terminal.run(["models", "embed", ...args], { env: { LAUNCHPAD_SECRET_KEY: stack.info.secretKey } });
    const set = await embed("openai", "another-model");
    assert.match(
      set.stdout,
      /^Knowledge is found by meaning too, by openai\/another-model\. .* for \d+ files?\.$/m,
    );
    assert.match((await embed("anthropic", "x")).stderr, /framework: Must be openai .* or google/);
    assert.match((await embed("openai")).stderr, /Pass a framework and an embedding model, or --off alone/);
    assert.match((await embed("openai", "x", "--off")).stderr, /or --off alone/);
    const denied = await terminal.run(["models", "embed", "--off"]);
    assert.match(denied.stderr, /Set LAUNCHPAD_SECRET_KEY/);
    assert.match((await embed("--off")).stdout, /^Knowledge is found by words alone/);
    await embedded(0);
  } finally {
    await terminal.remove();
  }
});
