// Rollouts in the database: what controllers say begins them, a decision counts once, operators pause, resume and go back.
import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { createTestDatabase, type TestDatabase, type TestUser } from "../helpers/database.ts";
import { anon, createUser, liftRateLimits, rpc, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let aliceUser: TestUser;
let alice: string;
let bob: string;

beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  aliceUser = await db.createUser();
  alice = aliceUser.id;
  bob = await createUser(db);
  await db.pool.query(
    "update public.quotas set max_agents = 1000, max_replicas = 1000, max_cpu = 9000000, max_memory = 9e15",
  );
});
afterAll(() => db.destroy());
beforeEach(async () => {
  await db.pool.query(`delete from private.controllers; delete from private.rollout_targets; delete from private.platforms;
    delete from private.agent_deployments; delete from private.rollout_canaries;
    update private.rollout set state = 'finished', reason = null, announced = null, content = null, previous_content = null,
      wave = 0, canary_pauses = false where only_one`);
});

const call = async (name: string, args: Record<string, unknown> = {}) => {
  const { status, body } = await rpc(db, service, name, args);
  assert.ok(status < 300, JSON.stringify(body));
  return body;
};
const beat = async (image: string | null, { worker = "w", ...settings }: Record<string, unknown> = {}) =>
  (
    await call("heartbeat_controller", {
      worker,
      lease_seconds: 15,
      report:
        image === null
          ? {}
          : { platform: { content: { image }, percent: 10, maxFailures: 0, soakSeconds: 0, ...settings } },
    })
  ).fleet.rollout;
const launch = async (count: number, owner = alice) => {
  const ids: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const { body } = await rpc(db, user(owner), "launch_agent", { definition: { agentName: "bot" } });
    ids.push(body.agentId);
  }
  return ids;
};
/** As a controller that holds them all says it. */
const ready = (state = "ready", of = "true") =>
  db.pool.query(
    `update private.agent_deployments d set phase = 'DEPLOYED', observed_generation = generation, current_replicas = 1, ready_replicas = 1,
       platform_seen = platform, platform_state = $1, platform_at = case when $1 = 'ready' then now() end
     where platform_seen is distinct from platform and ${of}`,
    [state],
  );
const images = async () => {
  const { rows } = await db.pool.query(
    `select p.content ->> 'image' as image, count(*)::int as n from private.agent_deployments d
     left join private.platforms p on p.id = d.platform group by 1 order by 1`,
  );
  return Object.fromEntries(rows.map(({ image, n }) => [image, n]));
};
const decide = async (rollout: { id: string; wave: number }, decision: string, reason?: string) =>
  (await call("advance_rollout", { rollout: rollout.id, wave: rollout.wave, decision, reason })).rollout;

async function fleet(count = 20) {
  await beat("runtime:1");
  const ids = await launch(count);
  await ready();
  return ids;
}

describe("what begins a rollout", () => {
  test("the first image is everybody's at once; a second one waits for its waves", async () => {
    const ids = await launch(3);
    assert.deepEqual(await images(), { null: 3 });
    assert.equal(await beat("runtime:1"), null);
    assert.deepEqual(await images(), { "runtime:1": 3 });
    await ready();
    const rollout = await beat("runtime:2");
    assert.deepEqual([rollout.state, rollout.wave, rollout.total, rollout.waiting], ["running", 0, 3, 3]);
    assert.deepEqual([rollout.image, rollout.previousImage], ["runtime:2", "runtime:1"]);
    assert.deepEqual(await images(), { "runtime:1": 3 });
    assert.equal(ids.length, 3);
  });

  test("controllers that disagree begin none; a controller without an image says nothing", async () => {
    await fleet(1);
    assert.equal(await beat("runtime:2", { worker: "another" }), null);
    assert.equal(await beat("runtime:1"), null);
    await call("release_worker", { worker: "w" });
    assert.equal((await beat("runtime:2", { worker: "another" })).image, "runtime:2");
    assert.equal((await beat(null, { worker: "processes" })).image, "runtime:2");
  });

  test("settings out of their bounds are brought into them", async () => {
    await beat("runtime:1", { percent: 900, maxFailures: -1, soakSeconds: "soon" });
    const { rows } = await db.pool.query("select percent, max_failures, soak_seconds from private.rollout");
    assert.deepEqual(rows, [{ percent: 100, max_failures: 0, soak_seconds: 30 }]);
  });

  test("an agent that is launched meanwhile gets the proven image", async () => {
    await fleet(2);
    await beat("runtime:2");
    await launch(1);
    assert.deepEqual(await images(), { "runtime:1": 3 });
  });

  test("back to the proven image: at once, and the rollout is over", async () => {
    await fleet(10);
    await decide(await beat("runtime:2"), "admit");
    assert.deepEqual(await images(), { "runtime:1": 9, "runtime:2": 1 });
    assert.equal(await beat("runtime:1"), null);
    assert.deepEqual(await images(), { "runtime:1": 10 });
  });

  test("a third image in mid-rollout: what is proven stays, those of the second keep it until their wave", async () => {
    await fleet(10);
    await decide(await beat("runtime:2"), "admit");
    const rollout = await beat("runtime:3");
    assert.deepEqual([rollout.previousImage, rollout.waiting], ["runtime:1", 10]);
    await ready("stuck");
    await decide(rollout, "admit");
    assert.deepEqual(await images(), { "runtime:1": 9, "runtime:3": 1 }, "what is stuck comes first");
  });
});

