// Sleep and wake in SQL: who may, what keeps an agent awake, what a wake passes, what messages do to a sleeper.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { people, responder } from "../helpers/answering.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;
const { say, query } = people(
  () => db,
  () => alice,
);
const { claim } = responder(() => db);

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  bob = await createUser(db);
});
beforeEach(async () => {
  alice = await createUser(db);
  await db.pool.query("delete from private.reply_jobs");
});
afterAll(() => db.destroy());

const sql = async (text: string, values: unknown[] = []) => (await db.pool.query(text, values)).rows;
const verb = (name: string, args: Record<string, unknown>, caller = alice) =>
  rpc(db, user(caller), name, args);
const row = async (id: string) =>
  (await sql("select * from private.agent_deployments where agent_id = $1", [id]))[0];
const status = async (id: string) => (await verb("get_agent_status", { agent_id: id })).body;
const events = (id: string) =>
  sql("select event_type, details from public.agent_events where agent_id = $1 order by seq", [id]);
const call = async (name: string, args: Record<string, unknown>) => (await rpc(db, service, name, args)).body;

/** A deployed agent that may sleep. */
async function deployed(definition: Record<string, unknown> = {}): Promise<string> {
  const { body, status: answered } = await verb("launch_agent", {
    definition: { agentName: "bot", idle: { afterSeconds: 60 }, ...definition },
  });
  assert.equal(answered, 201, JSON.stringify(body));
  await settle(db, body.agentId);
  return body.agentId;
}

async function asleep(definition: Record<string, unknown> = {}): Promise<string> {
  const id = await deployed(definition);
  assert.equal((await verb("sleep_agent", { agent_id: id })).status, 202);
  await settle(db, id, ["ASLEEP"]);
  return id;
}

/** What its controller says of an idle agent. */
async function idle(id: string, more: Record<string, unknown> = {}) {
  const { generation, lease_token } = await row(id);
  return await call("sleep_deployment", { agent_id: id, generation, lease_token, ...more });
}
const wake = (id: string) => call("wake_deployment", { agent_id: id });

describe("the definition", () => {
  test("takes an idle time of 60 to 86400 seconds, and shows it", async () => {
    const id = await deployed({ idle: { afterSeconds: 86400 } });
    assert.deepEqual((await verb("get_agent", { agent_id: id })).body.idle, { afterSeconds: 86400 });
    for (const wrong of [59, 86401, "60", 1.5]) {
      const { body } = await verb("update_agent", {
        agent_id: id,
        changes: { idle: { afterSeconds: wrong } },
      });
      assert.equal(body.code, "VALIDATION_ERROR", String(wrong));
      assert.deepEqual(Object.keys(JSON.parse(body.details)), ["idle.afterSeconds"]);
    }
    const bare = await verb("update_agent", { agent_id: id, changes: { idle: {} } });
    assert.deepEqual(JSON.parse(bare.body.details), { "idle.afterSeconds": "Required" });
    await assert.rejects(
      query("update public.agents set idle = '{\"afterSeconds\": 1}' where id = $1", [id]),
    );
  });

  test("a change of it is a generation without a revision, which the claim names", async () => {
    const id = await deployed();
    const before = await row(id);
    const { body } = await verb("update_agent", { agent_id: id, changes: { idle: { afterSeconds: 90 } } });
    assert.deepEqual([body.status, body.changes_applied], ["SCALING", { idle: true }]);
    const [claimed] = (await call("claim_deployments", { worker: "test-worker", max_count: 500 })).filter(
      (c: { agentId: string }) => c.agentId === id,
    );
    assert.deepEqual(
      [claimed.idleSeconds, claimed.generation, claimed.revision],
      [90, Number(before.generation) + 1, before.revision],
    );
    await query("update public.agents set idle = null where id = $1", [id]);
    assert.equal(Number((await row(id)).generation), Number(before.generation) + 2);
  });
});

