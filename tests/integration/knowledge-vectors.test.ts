// Knowledge by meaning in SQL, on a Postgres with pgvector: the setting, the queue of vectors with its leases, the mixed search,
// whose vectors they are. What happens without the extension is in knowledge.test.ts.
import "../helpers/pgvector.ts";
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { people, responder } from "../helpers/answering.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

const MODEL = { framework: "openai", model: "text-embedding-3-small" };
const BY = "openai/text-embedding-3-small";

let db: TestDatabase | undefined;
let alice: string;
let bob: string;
let agentId: string;
const database = () => {
  assert.ok(db);
  return db;
};
const { query, agent, say } = people(database, () => alice);
const worker = responder(database);

beforeAll(async () => {
  db = await createUnlimitedDatabase();
});
afterAll(() => db?.destroy());
beforeEach(async () => {
  await database().superuser.query(
    "begin; set local storage.allow_delete_query = 'true'; delete from storage.objects; delete from private.reply_jobs; commit",
  );
  await call("set_embedding_model", { framework: null, model: null });
  [alice, bob] = [await createUser(database()), await createUser(database())];
  agentId = await agent("Ada");
});

const sql = async (text: string, values: unknown[] = []) =>
  (await database().superuser.query(text, values)).rows;
const call = async (name: string, args: Record<string, unknown> = {}) =>
  (await rpc(database(), service, name, args)).body;
const enable = () => call("set_embedding_model", MODEL);

/** Uploads and indexes a file of these chunks. */
async function index(path: string, chunks: string[], of = agentId, etag = "1") {
  await sql(
    `insert into storage.objects (bucket_id, name, metadata)
     values ('agent-assets', $1, jsonb_build_object('size', 100, 'mimetype', 'text/plain', 'eTag', $2::text))
     on conflict (bucket_id, name) do update set metadata = excluded.metadata`,
    [`${of}/${path}`, etag],
  );
  for (const job of await call("claim_knowledge", { worker: "w", max_count: 20 })) {
    const lease = { file_id: job.fileId, lease_token: job.leaseToken };
    await call("add_knowledge", { ...lease, first: 0, chunks: chunks.map((content) => ({ content })) });
    await call("finish_knowledge", lease);
  }
}

/** Three topics, by any of their words in any language: what an embedding model would know. */
const TOPICS = [/refund|money back|erstattung/i, /open|hours|closed/i, /parrot|bird/i];
const embed = (text: string) => [0.05, ...TOPICS.map((topic) => (topic.test(text) ? 1 : 0.01))];

// biome-ignore lint/suspicious/noExplicitAny: JSON bodies whose shape the tests assert
type Claimed = any;
const claim = (max_count = 20): Promise<Claimed[]> => call("claim_embeddings", { worker: "w", max_count });
const add = (job: Claimed, chunks = job.chunks, more: Record<string, unknown> = {}) =>
  call("add_embeddings", {
    file_id: job.fileId,
    lease_token: job.leaseToken,
    model: `${job.framework}/${job.model}`,
    items: chunks.map(({ place, text }: { place: number; text: string }) => ({
      place,
      embedding: embed(text),
    })),
    ...more,
  });

/** Plays the function until every file has its vectors. */
async function embedAll() {
  for (const job of await claim()) {
    for (let { chunks } = job; chunks.length > 0; ) ({ chunks } = await add(job, chunks));
  }
}

const find = async (question: string, meaning: number[] | null = embed(question), of = agentId) =>
  (await sql("select content from private.find_knowledge($1, $2, null, $3)", [of, question, meaning])).map(
    ({ content }) => content as string,
  );
const vectors = async () => {
  const [row] = await sql("select count(*)::int as n from private.knowledge_vectors");
  return row?.n;
};

