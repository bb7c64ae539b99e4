// Vectors of texts over the real provider packages and a local server: who is asked with which key, and what a failure says.
import assert from "node:assert/strict";
import { test } from "vitest";
import { readSettings } from "../respond/settings.ts";
import { createEmbed, embeddingFailure, questionText } from "./embeddings.ts";
import { startEmbeddingServer } from "./testing/embedding-server.ts";

const project = { SUPABASE_URL: "http://127.0.0.1:9", SUPABASE_SECRET_KEYS: '{"default":"sb_secret_test"}' };
const embedOf = (variables: Record<string, string>) =>
  createEmbed(readSettings({ ...project, ...variables }).embedding);
const openai = { framework: "openai", model: "text-embedding-3-small" } as const;
const google = { framework: "google", model: "gemini-embedding-001" } as const;
const lengths = (texts: readonly string[]) => texts.map((text) => [text.length, 0.5]);

test("both providers give a vector for each text, in order, with their own key", async () => {
  await using server = await startEmbeddingServer(lengths);
  const embed = embedOf({
    OPENAI_API_KEY: "sk-o",
    OPENAI_BASE_URL: server.url,
    GOOGLE_GENERATIVE_AI_API_KEY: "g-k",
    GOOGLE_GENERATIVE_AI_BASE_URL: server.url,
  });
  assert.deepEqual(await embed(openai, ["a", "bcd"], "document", 5_000), [
    [1, 0.5],
    [3, 0.5],
  ]);
  assert.deepEqual(await embed(google, ["ab", "c"], "document", 5_000), [
    [2, 0.5],
    [1, 0.5],
  ]);
  assert.deepEqual(await embed(google, ["why"], "question", 5_000), [[3, 0.5]]);
  assert.deepEqual(
    server.asked.map(({ key, model, taskType }) => [key, model, taskType]),
    [
      ["sk-o", openai.model, undefined],
      ["g-k", google.model, "RETRIEVAL_DOCUMENT"],
      ["g-k", google.model, "RETRIEVAL_QUERY"],
    ],
  );
});

test("an address for embeddings alone gets its own key, never the provider's", async () => {
  await using server = await startEmbeddingServer(lengths);
  const both = { OPENAI_API_KEY: "sk-o", OPENAI_BASE_URL: "http://127.0.0.1:9/v1" };
  const at = { ...both, LAUNCHPAD_EMBEDDING_BASE_URL: server.url };
  await embedOf(at)(openai, ["a"], "document", 5_000);
  await embedOf({ ...at, LAUNCHPAD_EMBEDDING_API_KEY: "own" })(openai, ["a"], "document", 5_000);
  assert.deepEqual(
    server.asked.map(({ key }) => key),
    ["none", "own"],
  );
});

test("a failure is one sentence without the provider's text, which may repeat the key", async () => {
  await using server = await startEmbeddingServer(() => 401);
  const embed = embedOf({ OPENAI_API_KEY: "sk-secret", OPENAI_BASE_URL: server.url });
  const failure = async (timeoutMs = 5_000) =>
    embed(openai, ["a", "b"], "question", timeoutMs).then(() => "none", embeddingFailure);
  assert.equal(await failure(), "The embedding model answered with HTTP 401.");
  assert.equal(server.asked.length, 1, "asked once: whoever waits has an answer to give");
  server.answer = () => [[1]];
  assert.equal(
    await failure(),
    "The embedding model could not be reached, or did not send a vector for each text.",
  );
  server.answer = () => undefined;
  assert.equal(await failure(50), "The embedding model did not answer in time.");
  await server.close();
  assert.equal(
    await failure(),
    "The embedding model could not be reached, or did not send a vector for each text.",
  );
  const keyless = embedOf({})(openai, ["a"], "question", 50).then(() => "none", embeddingFailure);
  assert.equal(await keyless, "OPENAI_API_KEY is not set.");
});

test("vectors that the database would refuse count as a failure, for one text and for many", async () => {
  await using server = await startEmbeddingServer(() => []);
  const embed = embedOf({ OPENAI_API_KEY: "sk-o", OPENAI_BASE_URL: server.url });
  for (const vector of [[], [1e300], [-2e6], Array(4097).fill(1)])
    for (const texts of [["a"], ["a", "b"]]) {
      server.answer = () => texts.map((_, n) => (n === 0 ? vector : [1]));
      assert.equal(
        await embed(openai, texts, "question", 5_000).then(() => "taken", embeddingFailure),
        "The embedding model could not be reached, or did not send a vector for each text.",
        `${vector.length} ${texts.length}`,
      );
    }
});

test("vectors that a server numbers go to their texts in any order; wrong numbers count for nothing", async () => {
  await using server = await startEmbeddingServer(lengths);
  const embed = embedOf({ OPENAI_API_KEY: "sk-o", OPENAI_BASE_URL: server.url });
  const made = () => embed(openai, ["a", "bcd", "ef"], "document", 5_000);
  server.numbers = [2, 0, 1]; // the vector that comes first is of the third text
  assert.deepEqual(
    (await made()).map(([length]) => length),
    [3, 2, 1],
  );
  for (const numbers of [
    [0, 0, 0],
    [1, 2, 3],
  ]) {
    server.numbers = numbers;
    assert.deepEqual(
      (await made()).map(([length]) => length),
      [1, 3, 2],
    );
  }
});

test("a short question is read with what was said before, a long one is cut", () => {
  assert.equal(
    questionText("And in Austria?", "How long is VAT paid back in Germany?"),
    "How long is VAT paid back in Germany?\nAnd in Austria?",
  );
  assert.equal(
    questionText("How long does a refund take there?", "Hi"),
    "How long does a refund take there?",
  );
  assert.equal(questionText("Hello", undefined), "Hello");
  const long = questionText(`${"x ".repeat(9_000)}end?`, "before");
  assert.ok(long.length <= 6_000 && long.endsWith("end?"));
  assert.ok(questionText("😀".repeat(5_000), "😀".repeat(5_000)).isWellFormed());
});
