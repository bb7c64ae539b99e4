// When the worker claims: once for a message that comes alone, again where more may wait.
import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { AgentError } from "../../../packages/agent-runtime/src/errors.ts";
import { type EmbeddingServer, startEmbeddingServer } from "../_shared/testing/embedding-server.ts";
import type { Database } from "./database.ts";
import { readSettings } from "./settings.ts";
import type { Task } from "./task.ts";
import { Worker } from "./worker.ts";

const settings = readSettings({
  SUPABASE_URL: "http://127.0.0.1:9",
  SUPABASE_SECRET_KEYS: '{"default":"sb_secret_test"}',
  LAUNCHPAD_RESPOND_CONCURRENCY: "6",
});

const taskOf = (jobId: string, userId: string): Task => ({
  jobId,
  leaseToken: "l",
  attempt: 1,
  turn: 1,
  userId,
  conversationId: "c",
  // Without a key of a model: such an answer fails at once, which is all that is wanted of it here.
  agent: { id: "a", name: "Tester", framework: "openai", model: "m", settings: {} },
  messages: [{ id: "1", role: "user", content: "Hello" }],
  tools: [],
  knowledge: false,
  reservation: { id: "r", inputTokens: 1, outputTokens: 1 },
});

/** Claims as the given batches; what was asked for. */
async function claims(
  batches: readonly (readonly Task[])[],
  settling = Promise.resolve(),
): Promise<number[]> {
  const asked: number[] = [];
  const database = {
    claim: async (most: number) => {
      asked.push(most);
      return [...(batches[asked.length - 1] ?? [])];
    },
    fail: async () => {
      await settling;
      return undefined;
    },
    report: async () => true,
    finish: async () => undefined,
    project: {
      call: () => Promise.reject(new AgentError("INTERNAL_ERROR", "not here")),
      close: () => undefined,
    },
    retrieve: async () => [],
    search: async () => [],
  } as unknown as Database;
  await new Worker(settings, database, () => undefined).wake();
  return asked;
}

describe("the worker", () => {
  it("claims once for a message that comes alone", async () => {
    assert.deepEqual(await claims([[taskOf("1", "alice")]]), [6]);
    assert.deepEqual(await claims([[]]), [6]);
  });

  it("claims again behind a full claim, when a place is free", async () => {
    const batch = Array.from({ length: 6 }, (_, n) => taskOf(`${n}`, `user ${n}`));
    assert.deepEqual((await claims([batch, [taskOf("7", "alice")]])).slice(0, 2), [6, 1]);
  });

  it("claims again for a user with as many places as others leave", async () => {
    const batch = Array.from({ length: 4 }, (_, n) => taskOf(`${n}`, "alice"));
    assert.equal((await claims([[...batch, taskOf("5", "bob")], [taskOf("6", "alice")]])).at(1), 1);
  });
});

describe("an answer whose knowledge has vectors", () => {
  const model = { framework: "openai", model: "m" } as const;
  const task: Task = {
    ...taskOf("1", "alice"),
    knowledge: true,
    embedding: model,
    question: "3",
    messages: [
      { id: "1", role: "user", content: "How long is VAT paid back in Germany?" },
      { id: "2", role: "self", content: "A month." },
      { id: "3", role: "user", content: "And in Austria?" },
    ],
  };

  /** What the database is given as the question's meaning, with a server that answers so. */
  async function meaning(answer: EmbeddingServer["answer"]) {
    await using server = await startEmbeddingServer(answer);
    const given: unknown[] = [];
    const waiting = [task];
    const database = {
      claim: async () => waiting.splice(0),
      fail: async () => undefined,
      report: async () => true,
      project: { call: () => Promise.reject(new Error("not here")) },
      retrieve: async (_: Task, found: unknown) => {
        given.push(found);
        return [];
      },
    } as unknown as Database;
    const access = { apiKey: "k", baseUrl: server.url, keyVariable: "K" };
    const reachable = { ...settings, embedding: { openai: access, google: access } };
    await new Worker(reachable, database, () => undefined).wake();
    return { given, texts: server.asked.map(({ texts }) => texts) };
  }

  it("is looked up by the question's vector, a short question's with what was said before", async () => {
    const { given, texts } = await meaning(() => [[1, 2]]);
    assert.deepEqual(given, [{ embedding: [1, 2] }]);
    assert.deepEqual(texts, [["How long is VAT paid back in Germany?\nAnd in Austria?"]]);
  });

  it("is looked up by words, with the reason, where the model fails", async () => {
    const { given } = await meaning(() => 500);
    assert.deepEqual(given, [{ unembedded: "The embedding model answered with HTTP 500." }]);
  });

  it("is looked up by words where the model sends what is no vector", async () => {
    const { given } = await meaning(() => [[]]);
    assert.deepEqual(given, [
      { unembedded: "The embedding model could not be reached, or did not send a vector for each text." },
    ]);
  });
});