describe("the setting", () => {
  test("installs the extension, queues what is indexed, and off again deletes every vector", async () => {
    await index("knowledge/a.md", ["Refunds take a month."]);
    assert.deepEqual(await claim(), [], "nothing is wanted before it is set");
    assert.deepEqual(await enable(), { ...MODEL, files: 1 });
    assert.deepEqual(
      await sql("select extnamespace::regnamespace::text as s from pg_extension where extname = 'vector'"),
      [{ s: "extensions" }],
    );
    await embedAll();
    assert.equal(await vectors(), 1);
    assert.equal((await enable()).files, 0, "set again it queues nothing");
    assert.equal((await call("set_embedding_model", { framework: null, model: null })).files, 0);
    assert.equal(await vectors(), 0);
    await index("knowledge/b.md", ["Open at nine."]);
    assert.deepEqual(await claim(), []);
  });

  test("another model's vectors are made again; until then only words are searched", async () => {
    await enable();
    await index("knowledge/a.md", ["Refunds take a month."]);
    await embedAll();
    assert.equal((await find("money back")).length, 1);
    assert.equal(
      (await call("set_embedding_model", { framework: "google", model: "gemini-embedding-001" })).files,
      1,
    );
    assert.deepEqual(await find("money back"), []);
    assert.deepEqual(await find("refunds"), ["Refunds take a month."]);
    await embedAll();
    assert.equal((await find("money back")).length, 1);
  });

  test("a file at work when the model changes is given to the next worker at once", async () => {
    await enable();
    await index("knowledge/a.md", ["Refunds take a month."]);
    const [before] = await claim();
    await call("set_embedding_model", { framework: "google", model: "gemini-embedding-001" });
    const [next] = await claim();
    assert.equal(next?.framework, "google");
    assert.deepEqual(await add(before), { accepted: false });
    assert.deepEqual(await add(next), { accepted: true, chunks: [] });
  });

  test("wrong values are named with their field", async () => {
    for (const [args, code] of [
      [{ framework: "anthropic", model: "x" }, "INVALID_FRAMEWORK"],
      [{ framework: "openai", model: "two words" }, "INVALID_MODEL"],
      [{ framework: "openai", model: null }, "INVALID_MODEL"],
    ] as const)
      assert.equal((await call("set_embedding_model", args)).code, code, JSON.stringify(args));
  });
});

