import assert from "node:assert/strict";
import { test } from "vitest";
import type { ReplicaSample } from "../cluster/cluster.ts";
import { MetricRows } from "./metrics.ts";

const START = Date.UTC(2030, 0, 1);

function sample(part: Partial<ReplicaSample>): ReplicaSample {
  return {
    agentId: "a",
    replica: "a-1",
    cpuLimit: 0.5,
    memoryLimit: 1000,
    cpuSeconds: 0,
    memoryBytes: 500,
    networkIn: null,
    networkOut: null,
    life: "a-1/1",
    startedAt: START,
    requests: { total: 0, success: 0, errors: 0, seconds: 0 },
    idleSeconds: null,
    ...part,
  };
}

test("rates are against the sample before, the first against the process's beginning", () => {
  const rows = new MetricRows();
  const [first] = rows.take([sample({ cpuSeconds: 1 })], START + 2000);
  assert.equal(first?.cpuUsage, 0.5);
  assert.equal(first?.requestRate, 0);
  assert.equal(first?.responseTimeMs, null);
  const requests = { total: 20, success: 18, errors: 2, seconds: 1 };
  const [second] = rows.take([sample({ cpuSeconds: 2, requests })], START + 12_000);
  assert.equal(second?.cpuUsage, 0.1);
  assert.equal(second?.requestRate, 2);
  assert.equal(second?.responseTimeMs, 50);
  assert.deepEqual([second?.requestsTotal, second?.requestsErrors], [20, 2]);
  assert.ok((second?.sequence ?? 0) > (first?.sequence ?? 0));
});

test("a rate that the system tells itself stands", () => {
  const [row] = new MetricRows().take([sample({ cpuSeconds: 1, cpuRate: 0.123456 })], START + 2000);
  assert.equal(row?.cpuUsage, 0.1235);
});

test("a new process counts from nought again", () => {
  const rows = new MetricRows();
  rows.take([sample({ cpuSeconds: 100 })], START + 10_000);
  const [row] = rows.take(
    [sample({ cpuSeconds: 1, life: "a-1/2", startedAt: START + 15_000 })],
    START + 20_000,
  );
  assert.equal(row?.cpuUsage, 0.2);
});

test("what nobody knows is null, never nought", () => {
  const [row] = new MetricRows().take(
    [sample({ cpuSeconds: null, memoryBytes: null, requests: null })],
    START + 1000,
  );
  assert.deepEqual(
    [
      row?.cpuUsage,
      row?.memoryUsage,
      row?.networkIn,
      row?.requestsTotal,
      row?.requestRate,
      row?.responseTimeMs,
    ],
    [null, null, null, null, null, null],
  );
});
