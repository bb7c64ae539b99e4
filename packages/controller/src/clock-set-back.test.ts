// The machine's clock is set back by an hour: nothing waits for an hour, and no lease lasts an hour longer.
import assert from "node:assert/strict";
import { test } from "vitest";
import type { ReplicaSample } from "./cluster/cluster.ts";
import { SeriesBook } from "./cluster/kubernetes/events/series.ts";
import { kept, Pace } from "./cluster/kubernetes/observe/concurrency.ts";
import { IdleWatch } from "./idle/watch.ts";
import { STRANGER } from "./ingress/caller.ts";
import { Door } from "./ingress/door.ts";
import { silentLog } from "./log.ts";
import { Lease } from "./loop/lease.ts";
import type { Held } from "./reconcile/leased-agent.ts";
import { SimulatedClock } from "./testing/simulated-clock.ts";

const HOUR = 3_600_000;

/** A simulated clock whose `now` can be set back, while its timers go on. */
function settable() {
  const inner = new SimulatedClock();
  let offset = 0;
  return {
    now: () => inner.now() - offset,
    after: (milliseconds: number, callback: () => void) => inner.after(milliseconds, callback),
    advance: (milliseconds: number) => inner.advance(milliseconds),
    setBack: () => {
      offset += HOUR;
    },
  };
}

test("a lease has lapsed until the next heartbeat, and lapses in time after that", () => {
  const lease = new Lease(15);
  lease.renewed(10 * HOUR, 10 * HOUR);
  assert.equal(lease.lapsed(10 * HOUR + 14_000), false);
  const now = 9 * HOUR;
  assert.equal(lease.lapsed(now), true, "how old the heartbeat is nobody knows");
  lease.renewed(now, now + 100);
  assert.equal(lease.lapsed(now + 14_000), false);
  assert.equal(lease.lapsed(now + 15_000), true);
});

test("an answer that comes late does not shorten a lease", () => {
  const lease = new Lease(15);
  lease.renewed(20_000, 20_100);
  lease.renewed(10_000, 20_200);
  assert.equal(lease.lapsed(34_000), false);
});

test("paced work goes on at its pace", async () => {
  const clock = settable();
  await clock.advance(10 * HOUR);
  const pace = new Pace(clock, 10, 2);
  const { signal } = new AbortController();
  await Promise.all([pace.turn(signal), pace.turn(signal)]);
  clock.setBack();
  let turns = 0;
  for (let turn = 0; turn < 5; turn += 1)
    void pace.turn(signal).then(() => {
      turns += 1;
    });
  await clock.advance(1000);
  assert.equal(turns, 5);
});

test("what is kept for a minute is asked for again", async () => {
  const clock = settable();
  await clock.advance(10 * HOUR);
  let asked = 0;
  const ask = kept(clock, 60_000, async () => {
    asked += 1;
  });
  await ask();
  clock.setBack();
  await ask();
  assert.equal(asked, 2);
});

test("Events are written as before, and a count within a minute", () => {
  const book = new SeriesBook();
  const note = { type: "Normal", reason: "Corrected", action: "Apply", text: "a" } as const;
  assert.equal(book.see("Pod/a", note, 10 * HOUR).do, "write");
  const now = 9 * HOUR;
  const again = book.see("Pod/a", note, now);
  assert.ok(again.do === "wait" && again.until <= now + 60_000, JSON.stringify(again));
  for (let other = 0; other < 50; other += 1)
    assert.equal(book.see(`Pod/other-${other}`, note, now).do, "write", String(other));
});

test("an idle agent that was kept awake is asked about again after a minute, and falls asleep", async () => {
  const clock = settable();
  await clock.advance(10 * HOUR);
  let asked = 0;
  const held = {
    claim: { idleSeconds: 60, targetReplicas: 1, generation: 2, leaseToken: "t" },
    desired: { state: "running", phase: "DEPLOYED", generation: 2, observedGeneration: 2 },
    heldAt: clock.now() - 60_000,
  } as Held;
  const replica = { name: "r1", state: "ready", template: "t", failures: 0, startedAt: 0 } as const;
  const watch = new IdleWatch({
    database: {
      sleepDeployment: async () => {
        asked += 1;
        return { asleep: false, reason: "ANSWER_OPEN" };
      },
    },
    cluster: {
      get: async () => ({
        agentId: "a",
        generation: 2,
        template: "t",
        wanted: 1,
        replicas: [replica],
        progressedAt: 0,
      }),
    },
    clock,
    log: silentLog,
    held: () => new Map([["a", held]]),
    mayAct: () => true,
    claimNow: () => {},
    doubt: () => {},
  });
  const sample = { agentId: "a", replica: "r1", idleSeconds: 60 } as ReplicaSample;
  await watch.look([sample]);
  clock.setBack();
  await watch.look([sample]);
  assert.equal(asked, 2, "not in an hour");
  await watch.look([sample]);
  assert.equal(asked, 2);
  await clock.advance(60_000);
  await watch.look([sample]);
  assert.equal(asked, 3);
});

test("a request that waits for a sleeper waits 30 seconds, and the answer of its wake stands for one", async () => {
  const clock = settable();
  await clock.advance(10 * HOUR);
  let asked = 0;
  const door = new Door({
    wake: async () => {
      asked += 1;
      return { state: "refused", status: 409, code: "CONFLICT", message: "stopped" };
    },
    isReady: () => false,
    clock,
    log: silentLog,
  });
  const ask = async () => {
    let code: string | undefined;
    door.hold("a", STRANGER, (verdict) => {
      code = verdict?.code;
    });
    await clock.advance(1);
    return code;
  };
  assert.equal(await ask(), "CONFLICT");
  clock.setBack();
  assert.equal(await ask(), "CONFLICT");
  assert.equal(asked, 2, "the answer of an hour ahead is none");
});