describe("the queue", () => {
  beforeEach(enable);

  test("an indexed file's chunks come in batches of 32, and a batch that comes again replaces itself", async () => {
    await index(
      "knowledge/a.md",
      Array.from({ length: 70 }, (_, n) => `Parrot number ${n}`),
    );
    const [job] = await claim();
    assert.deepEqual([job.chunks.length, job.chunks[0]], [32, { place: 0, text: "Parrot number 0" }]);
    assert.deepEqual(await claim(), [], "leased");
    const next = await add(job);
    assert.deepEqual([next.accepted, next.chunks.length, next.chunks[0].place], [true, 32, 32]);
    assert.equal((await add(job)).chunks[0].place, 32);
    assert.equal(await vectors(), 32);
    const last = await add(job, next.chunks);
    assert.equal(last.chunks.length, 6);
    assert.deepEqual(await add(job, last.chunks), { accepted: true, chunks: [] });
    assert.equal(await vectors(), 70);
    assert.deepEqual(await claim(), []);
  });

  test("whoever dies between two batches is followed from where they stopped", async () => {
    await index(
      "knowledge/a.md",
      Array.from({ length: 50 }, (_, n) => `Parrot number ${n}`),
    );
    const [dead] = await claim();
    await add(dead);
    await sql("update private.embedding_jobs set lease_expires_at = now() - interval '1 s'");
    const [heir] = await claim();
    assert.equal(heir.chunks[0].place, 32);
    assert.deepEqual(await add(dead), { accepted: false }, "the lease went to the next");
    assert.deepEqual(await add(heir), { accepted: true, chunks: [] });
    assert.equal(await vectors(), 50);
  });

  test("a failed file comes back later and keeps the error; a success forgets it", async () => {
    await index("knowledge/a.md", ["Parrots."]);
    const [job] = await claim();
    const lease = { file_id: job.fileId, lease_token: job.leaseToken };
    assert.deepEqual(await call("fail_embeddings", { ...lease, error: "HTTP 503" }), { accepted: true });
    assert.deepEqual(await claim(), []);
    const [row] = await sql(
      "select attempts, last_error, round(extract(epoch from next_attempt_at - now()))::int as wait from private.embedding_jobs",
    );
    assert.deepEqual(row, { attempts: 1, last_error: "HTTP 503", wait: 2 });
    await sql("update private.embedding_jobs set next_attempt_at = now(), attempts = 500");
    const [again] = await claim();
    await call("fail_embeddings", { file_id: job.fileId, lease_token: again.leaseToken, error: "x" });
    const [late] = await sql(
      "select next_attempt_at <= now() + interval '1 hour' as soon from private.embedding_jobs",
    );
    assert.equal(late?.soon, true);
  });

  test("a file that was replaced or deleted meanwhile takes no vectors and leaves none", async () => {
    await index("knowledge/a.md", ["Parrots."]);
    const [job] = await claim();
    await index("knowledge/a.md", ["Birds."], agentId, "2");
    assert.deepEqual(await add(job), { accepted: false });
    await embedAll();
    assert.equal(await vectors(), 1);
    await query("delete from public.agents where id = $1", [agentId]);
    await sql("delete from public.knowledge_files");
    assert.equal(await vectors(), 0);
    assert.deepEqual(await claim(), []);
  });

  test("a text that is uploaded again and again is left to the next day once the user had their share", async () => {
    await sql("update public.quotas set max_knowledge_chunks = 2 where user_id = $1", [alice]);
    const other = await agent("Other", {}, bob);
    for (let etag = 1; etag <= 4; etag++) {
      await index("knowledge/a.md", ["Parrots.", "Birds."], agentId, `${etag}`);
      await embedAll();
    }
    await index("knowledge/b.md", ["Parrots."], other);
    await embedAll();
    const made = await sql("select agent_id, count(*)::int as n from private.knowledge_vectors group by 1");
    assert.deepEqual(made, [{ agent_id: other, n: 1 }], "three times for Alice; Bob is served");
    const [job] = await sql(
      "select last_error, next_attempt_at > now() as later from private.embedding_jobs",
    );
    assert.match(job?.last_error, /follows tomorrow/);
    assert.equal(job?.later, true);
    await sql("update private.embedding_use set day = day - 1");
    await sql("update private.embedding_jobs set next_attempt_at = now()");
    await embedAll();
    assert.equal(await vectors(), 3);
    assert.deepEqual(await sql("select vectors from private.embedding_use where user_id = $1", [alice]), [
      { vectors: 2 },
    ]);
  });

  test("questions count as well; a user who had their share asks by words, another by meaning", async () => {
    await database().pool.query(
      "select private.connect_functions('http://127.0.0.1:1', 'a secret of many letters')",
    );
    const other = await agent("Other", {}, bob);
    await index("knowledge/a.md", ["Parrots."], agentId);
    await index("knowledge/b.md", ["Parrots."], other);
    await embedAll();
    await sql("update public.quotas set max_knowledge_chunks = 1 where user_id = $1", [alice]);
    const proofOf = async (id: string) => {
      const [row] = await sql("select private.message_key($1) as key", [id]);
      return {
        agent_id: id,
        credential: createHmac("sha256", row?.key).update("runtime").digest("hex"),
      };
    };
    const asked = async (id: string) => await call("runtime_question_model", await proofOf(id));
    assert.deepEqual(
      [await asked(agentId), await asked(agentId)],
      [MODEL, MODEL],
      "one of a file, two asked",
    );
    assert.equal(await asked(agentId), null);
    assert.deepEqual(await asked(other), MODEL);
    const { agent_id } = await proofOf(agentId);
    const forged = await call("runtime_question_model", { agent_id, credential: "0".repeat(64) });
    assert.equal(forged.code, "INSUFFICIENT_PERMISSIONS");
    assert.deepEqual(
      await sql(
        "select user_id, vectors from private.embedding_use where user_id in ($1, $2) order by vectors desc",
        [alice, bob],
      ),
      [
        { user_id: alice, vectors: 3 },
        { user_id: bob, vectors: 2 },
      ],
      "what is refused is not counted",
    );
    await sql("update private.embedding_use set day = day - 1");
    assert.deepEqual(await asked(agentId), MODEL, "the next day");
  });

  test("the sweep asks for the function while vectors are missing", async () => {
    await database().pool.query(
      "select private.connect_functions('http://127.0.0.1:1', 'a secret of many letters')",
    );
    await index("knowledge/a.md", ["Parrots."]);
    const asked = "select count(*)::int as n from net.http_request_queue where url like '%/knowledge'";
    await sql("delete from net.http_request_queue");
    await sql("select private.sweep_knowledge()");
    assert.equal((await sql(asked))[0]?.n, 1);
    await embedAll();
    await sql("delete from net.http_request_queue");
    await sql("select private.sweep_knowledge()");
    assert.equal((await sql(asked))[0]?.n, 0);
  });

  test("a file that was indexed beside the setting is found by the daily job", async () => {
    await index("knowledge/a.md", ["Parrots."]);
    await sql("delete from private.embedding_jobs");
    await sql("select private.queue_embeddings()");
    assert.equal((await claim()).length, 1);
  });

  test("vectors that are none are refused with the field; other places than the file's are passed over", async () => {
    await index("knowledge/a.md", ["Parrots."]);
    let [job] = await claim();
    for (const embedding of [[], "x", null, [1, "2"], [1e300], Array(4097).fill(1), [[1]]]) {
      const answer = await add(job, job.chunks, { items: [{ place: 0, embedding }] });
      assert.equal(answer.code, "VALIDATION_ERROR", JSON.stringify(embedding).slice(0, 40));
    }
    for (const items of [null, {}, [{}], Array(33).fill({ place: 0, embedding: [1] })])
      assert.equal((await add(job, [], { items })).code, "VALIDATION_ERROR");
    const twice = [0, 1].map((x) => ({ place: 0, embedding: [x, 1] }));
    assert.deepEqual(await add(job, [], { items: twice }), { accepted: true, chunks: [] });
    await sql("delete from private.knowledge_vectors");
    await sql("select private.queue_embeddings()");
    [job] = await claim();
    const beside = await add(job, [], {
      items: [
        { place: 7, embedding: [1] },
        { place: 0.5, embedding: [1] },
      ],
    });
    assert.equal(beside.chunks.length, 1);
    assert.equal(await vectors(), 0);
  });
});

