// What Kubernetes cannot hold is refused at the door: all secrets of an agent together, whichever way they come.
import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { createUser, liftRateLimits, rpc, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;

beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  [alice, bob] = await Promise.all([createUser(db), createUser(db)]);
});
afterAll(() => db.destroy());

const secrets = (from: number, to: number, bytes = 32_000): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: to - from }, (_, index) => [`SECRET_${from + index}`, "x".repeat(bytes)]),
  );
const launch = (who: string, environment: Record<string, unknown>) =>
  rpc(db, user(who), "launch_agent", { definition: { agentName: "bot", environment } });
const change = (who: string, agent_id: string, environment: Record<string, unknown>) =>
  rpc(db, user(who), "update_agent", { agent_id, changes: { environment } });
const problem = ({ body }: { body: { details: string } }) => JSON.parse(body.details).environment;

test("a launch with 100 secrets of 32 KB is refused with the limit, and nothing is stored", async () => {
  const refused = await launch(alice, secrets(0, 100));
  assert.equal(refused.status, 400);
  assert.match(problem(refused), /at most 512 KiB together/);
  const { rows } = await db.pool.query(
    "select count(*)::int as n from public.agent_secrets where user_id = $1",
    [alice],
  );
  assert.equal(rows[0].n, 0);
});

test("secrets that come one after the other are counted together; what a removal frees may be used", async () => {
  const { body } = await launch(alice, secrets(0, 10));
  const id = body.agentId;
  assert.equal((await change(alice, id, secrets(10, 16))).status, 202);
  const over = await change(alice, id, secrets(16, 17));
  assert.equal(over.status, 400);
  assert.match(problem(over), /512 KiB/);
  assert.equal((await change(alice, id, { ...secrets(16, 17), SECRET_0: null })).status, 202);
  assert.equal((await change(alice, id, { SECRET_1: "short", ...secrets(17, 18) })).status, 202);
  // Another user's room is another.
  assert.equal((await launch(bob, secrets(0, 16))).status, 201);
});

test("more than 100 secrets in all are refused, however few come at once", async () => {
  const { body } = await launch(bob, secrets(0, 60, 10));
  const over = await change(bob, body.agentId, secrets(60, 101, 10));
  assert.equal(over.status, 400);
  assert.match(problem(over), /at most 100 secrets/);
  assert.equal((await change(bob, body.agentId, secrets(60, 100, 10))).status, 202);
});

test("what the controller is given then fits a Secret of 1 MiB with room for the operator's keys", async () => {
  const { body } = await launch(bob, secrets(0, 16));
  const claimed = (await rpc(db, service, "claim_deployments", { worker: "w", max_count: 100 })).body as {
    agentId: string;
    generation: number;
    leaseToken: string;
  }[];
  const claim = claimed.find(({ agentId }) => agentId === body.agentId);
  const { body: environment } = await rpc(db, service, "agent_environment", {
    agent_id: claim?.agentId,
    generation: claim?.generation,
    lease_token: claim?.leaseToken,
  });
  const bytes = Object.values(environment as Record<string, string>).reduce(
    (sum, value) => sum + Buffer.byteLength(value),
    0,
  );
  assert.ok(bytes > 500_000 && bytes < 600_000, `${bytes}`);
});

test("a definition fits a ConfigMap of 1 MiB: each part is refused beyond its own limit", async () => {
  const define = (part: Record<string, unknown>) =>
    db.as(user(alice), (c) =>
      c.query(
        `insert into public.agents (name, ${Object.keys(part).join(", ")}) values ('x', ${Object.keys(part)
          .map((_, index) => `$${index + 1}`)
          .join(", ")}) returning id`,
        Object.values(part),
      ),
    );
  const largest = {
    // A control character takes six bytes in JSON.
    system_prompt: "\u0001".repeat(65_536),
    settings: { stop: Array(16).fill("s".repeat(200)) },
    character: { name: "x", bio: "b".repeat(65_000) },
  };
  await define(largest);
  assert.ok(Buffer.byteLength(JSON.stringify(largest)) < 600_000);
  await assert.rejects(define({ settings: { stop: ["s".repeat(201)] } }), /VALIDATION_ERROR/);
  await assert.rejects(define({ character: { name: "x", bio: "b".repeat(66_000) } }), /VALIDATION_ERROR/);
  await assert.rejects(define({ system_prompt: "x".repeat(65_537) }), /VALIDATION_ERROR/);
});