describe("waves", () => {
  test("a wave has a tenth; a decision about a wave counts once, whoever is late", async () => {
    await fleet(20);
    const rollout = await beat("runtime:2");
    const first = await decide(rollout, "admit");
    assert.deepEqual([first.wave, first.waiting, first.updating], [1, 18, 2]);
    const again = await decide(rollout, "admit");
    assert.deepEqual([again.wave, again.waiting], [1, 18]);
    await ready();
    assert.equal((await beat("runtime:2")).ready, 2);
    const second = await decide(again, "admit");
    assert.deepEqual([second.wave, second.waiting, second.ready, second.updating], [2, 16, 2, 2]);
  });

  test("agents that serve come before those that do not", async () => {
    const ids = await fleet(20);
    await db.pool.query(
      "update private.agent_deployments set phase = 'FAILED', ready_replicas = 0 where agent_id <> all ($1)",
      [ids.slice(0, 2)],
    );
    await decide(await beat("runtime:2"), "admit");
    const { rows } = await db.pool.query(
      "select count(*)::int as n from private.agent_deployments where phase = 'DEPLOYED' and rollout is not null",
    );
    assert.equal(rows[0].n, 2);
  });

  test("a claim brings the platform to its holder, until a report says that it was seen", async () => {
    const [agentId = ""] = await fleet(1);
    await db.pool.query(
      "update private.agent_deployments set observed_generation = 0, phase = 'QUEUED', platform_seen = null",
    );
    const claim = async () =>
      (await call("claim_deployments", { worker: "w", max_count: 10, lease_seconds: 15 }))[0];
    const first = await claim();
    assert.equal(first.platform.image, "runtime:1");
    const report = (id: string, state: string, more = {}) =>
      call("report_deployment", {
        agent_id: agentId,
        generation: first.generation,
        lease_token: first.leaseToken,
        report: { platform: { id, state }, ...more },
      });
    await report(first.platform.id, "updating", { phase: "DEPLOYING" });
    await report(first.platform.id, "ready", { phase: "DEPLOYED", currentReplicas: 1, readyReplicas: 1 });
    assert.equal(await claim(), undefined, "nothing is new");
    await decide(await beat("runtime:2"), "admit");
    const second = await claim();
    assert.deepEqual([second.platform.image, second.leaseToken], ["runtime:2", first.leaseToken]);
    assert.equal((await claim()).platform.image, "runtime:2", "an answer that was lost comes again");
    await report(second.platform.id, "updating");
    assert.equal(await claim(), undefined);
    assert.equal((await beat("runtime:2")).updating, 1);
    await report(second.platform.id, "ready");
    const after = await beat("runtime:2");
    assert.deepEqual([after.ready, after.waiting], [1, 0]);
    assert.equal(await decide(after, "finish"), null);
  });

  test("an agent that fails after it was ready counts, one whose owner changed it since does not", async () => {
    const [first = "", second = ""] = await fleet(2);
    await decide(await beat("runtime:2", { percent: 100 }), "admit");
    await ready();
    await db.pool.query("update private.agent_deployments set phase = 'FAILED', message = 'It broke.'");
    await db.pool.query(
      `update private.agent_deployments set timings = jsonb_build_object('requestedAt', now() + interval '1 second')
       where agent_id = $1`,
      [second],
    );
    const rollout = await beat("runtime:2", { percent: 100 });
    assert.deepEqual(
      [rollout.failed, rollout.idle, rollout.problem, rollout.examples],
      [1, 1, "It broke.", [first]],
    );
  });

  test("finished: stopped agents have it too, for their next start", async () => {
    const [first] = await fleet(2);
    await db.pool.query(
      "update private.agent_deployments set desired = 'stopped', phase = 'STOPPED' where agent_id = $1",
      [first],
    );
    const rollout = await decide(await beat("runtime:2", { percent: 100 }), "admit");
    assert.equal(rollout.total, 1);
    await ready();
    assert.equal(await decide(rollout, "finish"), null);
    assert.deepEqual(await images(), { "runtime:2": 2 });
  });
});

