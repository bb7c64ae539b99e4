import assert from "node:assert/strict";
import { test } from "vitest";
import { silentLog } from "../../log.ts";
import { SimulatedClock } from "../../testing/simulated-clock.ts";
import { DoorAddresses } from "./door-addresses.ts";

async function rig() {
  const clock = new SimulatedClock();
  let answer: () => Promise<string[]> = async () => [];
  const changes: string[] = [];
  const addresses: DoorAddresses = new DoorAddresses({
    name: "peers",
    clock,
    log: silentLog,
    own: ["10.0.0.9"],
    resolve: () => answer(),
    changed: () => changes.push(addresses.current.join()),
  });
  return {
    addresses,
    changes,
    clock,
    answers: (next: typeof answer) => {
      answer = next;
    },
  };
}

test("until others are known it is this controller alone, then all of them, in order", async () => {
  const { addresses, answers, changes, clock } = await rig();
  await addresses.start();
  assert.deepEqual(addresses.current, ["10.0.0.9"]);
  answers(async () => ["10.0.0.9", "10.0.0.1", "10.0.0.1"]);
  await clock.advance(5000);
  assert.deepEqual(addresses.current, ["10.0.0.1", "10.0.0.9"]);
  await clock.advance(60_000);
  assert.deepEqual(changes, ["10.0.0.1,10.0.0.9"]);
});

test("a name that does not resolve, or to no address, keeps the last ones known", async () => {
  const { addresses, answers, changes, clock } = await rig();
  answers(async () => ["10.0.0.1"]);
  await addresses.start();
  answers(async () => []);
  await clock.advance(5000);
  answers(() => Promise.reject(new Error("ENOTFOUND")));
  await clock.advance(5000);
  assert.deepEqual(addresses.current, ["10.0.0.1"]);
  answers(async () => ["10.0.0.2"]);
  await clock.advance(5000);
  assert.deepEqual(changes, ["10.0.0.1", "10.0.0.2"]);
});

test("after the end nothing is asked any more", async () => {
  const { addresses, answers, changes, clock } = await rig();
  await addresses.start();
  addresses.stop();
  answers(async () => ["10.0.0.1"]);
  await clock.advance(60_000);
  assert.deepEqual(changes, []);
});