describe("an idle agent", () => {
  test("falls asleep, with its reason and since when", async () => {
    const id = await deployed();
    const before = await row(id);
    assert.deepEqual(await idle(id), { asleep: true, generation: Number(before.generation) + 1 });
    assert.equal((await status(id)).status, "SLEEPING");
    await settle(db, id, ["ASLEEP"]);
    const { sleep, status: phase, conditions, health } = await status(id);
    assert.deepEqual([phase, sleep.reason, sleep.wakes24h, sleep.lastWakeMs], ["ASLEEP", "IDLE", 0, null]);
    assert.ok(Date.now() - Date.parse(sleep.since) < 60_000);
    assert.deepEqual([conditions, health.kubernetes.targetReplicas], [[], 1]);
    assert.deepEqual(
      (await events(id)).slice(-2).map((e) => e.event_type),
      ["SLEEPING", "ASLEEP"],
    );
    assert.equal((await sql("select status from public.agents where id = $1", [id]))[0].status, "asleep");
    assert.equal((await verb("list_agents", { status: "asleep" })).body.total, 1);
  });

  test("does not without an idle time, with an open answer, under another lease or generation", async () => {
    const never = await deployed({ idle: null });
    assert.deepEqual(await idle(never), { asleep: false, reason: "OFF" });
    const id = await deployed();
    assert.deepEqual(await idle(id, { generation: 99 }), { asleep: false, reason: "BUSY" });
    assert.deepEqual(await idle(id, { lease_token: crypto.randomUUID() }), {
      asleep: false,
      reason: "LEASE_LOST",
    });
    await say({ agent: id });
    assert.deepEqual(await idle(id), { asleep: false, reason: "ANSWER_OPEN" });
    assert.equal((await status(id)).sleep.reason, "ANSWER_OPEN");
    assert.equal((await status(id)).status, "DEPLOYED");
    await verb("scale_agent", { agent_id: id, scale: { replicas: 2 } });
    assert.deepEqual(await idle(id), { asleep: false, reason: "BUSY" });
    assert.deepEqual(
      await call("sleep_deployment", {
        agent_id: "agent-none",
        generation: 1,
        lease_token: crypto.randomUUID(),
      }),
      {
        asleep: false,
        reason: "GONE",
      },
    );
  });

  test("with a connection to a platform never sleeps, and says so", async () => {
    const id = await deployed({ platforms: ["discord"], plugins: ["@elizaos/plugin-discord"] });
    assert.deepEqual(await idle(id), { asleep: false, reason: "HOLDS_CONNECTION" });
    const { status: refused, body } = await verb("sleep_agent", { agent_id: id });
    assert.deepEqual(
      [refused, body.code, JSON.parse(body.details).reason],
      [409, "CONFLICT", "HOLDS_CONNECTION"],
    );
  });

  test("is held by a controller while it sleeps, and by the next one after that one's death", async () => {
    const id = await asleep();
    assert.equal((await row(id)).lease_holder, "test-worker");
    await sql("update private.controllers set expires_at = now() - interval '1 second'");
    const claims = await call("claim_deployments", { worker: "next", max_count: 500 });
    const mine = claims.find((c: { agentId: string }) => c.agentId === id);
    assert.deepEqual([mine.desired, mine.phase, mine.targetReplicas], ["asleep", "ASLEEP", 1]);
    await sql("delete from private.controllers");
  });
});

