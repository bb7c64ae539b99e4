// Knowledge of agents in SQL: what is indexed and why not, the queue with its leases, the search, whose it is, quotas.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { codeOf, people, responder } from "../helpers/answering.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;
let agentId: string;
const { query, agent, say } = people(
  () => db,
  () => alice,
);
const worker = responder(() => db);

beforeAll(async () => {
  db = await createUnlimitedDatabase();
});
afterAll(() => db.destroy());
beforeEach(async () => {
  await db.superuser.query(
    "begin; set local storage.allow_delete_query = 'true'; delete from storage.objects; delete from private.reply_jobs; commit",
  );
  [alice, bob] = [await createUser(db), await createUser(db)];
  agentId = await agent("Ada");
});

/** The statement by which Storage completes an upload. */
const put = (path: string, { size = 100, type = "text/plain", etag = "1", of = agentId } = {}) =>
  db.superuser.query(
    `insert into storage.objects (bucket_id, name, metadata)
     values ('agent-assets', $1, jsonb_build_object('size', $2::bigint, 'mimetype', $3::text, 'eTag', $4::text))
     on conflict (bucket_id, name) do update set metadata = excluded.metadata`,
    [`${of}/${path}`, size, type, etag],
  );
const call = async (name: string, args: Record<string, unknown> = {}) =>
  (await rpc(db, service, name, args)).body;
const claim = (max_count = 20) => call("claim_knowledge", { worker: "w", max_count });
const files = (who = alice) =>
  query("select path, status, error, chunks, bytes::int from public.knowledge_files order by path", [], who);

interface Piece {
  heading?: string;
  content: string;
}

/** Plays the worker for everything that waits: `texts` by path, each text a list of chunks. */
async function index(texts: Record<string, (string | Piece)[]>) {
  for (const job of await claim()) {
    const chunks = (texts[job.path] ?? []).map((piece) =>
      typeof piece === "string" ? { content: piece } : piece,
    );
    const lease = { file_id: job.fileId, lease_token: job.leaseToken };
    await call("add_knowledge", { ...lease, first: 0, chunks });
    await call("finish_knowledge", lease);
  }
}

const find = async (question: string, before: string | null = null, of = agentId) =>
  (
    await db.superuser.query("select path, place, content from private.find_knowledge($1, $2, $3)", [
      of,
      question,
      before,
    ])
  ).rows as { path: string; place: number; content: string }[];