describe("settings that Kubernetes refuses", () => {
  const said = async (content: Record<string, unknown>) =>
    await call("heartbeat_controller", {
      worker: "w",
      lease_seconds: 15,
      report: { platform: { content, percent: 10 } },
    });

  test("are named in the answer to the controller that has them, and begin no rollout", async () => {
    await launch(3);
    await beat("runtime:1");
    const wrong = await said({
      image: "runtime:2:3",
      pods: {
        tolerations: [{ key: "gpu", operator: "Exist" }],
        affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: {} } },
        labels: { "agent-launchpad.dev/agent": "x" },
        annotations: { "a b": "" },
      },
    });
    assert.deepEqual(Object.keys(wrong.settings).sort(), [
      "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
      "annotations.a b",
      "image",
      "labels.agent-launchpad.dev/agent",
      "tolerations[0].operator",
    ]);
    assert.equal(wrong.settings["tolerations[0].operator"], "Must be Equal or Exists");
    assert.equal(wrong.fleet.rollout, null, "what was before holds");
    const { rows } = await db.pool.query("select announced ->> 'image' as image from private.rollout");
    assert.deepEqual(rows, [{ image: "runtime:1" }]);
  });

  test("are corrected by the next word of the controller, and none are found where nothing is said", async () => {
    await launch(1);
    await beat("runtime:1");
    const right = await said({
      image: "runtime:2",
      pods: { nodeSelector: { pool: "agents" }, hostUsers: false },
    });
    assert.deepEqual([right.settings, right.fleet.rollout.image], [{}, "runtime:2"]);
    const silent = await call("heartbeat_controller", { worker: "v", lease_seconds: 15, report: {} });
    assert.deepEqual(silent.settings, {});
    for (const caller of [anon, user(alice)]) {
      const { status } = await rpc(db, caller, "heartbeat_controller", {
        worker: "w",
        lease_seconds: 15,
        report: {},
      });
      assert.ok(status === 401 || status === 403 || status === 404, String(status));
    }
  });
});