describe("the search", () => {
  const faq = ["You get a refund within a month.", "We open at nine.", "The parrot is called Rio."];
  beforeEach(async () => {
    await enable();
    await index("knowledge/faq.md", faq);
    await embedAll();
  });

  test("finds by meaning what has no word of the question", async () => {
    assert.deepEqual(await find("Wie lange dauert die Erstattung?"), [faq[0]]);
    assert.deepEqual(await find("Wie lange dauert die Erstattung?", null), []);
  });

  test("puts what both lists have before what one has", async () => {
    await index("knowledge/more.md", ["A refund form.", "Birds need no refund."]);
    await embedAll();
    const found = await find("bird");
    assert.equal(found[0], "Birds need no refund.");
    assert.ok(found.includes("The parrot is called Rio."));
  });

  test("leaves out what is far from the question, and vectors without direction or of other length find nothing", async () => {
    assert.deepEqual(await find("zzz", [1, 0, 0, 0]), []);
    assert.deepEqual(await find("zzz", [0, 0, 0, 0]), []);
    assert.deepEqual(await find("zzz", [1, 0]), []);
    assert.deepEqual(await find("refund", [1, 0]), [faq[0]]);
  });

  test("keeps the budget of chunks and bytes", async () => {
    await index(
      "knowledge/many.md",
      Array.from({ length: 60 }, (_, n) => `Parrot ${n}: ${"x".repeat(900)}`),
    );
    await embedAll();
    const found = await find("parrot");
    assert.ok(found.length <= 12 && found.join("").length <= 8000, `${found.length}`);
    assert.ok(found.length >= 5);
  });

  test("never sees another agent's vectors", async () => {
    const other = await agent("Other", {}, bob);
    await index("knowledge/secret.md", ["Our refund budget is 7 million."], other);
    await embedAll();
    assert.deepEqual(await find("money back"), [faq[0]]);
    assert.deepEqual(await find("money back", embed("money back"), other), [
      "Our refund budget is 7 million.",
    ]);
  });

  test("goes on by words when the extension is dropped", async () => {
    await database().superuser.query("drop extension vector");
    assert.deepEqual(await find("refund"), [faq[0]]);
    assert.deepEqual(await claim(), []);
    await say({ agent: agentId }, "Wie lange dauert die Erstattung?");
    const [job] = await worker.claim();
    assert.equal(job.embedding, null);
    assert.equal((await enable()).files, 0, "the vectors are still there");
    assert.deepEqual(await find("money back"), [faq[0]]);
  });
});

