// The lifecycle in SQL: verbs, phases, generations, revisions, events.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { allowPlugins, createUser, liftRateLimits, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;

beforeAll(async () => {
  db = await createTestDatabase();
  await allowPlugins(db);
  await liftRateLimits(db);
  alice = await createUser(db);
  bob = await createUser(db);
});
afterAll(() => db.destroy());

const verb = (name: string, args: Record<string, unknown> = {}, caller = alice) =>
  rpc(db, user(caller), name, args);

async function launch(definition: Record<string, unknown> = {}): Promise<string> {
  const { status, body } = await verb("launch_agent", { definition: { agentName: "bot", ...definition } });
  assert.equal(status, 201, JSON.stringify(body));
  return body.agentId;
}

async function deployed(definition: Record<string, unknown> = {}): Promise<string> {
  const id = await launch(definition);
  await settle(db, id);
  return id;
}

const phaseOf = async (id: string) => (await verb("get_agent_status", { agent_id: id })).body.status;

describe("the state machine", () => {
  const deployingVerbs: [verb: string, args: Record<string, unknown>, phase: string][] = [
    ["scale_agent", { scale: { replicas: 2 } }, "SCALING"],
    ["update_agent", { changes: { plugins: ["some-plugin"] } }, "UPDATING"],
    ["restart_agent", {}, "RESTARTING"],
    ["stop_agent", {}, "STOPPING"],
    ["delete_agent", {}, "DELETING"],
  ];
  for (const [name, args, phase] of deployingVerbs) {
    test(`DEPLOYED + ${name} → ${phase}`, async () => {
      const id = await deployed();
      const { status, body } = await verb(name, { agent_id: id, ...args });
      assert.equal(status, 202);
      assert.equal(body.status, phase);
      assert.equal(await phaseOf(id), phase);
    });
  }

  test("QUEUED + scale stays QUEUED, and the answer names the verb", async () => {
    const id = await launch();
    const { body } = await verb("scale_agent", { agent_id: id, scale: { replicas: 2 } });
    assert.equal(body.status, "SCALING");
    assert.equal(body.targetReplicas, 2);
    assert.equal(await phaseOf(id), "QUEUED");
  });

  test("STOPPED → start → DEPLOYING → DEPLOYED", async () => {
    const id = await deployed();
    await verb("stop_agent", { agent_id: id });
    await settle(db, id, ["STOPPED"]);
    assert.equal(await phaseOf(id), "STOPPED");
    assert.equal((await verb("start_agent", { agent_id: id })).body.status, "DEPLOYING");
    await settle(db, id, ["DEPLOYED"]);
    assert.equal(await phaseOf(id), "DEPLOYED");
  });

  test("a stopped agent cannot be restarted: CONFLICT", async () => {
    const id = await deployed();
    await verb("stop_agent", { agent_id: id });
    const { status, body } = await verb("restart_agent", { agent_id: id });
    assert.equal(status, 409);
    assert.equal(body.code, "CONFLICT");
  });

  test("stop and start are idempotent: no generation is made for what is already wanted", async () => {
    const id = await deployed();
    assert.equal((await verb("start_agent", { agent_id: id })).body.message, "Agent is started already");
    const first = await verb("stop_agent", { agent_id: id });
    const second = await verb("stop_agent", { agent_id: id });
    assert.equal(second.body.generation, first.body.generation);
    assert.equal(second.body.supabase_event_id, first.body.supabase_event_id);
    assert.deepEqual(
      [first.body.message, second.body.message],
      ["Agent stop initiated", "Agent is stopping already"],
    );
    await settle(db, id, ["STOPPED"]);
    assert.equal((await verb("stop_agent", { agent_id: id })).body.message, "Agent is stopped already");
    assert.equal((await verb("start_agent", { agent_id: id })).body.message, "Agent start initiated");
    assert.equal((await verb("start_agent", { agent_id: id })).body.message, "Agent is starting already");
  });

  test("FAILED carries its reason; the next generation may deploy", async () => {
    const id = await launch();
    const { body: claims } = await rpc(db, service, "claim_deployments", {
      worker: "test-worker",
      max_count: 500,
    });
    const claim = claims.find((c: { agentId: string }) => c.agentId === id);
    await rpc(db, service, "report_deployment", {
      agent_id: id,
      generation: 1,
      lease_token: claim.leaseToken,
      report: { phase: "FAILED", reason: "PLUGIN_NOT_FOUND", message: "Plugin x does not exist" },
    });
    const { body } = await verb("get_agent_status", { agent_id: id });
    assert.equal(body.status, "FAILED");
    assert.equal(body.reason, "PLUGIN_NOT_FOUND");
    assert.equal(body.message, "Plugin x does not exist");
    await verb("update_agent", { agent_id: id, changes: { plugins: [] } });
    const { body: redeploy } = await verb("deploy_agent", { agent_id: id });
    assert.equal(redeploy.status, "DEPLOYING");
  });

  test("every allowed pair is between known phases, and a pair outside the table is refused", async () => {
    const id = await launch();
    const { body: claims } = await rpc(db, service, "claim_deployments", {
      worker: "test-worker",
      max_count: 500,
    });
    const claim = claims.find((c: { agentId: string }) => c.agentId === id);
    for (const phase of ["DEPLOYED", "STOPPED", "DELETED"]) {
      const { body } = await rpc(db, service, "report_deployment", {
        agent_id: id,
        generation: 1,
        lease_token: claim.leaseToken,
        report: { phase },
      });
      assert.deepEqual([body.accepted, body.reason], [false, "transition_refused"], phase);
    }
    assert.equal(await phaseOf(id), "QUEUED");
  });
});