describe("operators", () => {
  test("pause holds, resume goes on with the failures accepted", async () => {
    await fleet(20);
    const rollout = await decide(await beat("runtime:2"), "admit");
    const paused = (await call("fleet_rollout", { action: "pause", reason: "lunch" })).rollout;
    assert.deepEqual([paused.state, paused.reason], ["paused", "lunch"]);
    assert.equal((await decide(rollout, "admit")).wave, 1, "nothing is decided while it is paused");
    assert.equal((await call("fleet_rollout", { action: "resume" })).rollout.state, "running");
    await ready("stuck");
    const halted = await decide(rollout, "halt", "2 agents are stuck.");
    assert.deepEqual([halted.state, halted.reason, halted.failed], ["halted", "2 agents are stuck.", 2]);
    const resumed = (await call("fleet_rollout", { action: "resume" })).rollout;
    assert.deepEqual([resumed.state, resumed.maxFailures], ["running", 2]);
    const { actions } = await call("fleet_status");
    assert.ok(actions.some(({ action }: { action: string }) => action === "rollout pause"));
  });

  test("undo brings everybody back and lasts, though the controllers still have the new image", async () => {
    await fleet(10);
    await decide(await beat("runtime:2"), "admit");
    await call("fleet_rollout", { action: "undo", reason: "it answers nonsense" });
    assert.deepEqual(await images(), { "runtime:1": 10 });
    const undone = await beat("runtime:2", { percent: 20 });
    assert.deepEqual([undone.state, undone.percent], ["undone", 20]);
    await launch(1);
    assert.deepEqual(await images(), { "runtime:1": 11 });
    const resumed = (await call("fleet_rollout", { action: "resume" })).rollout;
    assert.deepEqual([resumed.state, resumed.wave, resumed.image], ["running", 0, "runtime:2"]);
    await call("fleet_rollout", { action: "undo" });
    const third = await beat("runtime:3");
    assert.deepEqual([third.state, third.image, third.previousImage], ["running", "runtime:3", "runtime:1"]);
    await call("fleet_rollout", { action: "undo" });
    assert.equal(await beat("runtime:1"), null, "set back to what is proven, it is over");
  });

  test("canary users come first, all of their agents, and a person may look before the rest follows", async () => {
    await fleet(10);
    const own = await launch(3, bob);
    await ready();
    await call("fleet_rollout_canary", { users: [bob], pauses: true });
    const first = await decide(await beat("runtime:2"), "admit");
    assert.deepEqual([first.updating, first.canaryPauses], [3, true]);
    const { rows } = await db.pool.query(
      "select agent_id from private.agent_deployments where rollout is not null order by 1",
    );
    assert.deepEqual(
      rows.map(({ agent_id }) => agent_id),
      [...own].sort(),
    );
    await decide(first, "pause", "look");
    const resumed = (await call("fleet_rollout", { action: "resume" })).rollout;
    assert.equal(resumed.canaryPauses, false);
    assert.equal((await decide(resumed, "admit")).updating, 5, "a tenth of 13, beside the three");
  });

  test("canary users without agents hold nothing up, and deleted ones are forgotten", async () => {
    await fleet(10);
    const { id: carol } = await db.createUser();
    await call("fleet_rollout_canary", { users: [bob, carol], pauses: true });
    const first = await decide(await beat("runtime:2"), "admit");
    assert.deepEqual([first.updating, first.canaryPauses], [1, false]);
    await db.superuser.query("delete from auth.users where id = $1", [carol]);
    const { rows } = await db.pool.query("select user_id from private.rollout_canaries");
    assert.deepEqual(rows, [{ user_id: bob }]);
  });

  test("a wave that was held read-only has its whole time after the release", async () => {
    await fleet(10);
    await decide(await beat("runtime:2"), "admit");
    await db.pool.query("update private.rollout set wave_at = now() - interval '40 min'");
    await call("fleet_hold", { scope: "removals" });
    assert.ok((await call("fleet_release")).rollout.waveSeconds > 2000, "removals stop no wave");
    await call("fleet_hold", { scope: "everything" });
    assert.ok((await call("fleet_release")).rollout.waveSeconds < 60);
  });

  test("what cannot be done is refused with its cure", async () => {
    for (const [name, args, code] of [
      ["fleet_rollout", { action: "pause" }, "CONFLICT"],
      ["fleet_rollout", { action: "restart" }, "VALIDATION_ERROR"],
      ["fleet_rollout_canary", { users: ["0f8fad5b-d9cb-469f-a165-70867728950e"] }, "VALIDATION_ERROR"],
      ["advance_rollout", { rollout: bob, wave: 0, decision: "explode" }, "VALIDATION_ERROR"],
    ] as const) {
      const { status, body } = await rpc(db, service, name, args);
      assert.ok(status >= 400, name);
      assert.equal(body.code, code, JSON.stringify(body));
      assert.ok(Object.keys(JSON.parse(body.details)).length > 0);
    }
  });

  test("a user, a second one, an anonymous caller and a forged token reach none of it", async () => {
    for (const [name, args] of [
      ["fleet_rollout", { action: "undo" }],
      ["fleet_rollout_canary", { users: [] }],
      ["advance_rollout", { rollout: bob, wave: 0, decision: "finish" }],
    ] as const) {
      // The last: a token whose claims say what its role does not.
      for (const caller of [anon, user(alice), user(bob), user("00000000-0000-4000-8000-000000000000")]) {
        assert.equal((await rpc(db, caller, name, args)).status, 403, name);
      }
    }
    for (const table of ["rollout", "rollout_targets", "platforms"]) {
      await assert.rejects(
        db.asUser(aliceUser, (client) => client.query(`select from private.${table}`)),
        /denied/,
      );
    }
  });
});