describe("which texts are indexed", () => {
  test("files under knowledge/ alone; a replaced, renamed or deleted one follows at once", async () => {
    await put("knowledge/a.md");
    await put("other/b.md");
    await put("knowledge.md");
    await put("knowledge/sub/c d.txt");
    assert.deepEqual(
      (await files()).map(({ path, status }) => [path, status]),
      [
        ["knowledge/a.md", "pending"],
        ["knowledge/sub/c d.txt", "pending"],
      ],
    );
    await index({ "knowledge/a.md": ["alpha particles"], "knowledge/sub/c d.txt": ["gamma rays"] });
    assert.equal((await find("alpha"))[0]?.path, "knowledge/a.md");

    await put("knowledge/a.md", { etag: "2" });
    assert.deepEqual(await find("alpha"), [], "nothing is answered from a text that was replaced");
    await index({ "knowledge/a.md": ["beta decay"] });
    assert.equal((await find("beta"))[0]?.path, "knowledge/a.md");

    await db.superuser.query("update storage.objects set name = $2 where name = $1", [
      `${agentId}/knowledge/a.md`,
      `${agentId}/knowledge/z.md`,
    ]);
    await index({ "knowledge/z.md": ["beta decay"] });
    assert.equal((await find("beta"))[0]?.path, "knowledge/z.md");

    await db.as(service, async (c) => {
      await c.query("set local storage.allow_delete_query = 'true'");
      await c.query("delete from storage.objects where name = $1", [`${agentId}/knowledge/z.md`]);
    });
    assert.deepEqual(await find("beta"), []);
    assert.deepEqual((await files()).length, 1);
  });

  test("an object that is read or written without a change of content is not read again", async () => {
    await put("knowledge/a.md");
    await index({ "knowledge/a.md": ["alpha"] });
    await put("knowledge/a.md");
    await db.superuser.query("update storage.objects set last_accessed_at = now()");
    assert.deepEqual(await claim(), []);
    assert.equal((await files())[0]?.status, "indexed");
  });

  test("a file that is too large, or a picture, is refused with a sentence and never read", async () => {
    await put("knowledge/big.txt", { size: 50 * 1024 * 1024 });
    await put("knowledge/cat.png", { type: "image/png" });
    assert.deepEqual(await claim(), []);
    const [big, cat] = await files();
    assert.match(big?.error, /52428800 bytes.*at most 10485760\. Split it/);
    assert.match(cat?.error, /image\/png is not text\. Upload/);
    assert.deepEqual([big?.status, cat?.status], ["refused", "refused"]);
  });

  test("a character's knowledge is indexed where it is too long for the instructions", async () => {
    const short = { knowledge: ["Two and two are four"] };
    const long = {
      name: "Ada",
      knowledge: Array.from({ length: 200 }, (_, n) => `Fact ${n}: ${"x".repeat(50)}`),
    };
    const id = await agent("Long", { character: long });
    const [job] = await claim();
    assert.deepEqual(
      [job.path, job.character.knowledge.length, job.agentId],
      ["character.knowledge", 200, id],
    );
    const shown = async (character: unknown) =>
      (await db.superuser.query("select private.instructed_character($1) as c", [JSON.stringify(character)]))
        .rows[0].c;
    assert.deepEqual(await shown(long), { name: "Ada" });
    assert.deepEqual(await shown(short), short);

    await query("update public.agents set character = $2 where id = $1", [id, short]);
    assert.deepEqual(await files(), []);
  });

  test("a deleted agent's knowledge goes at once, whichever way it is deleted", async () => {
    await put("knowledge/a.md");
    await index({ "knowledge/a.md": ["alpha"] });
    await db.pool.query("update public.agents set deleted_at = now() where id = $1", [agentId]);
    assert.equal((await db.superuser.query("select from private.knowledge_chunks")).rowCount, 0);

    const second = await agent("Second");
    await put("knowledge/a.md", { of: second });
    await query("delete from public.agents where id = $1", [second]);
    assert.deepEqual(await files(), []);
  });

  test("what triggers missed is found by resync_knowledge", async () => {
    await put("knowledge/a.md");
    await db.superuser.query("delete from public.knowledge_files");
    await db.pool.query("select private.resync_knowledge()");
    assert.equal((await files())[0]?.status, "pending");
    await db.superuser.query(
      "set session_replication_role = replica; delete from storage.objects; reset session_replication_role",
    );
    await db.pool.query("select private.resync_knowledge()");
    assert.deepEqual(await files(), []);
  });
});

