// Which attempt at an answer may act: the first that asks, whichever replica or worker it runs at.
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { type Claimed, people, responder } from "../helpers/answering.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

const SECRET = "a secret of respond for these tests";

let db: TestDatabase;
let alice: string;
const { agent, say } = people(
  () => db,
  () => alice,
);
const { claim, finish } = responder(() => db);

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  await db.pool.query("select private.connect_functions('http://127.0.0.1:1/functions/v1', $1)", [SECRET]);
});
beforeEach(async () => {
  alice = await createUser(db);
  await db.pool.query("delete from private.reply_jobs");
});
afterAll(() => db?.destroy());

const credentialOf = (agentId: string) => {
  const key = createHmac("sha256", SECRET).update(`messages of ${agentId}`).digest("hex");
  return createHmac("sha256", key).update("runtime").digest("hex");
};
const asked = async (): Promise<Claimed & { begun?: boolean }> => {
  await say({ agent: await agent("Bot") });
  const [job] = await claim();
  assert.ok(job);
  return job;
};
/** The job, claimed once more: whoever was at work on it died. */
const claimedAgain = async (): Promise<Claimed & { begun?: boolean }> => {
  await db.pool.query("update private.reply_jobs set lease_expires_at = now() - interval '1 second'");
  const [job] = await claim();
  assert.ok(job);
  return job;
};
const runtimeActs = (
  job: Claimed,
  attempt: string,
  agentId = job.agent.id,
  credential = credentialOf(agentId),
) => rpc(db, anon, "runtime_acts", { agent_id: agentId, credential, message_id: job.jobId, attempt });
const replyActs = (job: Claimed) =>
  rpc(db, service, "reply_acts", { job_id: job.jobId, lease_token: job.leaseToken });

describe("an answer's first attempt that asks may act", () => {
  test("at a replica, as often as it asks; another replica's may not, and the next claim says so", async () => {
    const job = await asked();
    assert.equal(job.begun, false);
    const [one, other] = [randomUUID(), randomUUID()];
    assert.deepEqual((await runtimeActs(job, one)).body, { may: true });
    assert.deepEqual((await runtimeActs(job, one)).body, { may: true });
    assert.deepEqual((await runtimeActs(job, other)).body, { may: false });
    const again = await claimedAgain();
    assert.equal(again.begun, true);
    assert.deepEqual((await replyActs(again)).body, { may: false });
  });

  test("of several at the same moment one", async () => {
    const job = await asked();
    const answers = await Promise.all(Array.from({ length: 8 }, () => runtimeActs(job, randomUUID())));
    assert.equal(answers.filter(({ body }) => body.may).length, 1);
  });

  test("at the function respond, by its lease; a lost lease may not", async () => {
    const job = await asked();
    const again = await claimedAgain();
    assert.deepEqual((await replyActs(job)).body, { may: false });
    assert.equal(again.begun, false);
    assert.deepEqual((await replyActs(again)).body, { may: true });
    assert.deepEqual((await replyActs(again)).body, { may: true });
    assert.equal((await claimedAgain()).begun, true);
  });

  test("while it is being made: not once it is answered, and its memory goes with it", async () => {
    const job = await asked();
    const one = randomUUID();
    await runtimeActs(job, one);
    await finish(job, "Done");
    await db.pool.query("delete from private.reply_jobs");
    const { rows } = await db.pool.query("select from private.acting_replies");
    assert.equal(rows.length, 0);
    assert.deepEqual((await runtimeActs(job, one)).body, { may: false });
  });

  test("not without a name: an attempt that is null may not, and takes nothing from the next", async () => {
    const job = await asked();
    assert.deepEqual((await runtimeActs(job, null as unknown as string)).body, { may: false });
    assert.deepEqual((await runtimeActs(job, randomUUID())).body, { may: true });
  });

  test("keeps nobody from reporting and finishing meanwhile", async () => {
    const job = await asked();
    const client = await db.pool.connect();
    try {
      await client.query("begin");
      await client.query("select private.may_act($1, gen_random_uuid())", [job.jobId]);
      const { body } = await rpc(db, service, "report_reply", {
        job_id: job.jobId,
        lease_token: job.leaseToken,
        text: "a",
        sequence: 1,
      });
      assert.equal(body.accepted, true);
    } finally {
      await client.query("rollback");
      client.release();
    }
  });
});

test("another agent's credential, a forged one, users and strangers are refused", async () => {
  const job = await asked();
  const other = await agent("Other");
  assert.deepEqual((await runtimeActs(job, randomUUID(), other)).body, { may: false });
  for (const credential of ["", "0".repeat(64), credentialOf(other)]) {
    const { status } = await runtimeActs(job, randomUUID(), job.agent.id, credential);
    assert.ok(status >= 400 && status < 500, String(status));
  }
  for (const caller of [user(alice), user(await createUser(db))]) {
    const args = { agent_id: job.agent.id, credential: "", message_id: job.jobId, attempt: randomUUID() };
    assert.equal((await rpc(db, caller, "runtime_acts", args)).status, 403);
  }
  for (const caller of [anon, user(alice)]) {
    const args = { job_id: job.jobId, lease_token: job.leaseToken };
    assert.equal((await rpc(db, caller, "reply_acts", args)).status, 403);
  }
  const { rows } = await db.pool.query("select from private.acting_replies");
  assert.equal(rows.length, 0);
});