describe("health", () => {
  const healthOf = async (id: string) => (await verb("get_agent_status", { agent_id: id })).body.health;

  test("is unknown once the controller that saw it has fallen silent", async () => {
    const id = await deployed();
    assert.equal((await healthOf(id)).kubernetes.status, "HEALTHY");
    const silent = await db.pool.query("update private.controllers set expires_at = now() returning worker");
    assert.ok(silent.rowCount);
    const { overall, kubernetes } = await healthOf(id);
    assert.deepEqual([overall, kubernetes.status], ["UNKNOWN", "UNKNOWN"]);
  });

  test("of an agent scaled to nothing is unknown, not bad", async () => {
    const id = await deployed();
    await verb("scale_agent", { agent_id: id, scale: { replicas: 0 } });
    await settle(db, id, ["DEPLOYED"]);
    const { overall, application, kubernetes } = await healthOf(id);
    assert.deepEqual([overall, application.status, kubernetes.status], ["UNKNOWN", "UNKNOWN", "HEALTHY"]);
  });
});

describe("events", () => {
  test("each verb and transition is one event; seq has no gap", async () => {
    const id = await deployed();
    await verb("scale_agent", { agent_id: id, scale: { replicas: 3 } });
    await settle(db, id, ["DEPLOYED"]);
    await verb("delete_agent", { agent_id: id });
    await settle(db, id, ["DELETED"]);
    const { rows } = await db.pool.query(
      "select seq::int, event_type, actor like 'user:%' as by_user from public.agent_events where agent_id = $1 order by seq",
      [id],
    );
    assert.deepEqual(
      rows.map((r) => r.event_type),
      ["CREATED", "QUEUED", "DEPLOYING", "DEPLOYED", "SCALING", "DEPLOYED", "DELETING", "DELETED"],
    );
    assert.deepEqual(
      rows.map((r) => r.seq),
      rows.map((_, i) => i + 1),
    );
  });

  test("the verb answers with its event's id", async () => {
    const id = await deployed();
    const { body } = await verb("scale_agent", { agent_id: id, scale: { replicas: 2 } });
    const { rows } = await db.pool.query(
      "select event_type, agent_id from public.agent_events where id = $1",
      [body.supabase_event_id],
    );
    assert.deepEqual(rows, [{ event_type: "SCALING", agent_id: id }]);
    assert.match(body.supabase_event_id, /^event-[a-z2-7]{12}$/);
  });

  test("the log is append-only, even for its owner", async () => {
    await assert.rejects(db.pool.query("delete from public.agent_events"), /append-only/);
    await assert.rejects(db.pool.query("update public.agent_events set message = ''"), /append-only/);
  });

  test("the request's id is in the event", async () => {
    const { body } = await rpc(db, user(alice, { "x-request-id": "req-test1" }), "launch_agent", {
      definition: { agentName: "traced" },
    });
    const { rows } = await db.pool.query(
      "select distinct request_id from public.agent_events where agent_id = $1",
      [body.agentId],
    );
    assert.deepEqual(rows, [{ request_id: "req-test1" }]);
  });
});