test("words find knowledge on a server that lost the extension's library", async () => {
  await enable();
  await index("knowledge/faq.md", ["You get a refund within a month."]);
  await embedAll();
  assert.equal((await find("money back")).length, 1);
  const lose = "update pg_proc set probin = $2 where probin = $1";
  await sql(lose, ["$libdir/vector", "$libdir/no_vector"]);
  try {
    assert.deepEqual(await find("money back"), []);
    assert.deepEqual(await find("refund"), ["You get a refund within a month."]);
  } finally {
    await sql(lose, ["$libdir/no_vector", "$libdir/vector"]);
  }
});

describe("answers", () => {
  beforeEach(async () => {
    await enable();
    await index("knowledge/faq.md", ["You get a refund within a month."]);
  });

  test("the claim names the model once there are vectors, and the step says by what was searched", async () => {
    await say({ agent: agentId }, "Wie lange dauert die Erstattung?");
    const [early] = await worker.claim();
    assert.equal(early.embedding, null);
    await worker.finish(early);
    await embedAll();
    await say({ agent: agentId }, "Und die Erstattung?");
    const [job] = await worker.claim();
    assert.deepEqual(job.embedding, MODEL);
    const lease = { job_id: job.jobId, lease_token: job.leaseToken };
    const got = await call("retrieve_for_reply", { ...lease, embedding: embed("Erstattung") });
    assert.equal(got[0]?.content, "You get a refund within a month.");
    const without = await call("retrieve_for_reply", { ...lease, unembedded: "The provider answered 503" });
    assert.deepEqual(without, []);
    const steps = await query(
      "select status, arguments from public.answer_steps where kind = 'retrieval' order by index",
    );
    assert.deepEqual(steps, [
      { status: "ok", arguments: { question: "Und die Erstattung?", by: "words and meaning" } },
      {
        status: "ok",
        arguments: { question: "Und die Erstattung?", notByMeaning: "The provider answered 503" },
      },
    ]);
    const [use] = await sql("select vectors from private.embedding_use where user_id = $1", [alice]);
    assert.equal(
      use?.vectors,
      2,
      "one of the file, one of the question; the one whose vector failed does not",
    );
    const bad = await call("retrieve_for_reply", { ...lease, embedding: ["x"] });
    assert.equal(bad.code, "VALIDATION_ERROR");
  });

  test("a runtime searches by meaning with its credential; a forged one and another agent's are refused", async () => {
    await embedAll();
    await database().pool.query(
      "select private.connect_functions('http://127.0.0.1:1', 'a secret of many letters')",
    );
    const [row] = await sql("select private.message_key($1) as key", [agentId]);
    const credential = createHmac("sha256", row?.key).update("runtime").digest("hex");
    const proof = { agent_id: agentId, credential };
    assert.deepEqual(await call("runtime_question_model", proof), MODEL);
    assert.equal((await rpc(database(), anon, "runtime_tools", proof)).body.meaning, true);
    const found = await rpc(database(), anon, "runtime_knowledge", {
      ...proof,
      message_id: null,
      question: "Erstattung?",
      embedding: embed("Erstattung"),
    });
    assert.equal(found.body.length, 1);
    const other = await agent("Other", {}, bob);
    for (const forged of [
      { credential: "0".repeat(64) },
      { credential: null },
      { agent_id: other },
      { agent_id: "none" },
    ]) {
      const args = { ...proof, ...forged };
      assert.equal((await call("runtime_question_model", args)).code, "INSUFFICIENT_PERMISSIONS");
    }
  });
});

test("users and anonymous callers reach neither vectors nor the functions that make them", async () => {
  const id = crypto.randomUUID();
  for (const who of [anon, user(alice), user(bob)]) {
    for (const statement of [
      "select * from private.knowledge_vectors",
      "select * from private.embedding_jobs",
      "select * from private.embedding_model",
      "select private.nearest_knowledge('x', array[1]::real[])",
    ])
      await assert.rejects(
        database().as(who, (c) => c.query(statement)),
        { code: "42501" },
        statement,
      );
    for (const [name, args] of [
      ["set_embedding_model", MODEL],
      ["claim_embeddings", { worker: "w" }],
      ["add_embeddings", { file_id: id, lease_token: id, model: BY, items: [] }],
      ["fail_embeddings", { file_id: id, lease_token: id, error: "x" }],
      ["runtime_question_model", { agent_id: agentId, credential: "x" }],
    ] as const)
      assert.equal((await rpc(database(), who, name, args)).status, 403, name);
  }
});
