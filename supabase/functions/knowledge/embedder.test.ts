// Which vectors are made, in batches; what a failure leaves.
import assert from "node:assert/strict";
import { test } from "vitest";
import type { Embed } from "../_shared/embeddings.ts";
import { Embedder } from "./embedder.ts";
import type { Batch, EmbeddingDatabase, EmbeddingJob } from "./embedding-database.ts";

const silent = () => undefined;
const batch = (from: number, to: number): Batch =>
  Array.from({ length: to - from }, (_, n) => ({ place: from + n, text: `text ${from + n}` }));
const job = (fileId: string, chunks = batch(0, 2)): EmbeddingJob => ({
  fileId,
  leaseToken: "t",
  framework: "openai",
  model: "m",
  chunks,
});

/** A database of these jobs, each followed by these further batches; what is reported is kept. */
function play(jobs: EmbeddingJob[], further: Record<string, (Batch | undefined)[]> = {}) {
  const waiting = [...jobs];
  const added: Record<string, number[]> = {};
  const failed: Record<string, string> = {};
  const database: EmbeddingDatabase = {
    claim: async (most) => waiting.splice(0, most),
    async add({ fileId }, items) {
      added[fileId] = [...(added[fileId] ?? []), ...items.map(({ place }) => place)];
      return further[fileId] === undefined ? [] : further[fileId].shift();
    },
    fail: async ({ fileId }, error) => {
      failed[fileId] = error;
    },
  };
  return { database, added, failed };
}
const embed: Embed = async (_, texts) => texts.map(() => [1]);

test("all files that wait get vectors of all their batches", async () => {
  const { database, added, failed } = play(
    ["a", "b", "c"].map((id) => job(id)),
    { b: [batch(2, 4), batch(4, 5), []] },
  );
  await new Embedder(database, embed, silent).wake();
  assert.deepEqual(added, { a: [0, 1], b: [0, 1, 2, 3, 4], c: [0, 1] });
  assert.deepEqual(failed, {});
});

test("a file that changed meanwhile is left, one that fails is given back with a sentence, the others go on", async () => {
  const { database, added, failed } = play(
    [job("gone"), job("bad", [{ place: 0, text: "bad" }]), job("good")],
    {
      gone: [undefined],
    },
  );
  const picky: Embed = async (_, texts) => {
    if (texts[0] === "bad") throw Object.assign(new Error("sk-secret refused"), { statusCode: 400 });
    return texts.map(() => [1]);
  };
  await new Embedder(database, picky, silent).wake();
  assert.deepEqual(added, { gone: [0, 1], good: [0, 1] });
  assert.deepEqual(failed, { bad: "The embedding model answered with HTTP 400." });
});

test("a project that is down ends the work without an error", async () => {
  const { database } = play([job("a")]);
  const down: EmbeddingDatabase = {
    ...database,
    add: () => Promise.reject(new Error("down")),
    fail: () => Promise.reject(new Error("down")),
  };
  await new Embedder(down, embed, silent).wake();
  await new Embedder({ ...down, claim: () => Promise.reject(new Error("down")) }, embed, silent).wake();
});