describe("revisions", () => {
  test("a change of what runs makes one; scaling and a description do not", async () => {
    const id = await deployed();
    await verb("scale_agent", { agent_id: id, scale: { replicas: 2 } });
    const described = await verb("update_agent", { agent_id: id, changes: { description: "new" } });
    assert.deepEqual(described.body.changes_applied, {});
    let list = await verb("list_agent_revisions", { agent_id: id });
    assert.equal(list.body.total, 1);
    await verb("update_agent", { agent_id: id, changes: { character: { name: "Z" } } });
    list = await verb("list_agent_revisions", { agent_id: id });
    assert.equal(list.body.total, 2);
    assert.equal(list.body.revisions[0].current, true);
    assert.deepEqual(list.body.revisions[0].spec.character, { name: "Z" });
  });

  test("a changed secret makes one; the same value does not; no value is in it", async () => {
    const id = await deployed({ environment: { TOKEN: "sekrit-1" } });
    const same = await verb("update_agent", {
      agent_id: id,
      changes: { environment: { TOKEN: "sekrit-1" } },
    });
    assert.deepEqual(same.body.changes_applied, { environment: false });
    await verb("update_agent", { agent_id: id, changes: { environment: { TOKEN: "sekrit-2" } } });
    const { body } = await verb("list_agent_revisions", { agent_id: id });
    assert.equal(body.total, 2);
    assert.deepEqual(body.revisions[0].spec.secretVersions, { TOKEN: 2 });
    assert.ok(!JSON.stringify(body).includes("sekrit"));
  });

  test("a secret removed and set again has a version that it never had", async () => {
    const id = await deployed({ environment: { TOKEN: "sekrit-1" } });
    for (const value of [null, "sekrit-2"]) {
      await verb("update_agent", { agent_id: id, changes: { environment: { TOKEN: value } } });
    }
    const { body } = await verb("list_agent_revisions", { agent_id: id });
    const versions = body.revisions.map((r: { spec: { secretVersions: unknown } }) => r.spec.secretVersions);
    assert.deepEqual(versions, [{ TOKEN: 2 }, {}, { TOKEN: 1 }]);
  });

  test("rollback runs an old one again as a new revision", async () => {
    const id = await deployed({ character: { name: "First" } });
    await verb("update_agent", { agent_id: id, changes: { character: { name: "Second" } } });
    await settle(db, id, ["DEPLOYED"]);
    const { status, body } = await verb("rollback_agent", { agent_id: id, revision: 1 });
    assert.equal(status, 202);
    assert.equal(body.rolledBackTo, 1);
    assert.equal(body.revision, 3);
    const { body: agent } = await verb("get_agent", { agent_id: id });
    assert.deepEqual(agent.character, { name: "First" });
    const first = await launch();
    const { body: none } = await verb("rollback_agent", { agent_id: first });
    assert.match(none.message, /no revision before 1, the present one/);
    const missing = await verb("rollback_agent", { agent_id: id, revision: 99 });
    assert.equal(missing.body.code, "NOT_FOUND");
  });
});