describe("a sleeper", () => {
  test("takes no part of the quota until it wakes, when the quota judges it", async () => {
    await sql("update public.quotas set max_replicas = 1 where user_id = $1", [alice]);
    const first = await asleep();
    const second = await deployed();
    const refused = await wake(first);
    assert.deepEqual(
      [refused.state, refused.code, refused.status],
      ["refused", "RESOURCE_LIMIT_EXCEEDED", 429],
    );
    assert.equal((await verb("wake_agent", { agent_id: first })).status, 429);
    assert.equal((await row(first)).phase, "ASLEEP");
    await verb("stop_agent", { agent_id: second });
    assert.equal((await wake(first)).state, "waking");
  });

  test("is woken once by a thousand requests", async () => {
    const id = await asleep();
    const before = Number((await row(id)).generation);
    const answers = await Promise.all(Array.from({ length: 1000 }, () => wake(id)));
    assert.deepEqual(
      new Set(answers.map((a) => `${a.state} ${a.generation}`)),
      new Set([`waking ${before + 1}`]),
    );
    assert.equal((await events(id)).filter((e) => e.event_type === "WAKING").length, 1);
    await settle(db, id, ["DEPLOYED"]);
    const { sleep } = await status(id);
    assert.deepEqual([sleep.since, sleep.reason, sleep.wakes24h], [null, null, 1]);
    assert.ok(sleep.lastWakeMs >= 0);
    assert.equal((await wake(id)).state, "awake");
  });

  test("is woken by its owner; asking twice changes nothing", async () => {
    const id = await asleep();
    const first = await verb("wake_agent", { agent_id: id });
    assert.deepEqual(
      [first.status, first.body.status, first.body.message],
      [202, "WAKING", "Agent wake initiated"],
    );
    const second = await verb("wake_agent", { agent_id: id });
    assert.deepEqual(
      [second.body.generation, second.body.message],
      [first.body.generation, "Agent is waking already"],
    );
    await settle(db, id, ["DEPLOYED"]);
    assert.equal((await verb("wake_agent", { agent_id: id })).body.message, "Agent is awake already");
    await verb("sleep_agent", { agent_id: id });
    assert.equal(
      (await verb("sleep_agent", { agent_id: id })).body.message,
      "Agent is falling asleep already",
    );
  });

  test("that was stopped or deleted is never woken, by nobody", async () => {
    const id = await asleep();
    assert.equal((await verb("stop_agent", { agent_id: id })).body.status, "STOPPING");
    for (const phase of ["STOPPING", "STOPPED"]) {
      const refused = await wake(id);
      assert.deepEqual(
        [refused.state, refused.code, refused.status, refused.phase],
        ["refused", "CONFLICT", 409, phase],
      );
      assert.equal((await verb("wake_agent", { agent_id: id })).status, 409);
      if (phase === "STOPPING") await settle(db, id, ["STOPPED"]);
    }
    const gone = await asleep();
    assert.equal((await verb("delete_agent", { agent_id: gone })).status, 202);
    assert.deepEqual(
      [(await wake(gone)).code, (await wake("agent-none")).code],
      ["AGENT_NOT_FOUND", "AGENT_NOT_FOUND"],
    );
  });

  test("is stopped by the kill switch and by a ban", async () => {
    const id = await asleep();
    assert.deepEqual((await verb("stop_all_agents", {})).body.agents, [id]);
    const other = await asleep();
    await sql("update auth.users set banned_until = now() + interval '1 day' where id = $1", [alice]);
    assert.equal((await row(other)).desired, "stopped");
    assert.equal((await wake(other)).code, "CONFLICT");
  });

  test("is not woken beyond a budget that is used up; raising it lets it wake", async () => {
    const id = await asleep();
    const budget = { scope: "user", period: "day", action: "pause", limitMicros: 0 };
    await verb("put_budget", { budget });
    const refused = await wake(id);
    assert.deepEqual([refused.code, refused.status], ["BUDGET_EXHAUSTED", 402]);
    assert.ok(refused.details.resumesAt);
    assert.equal((await verb("wake_agent", { agent_id: id })).status, 402);
    await verb("put_budget", { budget: { ...budget, limitMicros: 1_000_000 } });
    assert.equal((await wake(id)).state, "waking");
  });

  test("is not woken past the security gate", async () => {
    const id = await asleep({ system_prompt: "Use sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD" });
    await sql("update public.quotas set block_critical_findings = true where user_id = $1", [alice]);
    const refused = await wake(id);
    assert.deepEqual([refused.code, refused.status], ["SECURITY_SCAN_FAILED", 422]);
  });

  test("takes changes, scaling and a rollback without waking", async () => {
    const id = await asleep();
    for (const [name, args] of [
      ["update_agent", { changes: { system_prompt: "Be brief." } }],
      ["scale_agent", { scale: { replicas: 3 } }],
      ["rollback_agent", { revision: 1 }],
    ] as const) {
      assert.equal((await verb(name, { agent_id: id, ...args })).status, 202, name);
      assert.deepEqual([(await row(id)).desired, (await row(id)).phase], ["asleep", "ASLEEP"], name);
      await settle(db, id, ["ASLEEP"]);
    }
    assert.equal((await row(id)).asleep_reason, "REQUESTED");
    await wake(id);
    await settle(db, id, ["DEPLOYED"]);
    const { target_replicas, revision } = await row(id);
    assert.deepEqual([target_replicas, revision], [3, 3]);
  });

  test("is woken by restart and start", async () => {
    for (const name of ["restart_agent", "start_agent"]) {
      const id = await asleep();
      assert.equal((await verb(name, { agent_id: id })).status, 202, name);
      assert.deepEqual([(await row(id)).desired, (await row(id)).phase], ["running", "WAKING"], name);
    }
  });

  test("whose wake fails tells those who wait its reason", async () => {
    const id = await asleep();
    await wake(id);
    const [claimed] = (await call("claim_deployments", { worker: "test-worker", max_count: 500 })).filter(
      (c: { agentId: string }) => c.agentId === id,
    );
    await call("report_deployment", {
      agent_id: id,
      generation: claimed.generation,
      lease_token: claimed.leaseToken,
      report: { phase: "FAILED", reason: "CRASH_LOOP", message: "It broke.", readyReplicas: 0 },
    });
    const refused = await wake(id);
    assert.deepEqual(
      [refused.state, refused.code, refused.message, refused.details.reason],
      ["refused", "DEPLOYMENT_FAILED", "This agent could not be started: It broke.", "CRASH_LOOP"],
    );
  });
});

