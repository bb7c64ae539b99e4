import assert from "node:assert/strict";
import { test } from "vitest";
import { CrashMemory, exitsOf, failuresOf } from "./crashes.ts";
import type { ContainerState, Pod } from "./objects.ts";
import { readyPod } from "./testing.ts";

const T0 = Date.parse("2030-01-01T00:00:00Z");
const at = (seconds: number) => new Date(T0 + seconds * 1000).toISOString();

/** A pod's container after so many restarts, ready since a second or not, and how it ended last. */
function pod(
  restartCount: number,
  readyAt: number | undefined,
  end?: [from: number, to: number],
  waits = false,
): Pod {
  const terminated = end && { exitCode: 1, startedAt: at(end[0]), finishedAt: at(end[1]) };
  const state: ContainerState = waits
    ? { waiting: { reason: "CrashLoopBackOff", message: "back-off 5m0s restarting failed container=agent" } }
    : { running: { startedAt: at(end?.[1] ?? 0) } };
  const base = readyPod("a", "p");
  return {
    ...base,
    status: {
      conditions: [
        readyAt === undefined
          ? { type: "Ready", status: "False", lastTransitionTime: at(0) }
          : { type: "Ready", status: "True", lastTransitionTime: at(readyAt) },
      ],
      containerStatuses: [
        {
          name: "agent",
          restartCount,
          state,
          ...(terminated === undefined ? {} : { lastState: { terminated } }),
        },
      ],
    },
  };
}

test("ends count since the last life that was ready for ten seconds, however many there were before", () => {
  const memory = new CrashMemory();
  const failures = (states: Pod[]) => {
    for (const [index, state] of states.entries()) memory.see(states[index - 1], state);
    const last = states.at(-1);
    assert.ok(last !== undefined);
    return failuresOf(last, memory.stable.get("uid-p"), T0 + 1000);
  };
  // Seven ends long ago, then ready for a day, then an end: it is the first again.
  const day = 86_400;
  const stable = pod(7, 100, [90, 95]);
  const ended = pod(7, undefined, [96, 100 + day], true);
  assert.equal(exitsOf(ended), 8);
  assert.equal(failures([stable, ended]), 1);
  // The next life is short, and so is the one after.
  const again = pod(8, 100 + day + 20, [96, 100 + day]);
  const ended2 = pod(8, undefined, [100 + day + 15, 100 + day + 25], true);
  assert.equal(failures([ended, again, ended2]), 2);
  memory.see(ended2, undefined);
  assert.equal(memory.stable.size, 0);
});

test("states that were missed in between are concluded from the last end", () => {
  const memory = new CrashMemory();
  const now = pod(3, undefined, [500, 520]);
  memory.see(pod(1, 10, [0, 5]), now);
  assert.equal(failuresOf(now, memory.stable.get("uid-p"), T0 + 521_000), 2);
});

test("another pod of the same name has its own count", () => {
  const memory = new CrashMemory();
  const next = pod(0, undefined);
  next.metadata = { ...next.metadata, uid: "uid-2" };
  memory.see(pod(4, 0, [-90, -80]), next);
  assert.equal(memory.stable.size, 0);
});