describe("the queue", () => {
  test("a part that comes again replaces itself; chunks of a file that is not finished are not found", async () => {
    await put("knowledge/a.md");
    const [job] = await claim();
    const lease = { file_id: job.fileId, lease_token: job.leaseToken };
    const part = { ...lease, first: 1, chunks: [{ content: "beta" }, { content: "gamma" }] };
    await call("add_knowledge", { ...lease, first: 0, chunks: [{ heading: "A", content: "alpha" }] });
    await call("add_knowledge", part);
    await call("add_knowledge", part);
    assert.deepEqual(await find("beta"), []);
    await call("finish_knowledge", lease);
    assert.deepEqual(
      (await find("beta")).map(({ place }) => place),
      [1],
    );
    assert.deepEqual((await files())[0], {
      path: "knowledge/a.md",
      status: "indexed",
      error: null,
      chunks: 3,
      bytes: 14,
    });
  });

  test("whoever lost the lease, or read a text that was replaced, is not accepted", async () => {
    await put("knowledge/a.md");
    const [old] = await claim();
    assert.deepEqual(await claim(), [], "somebody has it");
    await db.superuser.query("update private.knowledge_jobs set lease_expires_at = now() - interval '1 s'");
    const [next] = await claim();
    assert.equal(next.fileId, old.fileId);
    const report = { file_id: old.fileId, lease_token: old.leaseToken };
    assert.deepEqual(await call("add_knowledge", { ...report, first: 0, chunks: [] }), { accepted: false });
    assert.deepEqual(await call("finish_knowledge", report), { accepted: false });

    await put("knowledge/a.md", { etag: "2" });
    const late = { file_id: next.fileId, lease_token: next.leaseToken };
    assert.deepEqual(await call("finish_knowledge", late), { accepted: false });
    assert.equal((await files())[0]?.status, "pending");
  });

  test("a file that could not be read is tried again, and refused after five attempts", async () => {
    await put("knowledge/a.md");
    for (let attempt = 1; attempt <= 5; attempt++) {
      const [job] = await claim();
      const lease = { file_id: job.fileId, lease_token: job.leaseToken };
      await call("finish_knowledge", { ...lease, outcome: { retry: true } });
      assert.deepEqual(await claim(), [], "not at once");
      await db.superuser.query("update private.knowledge_jobs set next_attempt_at = now()");
    }
    assert.deepEqual(await claim(), []);
    assert.match((await files())[0]?.error, /could not be read/);
  });

  test("each user's files come in turn", async () => {
    for (const n of [1, 2, 3]) await put(`knowledge/${n}.md`);
    const his = await agent("Bobby", {}, bob);
    await put("knowledge/b.md", { of: his });
    const taken = await claim(2);
    assert.equal(taken.filter((job: { agentId: string }) => job.agentId === his).length, 1);
  });

  test("files that are refused unread do not hold up those behind them", async () => {
    for (let n = 10; n < 40; n++) await put(`knowledge/${n}.png`, { type: "image/png" });
    await put("knowledge/faq.md");
    const taken = await claim(3);
    assert.deepEqual(
      taken.map(({ path }: { path: string }) => path),
      ["knowledge/faq.md"],
    );
    assert.equal((await files()).filter(({ status }) => status === "refused").length, 30);
  });

  test("more than the quota of bytes or chunks is refused with the cure", async () => {
    await db.pool.query("update public.quotas set max_knowledge_chunks = 2 where user_id = $1", [alice]);
    await put("knowledge/a.md");
    await put("knowledge/b.md");
    await index({ "knowledge/a.md": ["alpha", "beta"], "knowledge/b.md": ["gamma"] });
    const all = await files();
    assert.deepEqual(all.map(({ status }) => status).sort(), ["indexed", "refused"]);
    const refused = all.find(({ status }) => status === "refused");
    assert.match(refused?.error, /at most 2 chunks \(max_knowledge_chunks\)\. Delete files/);
    assert.equal(refused?.chunks, 0);
  });
});

describe("the search", () => {
  test("finds by stem, by words with accents, and in scripts without spaces", async () => {
    await put("knowledge/a.md");
    await index({
      "knowledge/a.md": [
        "Refunds are paid within thirty days.",
        "Der Händler „liefert“ nach Österreich.",
        "返品は三十日以内に受け付けます。",
        "The oﬃce opens at nine.",
      ],
    });
    const place = async (question: string) => (await find(question))[0]?.place;
    assert.equal(await place("How do I get a refund?"), 0);
    assert.equal(await place("Wer liefert nach ÖSTERREICH?"), 1);
    assert.equal(await place("返品したい"), 2);
    assert.equal(await place("when does the office open"), 3);
    assert.deepEqual(await find("the of and"), [], "words that say nothing find nothing");
    assert.deepEqual(await find("'); drop table x; -- & | ! <-> :*"), []);
  });

  test("rare words weigh more than frequent ones, and the budget holds", async () => {
    const filler = Array.from(
      { length: 300 },
      (_, n) => `Our shop sells article number${n}. ${"word ".repeat(150)}`,
    );
    await put("knowledge/a.md");
    await index({ "knowledge/a.md": [...filler, "Our shop closes on the feast of Saint Stephen."] });
    assert.equal((await find("Is our shop open on Saint Stephen's?"))[0]?.place, 300);
    const many = await find("shop sells");
    assert.ok(many.length > 0 && many.length <= 12, String(many.length));
    assert.ok(many.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0) <= 8000);
  });

  test("a short question is understood with what was said before it", async () => {
    await put("knowledge/a.md");
    await index({
      "knowledge/a.md": [
        "Shipping to Austria costs 9 euros.",
        "Austria is a republic.",
        "Bread costs 3 euros.",
      ],
    });
    assert.equal((await find("And to Austria?", "What does shipping cost?"))[0]?.place, 0);
  });

  test("another agent's words are never found", async () => {
    const his = await agent("Bobby", {}, bob);
    await put("knowledge/a.md");
    await put("knowledge/a.md", { of: his });
    await index({ "knowledge/a.md": ["alpha particles"] });
    assert.equal((await find("alpha")).length, 1);
    await query("delete from public.agents where id = $1", [agentId]);
    assert.deepEqual(await find("alpha"), []);
    assert.equal((await find("alpha", null, his)).length, 1);
  });
});