describe("a message to a sleeper", () => {
  test("wakes it, waits, and is claimed as soon as it serves", async () => {
    const id = await asleep();
    await say({ agent: id }, "are you there?");
    assert.deepEqual(await claim(), []);
    assert.equal((await row(id)).phase, "WAKING");
    await sql("update private.reply_jobs set next_attempt_at = now() where agent_id = $1", [id]);
    assert.deepEqual(await claim(), []);
    const [waiting] = await sql(
      "select attempts, next_attempt_at > now() as later from private.reply_jobs where agent_id = $1",
      [id],
    );
    assert.deepEqual(waiting, { attempts: 0, later: true });
    await settle(db, id, ["DEPLOYED"]);
    const [job] = await claim();
    assert.equal(job.agent.id, id);
    assert.deepEqual(await idle(id), { asleep: false, reason: "ANSWER_OPEN" });
  });

  test("fails with the reason where it cannot wake, and waits for a budget", async () => {
    await sql("update public.quotas set max_replicas = 1 where user_id = $1", [alice]);
    const id = await asleep();
    await deployed();
    const message = await say({ agent: id });
    assert.deepEqual(await claim(), []);
    const [failed] = await sql("select error from public.messages where reply_to = $1", [message.id]);
    assert.equal(failed.error.code, "RESOURCE_LIMIT_EXCEEDED");
    await sql("update public.quotas set max_replicas = 9 where user_id = $1", [alice]);
    const budget = { scope: "user", period: "day", action: "pause", limitMicros: 0 };
    await verb("put_budget", { budget });
    await say({ agent: id });
    assert.deepEqual(await claim(), []);
    assert.equal((await row(id)).phase, "ASLEEP");
    await verb("put_budget", { budget: { ...budget, limitMicros: 1_000_000 } });
    assert.deepEqual(await claim(), []);
    assert.equal((await row(id)).phase, "WAKING");
  });
});

