import assert from "node:assert/strict";
import { test } from "vitest";
import type { ObservedReplica, ObservedWorkload } from "../cluster/cluster.ts";
import { observe } from "./observe.ts";
import { platformReport } from "./platform.ts";

const NEW = "00000000000000ff";
const OLD = "00000000000000aa";
const READY_MS = 60_000;

const replica = (platform: string, part: Partial<ObservedReplica> = {}): ObservedReplica => ({
  name: `replica-${platform}`,
  template: "t",
  platform,
  state: "ready",
  failures: 0,
  startedAt: 0,
  ...part,
});
const crash = { code: 1, signal: null, reason: "CRASHED", message: "exit code 1", at: 0, fatal: false };
const looping = replica(NEW, { state: "waiting", failures: 5, exit: crash });
const pulling = replica(NEW, {
  state: "starting",
  blocked: { reason: "ImagePullBackOff", message: "The image cannot be pulled.", fatal: false },
});
const starting = replica(NEW, { state: "starting" });

function report(part: Partial<ObservedWorkload>, now = 1000) {
  const observed = observe({
    agentId: "a",
    generation: 1,
    template: "t",
    platform: NEW,
    wanted: 1,
    replicas: [],
    progressedAt: 0,
    ...part,
  });
  const desired = {
    state: "running",
    generation: 1,
    observedGeneration: 1,
    phase: "DEPLOYED",
    platform: NEW,
  } as const;
  return platformReport({ desired, observed, limits: { readyMs: READY_MS, crashLimit: 5 } }, now);
}

const table: [string, Partial<ObservedWorkload>, number, string][] = [
  ["every replica new and ready: ready", { replicas: [replica(NEW)] }, 1000, "ready"],
  ["applied before, not this one: updating", { platform: OLD, replicas: [replica(OLD)] }, 1000, "updating"],
  ["the new one starts: updating", { replicas: [replica(OLD), starting] }, 1000, "updating"],
  ["one of two is new: updating", { wanted: 2, replicas: [replica(OLD), replica(NEW)] }, 1000, "updating"],
  ["the new one crashes, the old one serves: stuck", { replicas: [replica(OLD), looping] }, 1000, "stuck"],
  ["the image cannot be pulled in time: stuck", { replicas: [replica(OLD), pulling] }, READY_MS, "stuck"],
  ["it may be pulled yet: updating", { replicas: [replica(OLD), pulling] }, READY_MS - 1, "updating"],
  ["no new one is made in time: stuck", { replicas: [replica(OLD)] }, READY_MS, "stuck"],
  ["served nobody before, and crashes now: idle", { replicas: [looping] }, 1000, "idle"],
  [
    "not ready before nor now: idle",
    { replicas: [replica(OLD, { state: "unready" }), starting] },
    READY_MS,
    "idle",
  ],
  [
    "a replica finds no room, the rest is new: ready",
    { wanted: 2, replicas: [replica(NEW), starting] },
    READY_MS,
    "ready",
  ],
  ["scaled to nothing: idle", { wanted: 0 }, 1000, "idle"],
  ["paused by a person: idle", { paused: true, replicas: [replica(OLD)] }, 1000, "idle"],
  [
    "its generation failed: idle",
    { failure: { reason: "X", message: "" }, replicas: [replica(OLD)] },
    1000,
    "idle",
  ],
  [
    "a cluster without platforms: idle",
    { platform: undefined as never, replicas: [replica(OLD)] },
    1000,
    "idle",
  ],
];
for (const [name, part, now, state] of table) {
  test(`platform: ${name}`, () =>
    assert.deepEqual([report(part, now)?.id, report(part, now)?.state], [NEW, state]));
}

test("the problem of a stuck agent is a sentence about its new replica", () => {
  assert.match(report({ replicas: [replica(OLD), looping] })?.problem ?? "", /ended 5 times in a row/);
  assert.match(report({ replicas: [replica(OLD), pulling] }, READY_MS)?.problem ?? "", /cannot be pulled/);
});
