import assert from "node:assert/strict";
import { test } from "vitest";
import type { Condition } from "../contract.ts";
import { oldestWaits } from "./oldest-waits.ts";

const NOW = Date.parse("2026-01-01T00:10:00Z");
const available = (reason: string, since: string): Condition => ({
  type: "Available",
  status: reason === "NO_REPLICA_READY" ? "False" : "True",
  reason,
  message: "",
  lastTransitionTime: since,
});
const held = (phase: string, conditions: Condition[], observedGeneration = 1) => ({
  desired: { state: "running" as const, generation: 1, observedGeneration, phase },
  conditions,
});

test("what the database counts is passed on, whoever holds the agents", () => {
  assert.deepEqual(oldestWaits({ QUEUED: 12.5 }, [], NOW), { QUEUED: 12.5 });
});

test("a deployed agent without a ready replica counts from when the last one was ready", () => {
  const since = "2026-01-01T00:00:00Z";
  const agents = [
    held("DEPLOYED", [available("NO_REPLICA_READY", "2026-01-01T00:05:00Z")]),
    held("DEPLOYED", [available("NO_REPLICA_READY", since)]),
    held("DEPLOYED", [available("REPLICAS_READY", since)]),
  ];
  assert.deepEqual(oldestWaits({}, agents, NOW), { DEPLOYED: 600 });
});

test("an agent that FAILED because its namespace is stuck counts; one that FAILED for itself does not", () => {
  const conditions = [available("NO_REPLICA_READY", "2026-01-01T00:05:00Z")];
  const failedFor = (reason: string) => {
    const one = held("FAILED", conditions);
    return { ...one, desired: { ...one.desired, reason } };
  };
  assert.deepEqual(oldestWaits({}, [failedFor("NamespaceTerminating")], NOW), { FAILED: 300 });
  assert.deepEqual(oldestWaits({}, [failedFor("CRASH_LOOP")], NOW), {});
});

test("agents that are paused, FAILED, scaled to 0 or counted by the database add nothing", () => {
  const since = "2026-01-01T00:00:00Z";
  const down = available("NO_REPLICA_READY", since);
  const paused: Condition = {
    type: "Paused",
    status: "True",
    reason: "PAUSED",
    message: "",
    lastTransitionTime: since,
  };
  const agents = [
    held("DEPLOYED", [down, paused]),
    held("FAILED", [down]),
    held("DEPLOYED", [available("NO_REPLICA_WANTED", since)]),
    held("DEPLOYED", [down], 0),
  ];
  assert.deepEqual(oldestWaits({}, agents, NOW), {});
});