describe("a caller who shows nothing", () => {
  const anonymously = (id: string) => call("wake_deployment", { agent_id: id, cause: "anonymous" });

  test("wakes a public agent, which may let it in", async () => {
    const id = await asleep({ visibility: "public", maxTokensPerDay: 1000 });
    assert.equal((await anonymously(id)).state, "waking");
    const woken = (await events(id)).at(-1);
    assert.deepEqual([woken.event_type, woken.details.cause], ["WAKING", "request"]);
  });

  test("does not wake a private one, and gets the answer that it would give", async () => {
    const id = await asleep();
    const { code, state, status: answered } = await anonymously(id);
    assert.deepEqual([state, answered, code], ["refused", 401, "INVALID_API_KEY"]);
    assert.equal((await row(id)).phase, "ASLEEP");
    assert.equal((await wake(id)).state, "waking");
    assert.equal((await anonymously(id)).state, "waking");
  });
});

describe("the claim of an agent that wakes", () => {
  const claimOf = async (id: string) => {
    const claims = await call("claim_deployments", { worker: "test-worker", max_count: 500 });
    return claims.find((c: { agentId: string }) => c.agentId === id);
  };
  const reads = async (id: string) =>
    (
      await sql(
        "select details from public.security_events where agent_id = $1 and event_type = 'SECRET_ACCESS'",
        [id],
      )
    ).length;

  test("brings its secrets, once, and records that they were read", async () => {
    const environment = { TOKEN: "sekrit" };
    const id = await asleep({ environment });
    const other = await deployed({ environment });
    await verb("restart_agent", { agent_id: other });
    const before = await reads(id);
    await wake(id);
    assert.equal((await claimOf(other)).environment, undefined, "it restarts");
    const { generation, lease_token } = await row(id);
    assert.equal((await claimOf(id)).environment, undefined, "the second claim");
    assert.equal(await reads(id), before + 1);
    const args = { agent_id: id, generation, lease_token };
    assert.deepEqual(await call("agent_environment", args), environment, "where the first answer was lost");
    await sql("update private.agent_deployments set claimed_generation = 0 where agent_id = $1", [id]);
    assert.deepEqual((await claimOf(id)).environment, environment);
    const shown = JSON.stringify([await row(id), await events(id), await status(id)]);
    assert.ok(!shown.includes("sekrit"));
    for (const caller of [user(alice), user(bob), anon])
      assert.equal((await rpc(db, caller, "claim_deployments", { worker: "w" })).status, 403);
  });

  test("goes on without them where they cannot be read, and so do the claims of others", async () => {
    const [broken, whole] = [
      await asleep({ environment: { TOKEN: "sekrit" } }),
      await asleep({ environment: { TOKEN: "other" } }),
    ];
    const constraint = "alter table public.security_events";
    await sql(`${constraint} add constraint unreadable check (agent_id <> '${broken}') not valid`);
    await wake(broken);
    await wake(whole);
    const claims = await call("claim_deployments", { worker: "test-worker", max_count: 500 });
    await sql(`${constraint} drop constraint unreadable`);
    const given = (id: string) => claims.find((c: { agentId: string }) => c.agentId === id).environment;
    assert.deepEqual([given(broken), given(whole)], [undefined, { TOKEN: "other" }]);
  });
});

