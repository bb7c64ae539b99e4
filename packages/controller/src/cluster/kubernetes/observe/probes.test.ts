import assert from "node:assert/strict";
import { test } from "vitest";
import { SimulatedClock, seededRandom } from "../../../testing/simulated-clock.ts";
import type { PodAnswer } from "./pod-access.ts";
import { HealthProbes } from "./probes.ts";
import { FakePods, readyPod } from "./testing.ts";

function setUp(
  answer: (path: string) => Promise<PodAnswer | undefined> | PodAnswer | undefined,
  held = () => true,
) {
  const clock = new SimulatedClock();
  const pods = new FakePods();
  const told: string[] = [];
  let asked = 0;
  const probes = new HealthProbes({
    view: pods,
    access: {
      get: async (_pod, path) => {
        asked += 1;
        return await answer(path);
      },
      close: async () => {},
    },
    responsible: held,
    clock,
    random: seededRandom(1),
    onChange: (agentId) => told.push(agentId),
  });
  probes.start();
  return { clock, pods, probes, told, asked: () => asked };
}

const ok = (milliseconds = 4) => ({ status: 200, body: '{"status":"ok"}', milliseconds });

test("a replica is asked when it becomes ready, then now and then; only news is told", async () => {
  let answer: PodAnswer | undefined = ok();
  const { clock, pods, probes, told, asked } = setUp(() => answer);
  const starting = readyPod("a", "p");
  starting.status = { ...starting.status, conditions: [{ type: "Ready", status: "False" }] };
  pods.put(starting);
  await clock.advance(60_000);
  assert.equal(asked(), 0);
  pods.put(readyPod("a", "p"));
  await clock.advance(0);
  assert.deepEqual(probes.of("uid-p"), { status: "ok", responseTimeMs: 4 });
  assert.deepEqual([told, asked()], [["a"], 1]);
  await clock.advance(60_000);
  assert.ok(asked() >= 4 && asked() <= 6, `${asked()} probes`);
  assert.deepEqual(told, ["a"]);
  answer = { status: 200, body: '{"status":"degraded"}', milliseconds: 4 };
  await clock.advance(20_000);
  assert.equal(probes.of("uid-p")?.status, "degraded");
  answer = ok(50);
  await clock.advance(20_000);
  assert.deepEqual([probes.of("uid-p"), told.length], [{ status: "ok", responseTimeMs: 50 }, 3]);
  // Silence is the node's to judge: what is known stands until then.
  answer = undefined;
  await clock.advance(20_000);
  assert.equal(probes.of("uid-p")?.status, "ok");
  pods.put(starting);
  assert.equal(probes.of("uid-p"), undefined);
  const before = asked();
  await clock.advance(60_000);
  assert.equal(asked(), before);
  probes.stop();
});

test("a replica that is gone is forgotten, also while it is being asked", async () => {
  const { promise, resolve } = Promise.withResolvers<PodAnswer>();
  const { clock, pods, probes, told } = setUp(() => promise);
  pods.put(readyPod("a", "p"));
  pods.remove("p");
  resolve(ok());
  await clock.advance(60_000);
  assert.deepEqual([probes.of("uid-p"), told], [undefined, []]);
  probes.stop();
});

test("so many at once and no more; and only those of agents held here", async () => {
  let [now, most] = [0, 0];
  const answer = async () => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setImmediate(resolve));
    now -= 1;
    return ok();
  };
  const many = setUp(answer);
  for (let n = 0; n < 100; n += 1) many.pods.put(readyPod("a", `p${n}`));
  for (let n = 0; n < 30; n += 1) await many.clock.advance(0);
  assert.deepEqual([many.asked(), most], [100, 8]);
  many.probes.stop();
  let held = false;
  const other = setUp(
    () => ok(),
    () => held,
  );
  other.pods.put(readyPod("a", "p"));
  await other.clock.advance(30_000);
  assert.equal(other.asked(), 0);
  held = true;
  await other.clock.advance(20_000);
  assert.ok(other.asked() > 0);
  other.probes.stop();
});