test("without the extension vector an embedding model is refused with the cure, and nothing else changes", async () => {
  const refused = await rpc(db, service, "set_embedding_model", { framework: "openai", model: "m" });
  assert.equal(refused.body.code, "VALIDATION_ERROR");
  assert.match(
    JSON.stringify(refused.body),
    /Needs the extension vector.*create extension vector with schema/,
  );
  await put("knowledge/a.md");
  await index({ "knowledge/a.md": ["alpha particles"] });
  assert.deepEqual(await call("claim_embeddings", { worker: "w" }), []);
  await db.superuser.query("select private.queue_embeddings(), private.sweep_knowledge()");
  assert.equal((await db.superuser.query("select from private.embedding_jobs")).rowCount, 0);
  await say({ agent: agentId }, "alpha?");
  const [job] = await worker.claim();
  assert.equal(job.embedding, null);
  const lease = { job_id: job.jobId, lease_token: job.leaseToken };
  assert.equal((await call("retrieve_for_reply", { ...lease, embedding: [1, 0] })).length, 1);
});

describe("answers", () => {
  test("an answer gets its knowledge by the lease, and its row names the sources", async () => {
    await put("knowledge/faq.md");
    await index({
      "knowledge/faq.md": [{ heading: "Refunds", content: "Refunds take thirty days." }, "Other."],
    });
    await say({ agent: agentId }, "How long does a refund take?");
    const [job] = await worker.claim();
    assert.equal(job.knowledge, true);
    const lease = { job_id: job.jobId, lease_token: job.leaseToken };
    assert.deepEqual(await call("retrieve_for_reply", lease), [
      { path: "knowledge/faq.md", place: 0, heading: "Refunds", content: "Refunds take thirty days." },
    ]);
    await worker.finish(job);
    const [answer] = await query("select sources from public.messages where status = 'complete'");
    assert.deepEqual(answer.sources, [{ path: "knowledge/faq.md", chunk: 0, heading: "Refunds" }]);
    const steps = await query("select kind, name, status, arguments, result from public.answer_steps");
    assert.deepEqual(steps, [
      {
        kind: "retrieval",
        name: "knowledge",
        status: "ok",
        arguments: { question: "How long does a refund take?" },
        result: '[{"path": "knowledge/faq.md", "chunk": 0, "heading": "Refunds"}]',
      },
    ]);
    const wrong = rpc(db, service, "retrieve_for_reply", { ...lease, lease_token: crypto.randomUUID() });
    assert.equal((await wrong).body.code, "CONFLICT");
  });

  test("an answer waits for a file that was just uploaded, goes on when it is read, and waits no longer than 20 s", async () => {
    await put("knowledge/a.md");
    await say({ agent: agentId }, "alpha?");
    assert.deepEqual(await worker.claim(), []);
    await index({ "knowledge/a.md": ["alpha"] });
    assert.equal((await worker.claim()).length, 1);

    await put("knowledge/a.md", { etag: "2" });
    await say({ agent: agentId }, "beta?");
    assert.deepEqual(await worker.claim(), []);
    await db.superuser.query(
      "update private.reply_jobs set next_attempt_at = now(), created_at = now() - interval '21 s' where state = 'waiting'",
    );
    const [job] = await worker.claim();
    assert.equal(job.attempt, 1, "waiting is no attempt");
  });

  test("an answer does not wait for files that come after its question", async () => {
    await say({ agent: agentId }, "alpha?");
    await put("knowledge/a.md");
    assert.equal((await worker.claim()).length, 1);
  });

  test("an agent without knowledge is claimed without it, and its row names no sources", async () => {
    await say({ agent: agentId }, "hello");
    const [job] = await worker.claim();
    assert.equal(job.knowledge, false);
    await worker.finish(job);
    const [answer] = await query("select sources from public.messages where status = 'complete'");
    assert.equal(answer.sources, null);
  });
});

