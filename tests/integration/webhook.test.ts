// The hint to the controller: signed, silent where unconfigured, never in the way of the write.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { createUser, liftRateLimits, rpc, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;

beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  alice = await createUser(db);
});
afterAll(() => db.destroy());

const launch = async () =>
  (await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot" } })).body.agentId as string;

const queued = async () =>
  (
    await db.pool.query(
      "select url, headers, convert_from(body, 'UTF8') as body from net.http_request_queue order by id",
    )
  ).rows as { url: string; headers: Record<string, string>; body: string }[];

test("without a configured controller nothing is sent", async () => {
  await launch();
  assert.deepEqual(await queued(), []);
});

test("each generation is one request, signed over timestamp and body; the secret is not in the queue", async () => {
  const secret = "webhook-secret-of-this-test";
  await db.pool.query("select vault.create_secret('http://127.0.0.1:9/', 'launchpad_controller_url')");
  await db.pool.query("select vault.create_secret($1, 'launchpad_webhook_secret')", [secret]);
  const id = await launch();
  await rpc(db, user(alice), "scale_agent", { agent_id: id, scale: { replicas: 2 } });
  const requests = await queued();
  assert.equal(requests.length, 2);
  for (const [i, request] of requests.entries()) {
    assert.equal(request.url, "http://127.0.0.1:9/webhooks/deployments");
    const sentAt = request.headers["X-Launchpad-Timestamp"];
    const expected = createHmac("sha256", secret).update(`${sentAt}.${request.body}`).digest("hex");
    assert.equal(request.headers["X-Launchpad-Signature"], `v1=${expected}`);
    assert.ok(Math.abs(Number(sentAt) - Date.now() / 1000) < 60);
    const body = JSON.parse(request.body);
    assert.deepEqual([body.agentId, body.generation], [id, i + 1]);
  }
  assert.ok(!JSON.stringify(requests).includes(secret));
});

test("the sweep nudges for what has waited, and only then", async () => {
  await db.pool.query("truncate net.http_request_queue");
  await db.pool.query("update private.agent_deployments set removed_at = now()");
  await db.pool.query("select private.sweep_deployments()");
  assert.deepEqual(await queued(), []);
  const id = await launch();
  await db.pool.query("truncate net.http_request_queue");
  await db.pool.query(
    "update private.agent_deployments set updated_at = now() - interval '10 seconds' where agent_id = $1",
    [id],
  );
  await db.pool.query("select private.sweep_deployments()");
  assert.deepEqual(
    (await queued()).map((r) => r.body),
    ['{"reason": "sweep"}'],
  );
});

test("the scheduler's history is kept for a day, by a job that its owner may run", async () => {
  const { rows } = await db.pool.query(
    "select command from cron.job where jobname = 'launchpad-cron-history'",
  );
  await db.superuser.query(
    `insert into cron.job_run_details (jobid, username, end_time)
     select 1, 'postgres', now() - make_interval(hours => h) from unnest(array[1, 23, 25, 100]) h`,
  );
  await db.pool.query(rows[0].command);
  const { rows: left } = await db.superuser.query(
    "select count(*)::int as kept, bool_and(end_time > now() - interval '1 day') as young from cron.job_run_details",
  );
  assert.deepEqual(left, [{ kept: 2, young: true }]);
});

test("a failing hint does not fail the write", async () => {
  await db.superuser.query("alter function net.http_post rename to http_post_away");
  try {
    assert.match(await launch(), /^agent-/);
  } finally {
    await db.superuser.query("alter function net.http_post_away rename to http_post");
  }
});