describe("a caller who shows a key or an origin", () => {
  const shown = (id: string, cause: string, credential: string) =>
    call("wake_deployment", { agent_id: id, cause, credential });
  const keyOf = async (id: string, key: Record<string, unknown> = {}) =>
    (await verb("create_agent_key", { agent_id: id, key: { name: "k", ...key } })).body;

  test("wakes with a key of the agent, whatever its scope; with any other the agent sleeps on", async () => {
    const id = await asleep();
    const other = await asleep();
    const [foreign, revoked, expired] = [await keyOf(other), await keyOf(id), await keyOf(id)];
    await verb("revoke_agent_key", { agent_id: id, key_id: revoked.id });
    await sql("update public.agent_keys set expires_at = now() - interval '1 second' where id = $1", [
      expired.id,
    ]);
    for (const wrong of [foreign.key, revoked.key, expired.key, `lp_${"x".repeat(43)}`, ""]) {
      const { code, state, status: answered } = await shown(id, "key", wrong);
      assert.deepEqual([state, answered, code], ["refused", 401, "INVALID_API_KEY"]);
    }
    assert.equal((await row(id)).phase, "ASLEEP");
    assert.equal((await wake("agent-none")).code, "AGENT_NOT_FOUND");
    const reader = await keyOf(id, { scopes: ["read"] });
    assert.equal((await shown(id, "key", reader.key)).state, "waking");
    assert.equal((await events(id)).at(-1).details.cause, "request");
  });

  test("is not judged where the agent is awake: its own door does that", async () => {
    const id = await deployed();
    assert.equal((await shown(id, "key", "lp_wrong")).state, "awake");
  });

  test("wakes for a web page whose origin a key lists, and for no other", async () => {
    const id = await asleep();
    await keyOf(id, { origins: ["https://app.example.com"] });
    for (const wrong of ["https://evil.example.com", "null", ""]) {
      const { code, status: answered } = await shown(id, "preflight", wrong);
      assert.deepEqual([answered, code], [403, "INSUFFICIENT_PERMISSIONS"], wrong);
    }
    assert.equal((await row(id)).phase, "ASLEEP");
    assert.equal((await shown(id, "preflight", "https://app.example.com")).state, "waking");
  });

  test("wakes a public agent whatever it shows, and none whose owner is banned", async () => {
    const id = await asleep({ visibility: "public", maxTokensPerDay: 1000 });
    assert.equal((await shown(id, "key", "lp_wrong")).state, "waking");
    const mine = await asleep();
    const { key } = await keyOf(mine);
    await sql("update auth.users set banned_until = now() + interval '1 day' where id = $1", [alice]);
    assert.equal((await shown(mine, "key", key)).code, "CONFLICT");
  });

  test("has no word that stands for a proof", async () => {
    const id = await asleep();
    for (const cause of ["anonymous", "token", "Request", ""]) {
      assert.equal((await shown(id, cause, "x")).code, "INVALID_API_KEY", cause);
    }
    assert.equal((await row(id)).phase, "ASLEEP");
  });
});

describe("the address that a claim shows", () => {
  test("is the one of the last report, so that a sleeper's may be corrected", async () => {
    const id = await asleep();
    await sql("update private.controllers set expires_at = now() - interval '1 second'");
    const claims = await call("claim_deployments", { worker: "moved", max_count: 500 });
    const mine = claims.find((c: { agentId: string }) => c.agentId === id);
    assert.equal(mine.url, `http://${id}.agents.localhost`);
    const { accepted } = await call("report_deployment", {
      agent_id: id,
      generation: mine.generation,
      lease_token: mine.leaseToken,
      report: { url: "http://moved.localhost:9" },
    });
    assert.equal(accepted, true);
    const { body } = await verb("get_agent", { agent_id: id });
    assert.equal(body.url, "http://moved.localhost:9");
    assert.equal((await row(id)).phase, "ASLEEP");
    await sql("delete from private.controllers");
  });
});

describe("who may", () => {
  test("another user gets AGENT_NOT_FOUND, a visitor nothing", async () => {
    const id = await asleep();
    for (const name of ["sleep_agent", "wake_agent"]) {
      assert.equal((await verb(name, { agent_id: id }, bob)).body.code, "AGENT_NOT_FOUND");
      assert.equal((await rpc(db, anon, name, { agent_id: id })).status, 403);
    }
    const { generation, lease_token } = await row(id);
    for (const caller of [anon, user(alice), user(bob)]) {
      assert.equal((await rpc(db, caller, "wake_deployment", { agent_id: id })).status, 403);
      const args = { agent_id: id, generation, lease_token };
      assert.equal((await rpc(db, caller, "sleep_deployment", args)).status, 403);
    }
    assert.equal((await row(id)).phase, "ASLEEP");
  });

  test("only a DEPLOYED agent can be put to sleep", async () => {
    const { body } = await verb("launch_agent", { definition: { agentName: "bot" } });
    const queued = await verb("sleep_agent", { agent_id: body.agentId });
    assert.deepEqual([queued.status, queued.body.message], [409, "Cannot sleep an agent that is QUEUED"]);
  });
});