describe("whose it is", () => {
  beforeEach(async () => {
    await put("knowledge/a.md");
    await index({ "knowledge/a.md": ["alpha particles"] });
  });

  test("the owner sees the files; a second user, an anonymous caller and a user without the permission see none", async () => {
    assert.equal((await files()).length, 1);
    assert.deepEqual(await files(bob), []);
    await assert.rejects(
      db.as(anon, (c) => c.query("select from public.knowledge_files")),
      { code: "42501" },
    );
    await db.pool.query("delete from public.user_permissions where user_id = $1", [alice]);
    assert.deepEqual(await files(), []);
  });

  test("nobody but the worker writes files or reads chunks", async () => {
    for (const who of [user(alice), user(bob), anon]) {
      for (const statement of [
        "insert into public.knowledge_files (agent_id, user_id, path, version) values ('x', gen_random_uuid(), 'knowledge/x', '1')",
        "update public.knowledge_files set status = 'indexed'",
        "delete from public.knowledge_files",
        "select * from private.knowledge_chunks",
        "select private.find_knowledge('x', 'y')",
      ])
        await assert.rejects(
          db.as(who, (c) => c.query(statement)),
          { code: "42501" },
          statement,
        );
      const id = crypto.randomUUID();
      for (const [name, args] of [
        ["claim_knowledge", { worker: "w" }],
        ["add_knowledge", { file_id: id, lease_token: id, first: 0, chunks: [] }],
        ["finish_knowledge", { file_id: id, lease_token: id }],
        ["retrieve_for_reply", { job_id: id, lease_token: id }],
      ] as const)
        assert.equal((await rpc(db, who, name, args)).status, 403, name);
    }
  });

  test("a runtime gets its own agent's knowledge by its credential; a forged one and another agent's get none", async () => {
    await db.pool.query("select private.connect_functions('http://127.0.0.1:1', 'a secret of many letters')");
    const { rows } = await db.superuser.query("select private.message_key($1) as key", [agentId]);
    const credential = createHmac("sha256", rows[0].key).update("runtime").digest("hex");
    const ask = (args: object) =>
      rpc(db, anon, "runtime_knowledge", {
        agent_id: agentId,
        credential,
        message_id: null,
        question: "alpha",
        ...args,
      });
    assert.deepEqual((await ask({})).body, [
      { path: "knowledge/a.md", place: 0, content: "alpha particles" },
    ]);
    const message_id = crypto.randomUUID();
    await ask({ message_id });
    assert.equal(
      (await query("select kind from public.answer_steps where message_id = $1", [message_id])).length,
      1,
    );
    const other = await agent("Other", {}, bob);
    for (const args of [
      { credential: "0".repeat(64) },
      { credential: null },
      { agent_id: other },
      { agent_id: "none" },
    ])
      assert.equal((await ask(args)).body.code, "INSUFFICIENT_PERMISSIONS");
    assert.equal(
      (
        await rpc(db, user(alice), "runtime_knowledge", {
          agent_id: agentId,
          credential,
          question: "x",
          message_id: null,
        })
      ).status,
      403,
    );
  });

  test("bad arguments of the worker are named", async () => {
    assert.equal(
      (await codeOf(db.as(service, (c) => c.query("select public.claim_knowledge('w', 0)")))).code,
      "VALIDATION_ERROR",
    );
    const id = crypto.randomUUID();
    for (const chunks of [{}, [{}], [{ content: 5 }], null])
      assert.equal(
        (await call("add_knowledge", { file_id: id, lease_token: id, first: 0, chunks })).code,
        "VALIDATION_ERROR",
      );
  });
});
