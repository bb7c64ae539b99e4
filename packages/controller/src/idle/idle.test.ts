import assert from "node:assert/strict";
import { describe, test } from "vitest";
import type { ReplicaSample, ReplicaState } from "../cluster/cluster.ts";
import { silentLog } from "../log.ts";
import type { Desired } from "../reconcile/decide.ts";
import type { Held } from "../reconcile/leased-agent.ts";
import { SimulatedClock } from "../testing/simulated-clock.ts";
import { isIdle, maySleep } from "./idle.ts";
import { IdleWatch } from "./watch.ts";

const desired = (part: Partial<Desired> = {}): Desired => ({
  state: "running",
  phase: "DEPLOYED",
  generation: 2,
  observedGeneration: 2,
  ...part,
});

test("only an agent with an idle time and replicas, settled for as long, may sleep", () => {
  const may = (part: Partial<Desired>, idleSeconds: number | null = 60, targetReplicas = 1, heldAt = 0) =>
    maySleep({ claim: { idleSeconds, targetReplicas }, desired: desired(part), heldAt }, 60_000);
  assert.equal(may({}), true);
  assert.equal(may({}, null), false);
  assert.equal(may({}, 60, 0), false);
  assert.equal(may({}, 60, 1, 1), false);
  for (const phase of ["SCALING", "UPDATING", "WAKING", "FAILED", "SLEEPING"])
    assert.equal(may({ phase }), false, phase);
  assert.equal(may({ generation: 3 }), false);
  for (const state of ["stopped", "asleep", "absent"] as const) assert.equal(may({ state }), false, state);
});

const seen = (...replicas: [name: string, state: ReplicaState][]) => ({
  workload: {
    agentId: "a",
    generation: 2,
    template: "t",
    wanted: replicas.length,
    replicas: replicas.map(([name, state]) => ({ name, state, template: "t", failures: 0, startedAt: 0 })),
    progressedAt: 0,
  },
});
const told = (idle: Record<string, number | null>) =>
  Object.entries(idle).map(([replica, idleSeconds]) => ({ replica, idleSeconds }));

describe("idle is", () => {
  const TABLE: [string, ReturnType<typeof seen>, Record<string, number | null>, boolean][] = [
    ["every replica, for long enough", seen(["r1", "ready"], ["r2", "ready"]), { r1: 60, r2: 300 }, true],
    ["not one of two", seen(["r1", "ready"], ["r2", "ready"]), { r1: 60, r2: 59 }, false],
    ["not what works now", seen(["r1", "ready"]), { r1: 0 }, false],
    ["not what does not tell", seen(["r1", "ready"]), { r1: null }, false],
    ["not what could not be read", seen(["r1", "ready"], ["r2", "ready"]), { r1: 60 }, false],
    ["not what is not ready", seen(["r1", "unready"]), { r1: 60 }, false],
    ["not what worked on a replica that has ended", seen(["r1", "ready"]), { r1: 60, r2: 20 }, false],
    ["not what ends", seen(["r1", "ready"], ["r2", "ending"]), { r1: 60, r2: 60 }, false],
    ["not an agent without replicas", seen(), {}, false],
  ];
  for (const [what, observed, idle, expected] of TABLE)
    test(what, () => assert.equal(isIdle(60, observed, told(idle)), expected));
  test("not an agent of which the cluster has nothing", () => {
    assert.equal(isIdle(60, { workload: undefined }, told({ r1: 60 })), false);
  });
});

describe("the watch", () => {
  const sample = (idleSeconds: number | null) =>
    ({ agentId: "a", replica: "r1", idleSeconds }) as ReplicaSample;
  function watching(
    answer: () => Promise<{ asleep: true; generation: number } | { asleep: false; reason: string }>,
  ) {
    const clock = new SimulatedClock();
    const state = { asked: 0, claims: 0, mayAct: true };
    const doubted: string[] = [];
    const held = new Map([
      [
        "a",
        {
          claim: { idleSeconds: 60, targetReplicas: 1, generation: 2, leaseToken: "t" },
          desired: desired(),
          heldAt: -60_000,
        } as Held,
      ],
    ]);
    const watch = new IdleWatch({
      database: {
        sleepDeployment: async () => {
          state.asked += 1;
          return await answer();
        },
      },
      cluster: { get: async () => seen(["r1", "ready"]).workload },
      clock,
      log: silentLog,
      held: () => held,
      mayAct: () => state.mayAct,
      claimNow: () => {
        state.claims += 1;
      },
      doubt: (agentId) => doubted.push(agentId),
    });
    return { clock, doubted, held, state, watch };
  }

  test("asks for an idle agent, and claims what follows", async () => {
    const { state, watch } = watching(async () => ({ asleep: true, generation: 3 }));
    await watch.look([sample(59)]);
    assert.equal(state.asked, 0);
    await watch.look([sample(60)]);
    assert.deepEqual(state, { asked: 1, claims: 1, mayAct: true });
  });

  test("leaves alone for a minute what the database keeps awake", async () => {
    const { clock, state, watch } = watching(async () => ({ asleep: false, reason: "ANSWER_OPEN" }));
    await watch.look([sample(60)]);
    await watch.look([sample(75)]);
    assert.deepEqual(state, { asked: 1, claims: 0, mayAct: true });
    await clock.advance(60_000);
    await watch.look([sample(135)]);
    assert.equal(state.asked, 2);
  });

  test("has a lease proved that the database does not know", async () => {
    for (const [reason, expected] of [
      ["LEASE_LOST", ["a"]],
      ["BUSY", ["a"]],
      ["ANSWER_OPEN", []],
    ] as const) {
      const { doubted, watch } = watching(async () => ({ asleep: false, reason }));
      await watch.look([sample(60)]);
      assert.deepEqual(doubted, expected, reason);
    }
  });

  test("does nothing without a lease, and with an agent of someone else", async () => {
    const { held, state, watch } = watching(async () => ({ asleep: true, generation: 3 }));
    state.mayAct = false;
    await watch.look([sample(60)]);
    state.mayAct = true;
    held.clear();
    await watch.look([sample(60)]);
    assert.equal(state.asked, 0);
  });

  test("goes on after the database was down", async () => {
    let down = true;
    const { state, watch } = watching(async () => {
      if (down) throw new Error("down");
      return { asleep: true, generation: 3 };
    });
    await watch.look([sample(60)]);
    down = false;
    await watch.look([sample(75)]);
    assert.deepEqual(state, { asked: 2, claims: 1, mayAct: true });
  });
});