describe("delete", () => {
  test("takes secrets, conversations, revisions and character at once; keeps events", async () => {
    const id = await deployed({ environment: { TOKEN: "sekrit" }, character: { name: "Gone" } });
    await db.pool.query(
      "insert into public.agent_conversations (agent_id, user_id, conversation_id, role, content) values ($1, $2, gen_random_uuid(), 'user', 'hi')",
      [id, alice],
    );
    const { body } = await verb("delete_agent", { agent_id: id });
    assert.equal(body.status, "DELETING");
    assert.deepEqual(body.supabase_cleanup, {
      data_retention_policy: "30_days",
      personal_data_removal: "immediate",
      audit_log_preserved: true,
    });
    const { rows } = await db.pool.query(
      `select (select count(*)::int from public.agent_secrets where agent_id = $1) as secrets,
              (select count(*)::int from vault.secrets where name like 'agent/' || $1 || '/%') as vault,
              (select count(*)::int from public.agent_conversations where agent_id = $1) as conversations,
              (select count(*)::int from public.agent_revisions where agent_id = $1) as revisions,
              (select "character" from public.agents where id = $1) as "character",
              (select count(*)::int from public.agent_events where agent_id = $1) as events`,
      [id],
    );
    assert.deepEqual(
      { ...rows[0], events: rows[0].events > 0 },
      { secrets: 0, vault: 0, conversations: 0, revisions: 0, character: null, events: true },
    );
    assert.equal(await phaseOf(id), "DELETING");
    await settle(db, id, ["DELETED"]);
    assert.equal((await verb("get_agent_status", { agent_id: id })).body.code, "AGENT_NOT_FOUND");
  });

  test("a deleted account tears its agents down and leaves no secret", async () => {
    const carol = await createUser(db);
    const { body } = await rpc(db, user(carol), "launch_agent", {
      definition: { agentName: "orphan", environment: { TOKEN: "sekrit" } },
    });
    await db.pool.query("delete from auth.users where id = $1", [carol]);
    const { rows } = await db.pool.query(
      `select desired, phase, (select count(*)::int from vault.secrets where name like 'agent/' || agent_id || '/%') as vault
       from private.agent_deployments where agent_id = $1`,
      [body.agentId],
    );
    assert.deepEqual(rows, [{ desired: "absent", phase: "DELETING", vault: 0 }]);
  });
});

describe("another user", () => {
  test("gets AGENT_NOT_FOUND from every verb, as for an agent that never was", async () => {
    const id = await deployed();
    const calls: [string, Record<string, unknown>][] = [
      ["get_agent", {}],
      ["get_agent_status", {}],
      ["get_agent_logs", {}],
      ["get_agent_metrics", {}],
      ["list_agent_revisions", {}],
      ["scale_agent", { scale: { replicas: 1 } }],
      ["update_agent", { changes: { description: "x" } }],
      ["restart_agent", {}],
      ["stop_agent", {}],
      ["start_agent", {}],
      ["deploy_agent", {}],
      ["rollback_agent", { revision: 1 }],
      ["delete_agent", {}],
    ];
    for (const [name, args] of calls) {
      const theirs = await verb(name, { agent_id: id, ...args }, bob);
      const nobodys = await verb(name, { agent_id: "agent-none", ...args }, bob);
      assert.equal(theirs.status, 404, name);
      assert.equal(theirs.body.code, "AGENT_NOT_FOUND", name);
      assert.equal(theirs.body.message.replace(id, ""), nobodys.body.message.replace("agent-none", ""), name);
    }
    assert.equal(await phaseOf(id), "DEPLOYED");
  });

  test("is not stopped by the kill switch", async () => {
    const mine = await deployed();
    const { body: theirs } = await rpc(db, user(bob), "launch_agent", {
      definition: { agentName: "bobs" },
    });
    const { body } = await verb("stop_all_agents");
    assert.ok(body.agents.includes(mine));
    assert.ok(!body.agents.includes(theirs.agentId));
    assert.equal((await verb("get_agent_status", { agent_id: theirs.agentId }, bob)).body.status, "QUEUED");
  });
});
